#include "native/cli/config_keys.h"
#include "native/cli/config_load.h"
#include "native/cli/values.h"

#include <type_traits>
#include <variant>

namespace es::cli {
namespace {

// YAML's double-quoted form, which JSON strings are too.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Plain where YAML reads it back as the same text.
std::string scalar(std::string_view text) {
  const bool plain = !text.empty() &&
                     text.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789_-./:") == std::string_view::npos &&
                     text.front() != '-' && text.front() != ':' && text.back() != ':' &&
                     text != "null" && text != "Null" && text != "NULL" && !text.starts_with("--");
  return plain ? std::string(text) : quote(text);
}

std::string flow(const TextList& list) {
  std::string out = "[";
  for (const std::string& item : list) out += (out.size() > 1 ? ", " : "") + quote(item);
  return out + "]";
}

class Dumper {
 public:
  explicit Dumper(Secrets secrets) : secrets_(secrets) {}

  void add(const Key& key) {
    const size_t shared = open_sections(key.name);
    indent_ = std::string(2 * depth_, ' ');
    out_ += indent_ + std::string(key.name.substr(shared)) + ":";
    masked_ = is_secret(key.rule) && secrets_ == Secrets::kMasked;
    std::visit([this](const auto* field) { value(*field); }, key.target);
  }

  std::string take() { return std::move(out_); }

 private:
  // Writes the lines of the sections that `name` stands in and that are not open yet; returns where
  // its last component begins.
  size_t open_sections(std::string_view name) {
    size_t from = 0;
    depth_ = 0;
    for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', from)) {
      const std::string_view section = name.substr(0, dot + 1);
      if (!open_.starts_with(section)) {
        out_ += std::string(2 * depth_, ' ') + std::string(name.substr(from, dot - from)) + ":\n";
        open_ = std::string(section);
      }
      from = dot + 1;
      ++depth_;
    }
    if (from == 0) open_.clear();
    return from;
  }

  void line(std::string_view text) { (out_ += ' ').append(text) += '\n'; }

  void value(const std::string& text) { line(masked_ && !text.empty() ? "\"***\"" : scalar(text)); }
  void value(bool flag) { line(flag ? "true" : "false"); }
  void value(uint32_t number) { line(std::to_string(number)); }
  void value(Millis duration) { line(format_duration(duration)); }
  void value(FileMode mode) { line(format_file_mode(mode)); }
  void value(const TextList& list) { line(flow(list)); }
  template <class V>
  void value(const std::map<std::string, V>& map) {
    if (map.empty()) return line("{}");
    out_ += '\n';
    for (const auto& [name, item] : map) {
      out_ += indent_ + "  " + quote(name) + ":";
      value(item);
    }
  }
  void value(const std::vector<DnsRecord>& records) {
    if (records.empty()) return line("[]");
    out_ += '\n';
    for (const DnsRecord& r : records) {
      out_ += indent_ + "  - {name: " + quote(r.name) + ", type: " + r.type +
              ", value: " + quote(r.value) + "}\n";
    }
  }

  const Secrets secrets_;
  std::string out_;
  std::string open_;  // the innermost section written, with its final dot
  std::string indent_;
  size_t depth_ = 0;
  bool masked_ = false;
};

}  // namespace

std::string dump_config(const Config& config, Secrets secrets) {
  Config copy = config;
  Dumper dumper(secrets);
  for (const Key& key : config_keys(copy)) dumper.add(key);
  return dumper.take();
}

}  // namespace es::cli

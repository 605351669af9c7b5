#include "native/net/response_writer.h"

#include "common/gate/hardened_mark.h"

#include <algorithm>
#include <array>

namespace es::net {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  out += value;
  out += "\r\n";
}

// The lines of each header set, made once.
const std::string& hardening_lines(http::HeaderSet set) {
  static const auto kLines = [] {
    std::array<std::string, http::kNumHeaderSets> lines;
    for (size_t i = 0; i < lines.size(); ++i) {
      for (const http::Field& f : http::response_headers(static_cast<http::HeaderSet>(i))) {
        append_field(lines[i], f.name, f.value);
      }
    }
    return lines;
  }();
  return kLines[static_cast<size_t>(set)];
}

bool may_pass(const Field& field) {
  for (const char c : field.value) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return false;
  }
  if (same_name(field.name, "content-length")) return false;
  const auto allowed = http::response_allow_list();
  return std::any_of(allowed.begin(), allowed.end(),
                     [&field](std::string_view name) { return same_name(field.name, name); });
}

}  // namespace

void append_response_head(std::string& out, const HeadParts& parts) {
  out += "HTTP/1.1 ";
  out += std::to_string(parts.status);
  out += ' ';
  out += status_text(parts.status);
  out += "\r\n";
  append_field(out, "date", parts.date);
  if (parts.content_length)
    append_field(out, "content-length", std::to_string(*parts.content_length));
  for (const Field& f : parts.fields) {
    if (may_pass(f)) append_field(out, f.name, f.value);
  }
  out += hardening_lines(parts.headers);
  if (parts.proof) {
    std::array<uint8_t, gate::kHardenedMarkLen> mark{};
    ByteWriter writer(mark);
    gate::write_hardened_mark(*parts.proof, writer);
    append_field(out, gate::kHardenedField, as_text(writer.written()));
  }
  if (parts.after == HeadParts::After::kClose) out += "connection: close\r\n";
  out += "\r\n";
}

void append_switching_head(std::string& out, std::span<const Field> fields) {
  out += "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
  for (const Field& f : fields) append_field(out, f.name, f.value);
  out += "\r\n";
}

}  // namespace es::net

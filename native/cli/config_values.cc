#include "native/cli/config_values.h"

#include "common/base/hex.h"
#include "native/cli/values.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace es::cli {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

std::string with_commas(std::string_view choices) {
  std::string out;
  for (const char c : choices) out += c == '|' ? std::string(", ") : std::string(1, c);
  return out;
}

bool is_choice(std::string_view text, std::string_view choices) {
  while (!choices.empty()) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, bar) == text) return true;
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return false;
}

std::string check_prefix(std::string_view text, IpFamily family) {
  if (text.empty()) return {};
  const auto cidr = parse_cidr(text);
  const char* const example = family == IpFamily::kV4 ? "100.64.0.0/10" : "fd7a:115c:a1e0::/48";
  if (!cidr || cidr->family != family) {
    return std::string("expected an IPv") + (family == IpFamily::kV4 ? "4" : "6") +
           " prefix such as " + example;
  }
  if (cidr->host_bits_set) return "the address has bits set beyond the prefix length";
  return {};
}

std::string check_cidr(std::string_view text) {
  const auto cidr = parse_cidr(text);
  if (!cidr) return "expected a prefix such as 10.0.0.0/8 or fd00::/8";
  if (cidr->host_bits_set) return "the address has bits set beyond the prefix length";
  return {};
}

std::string check_trusted(std::string_view text) {
  if (const std::string reason = check_cidr(text); !reason.empty()) return reason;
  if (parse_cidr(text)->bits == 0) {
    return "a /0 would trust everybody to say who they are: name the proxies' own prefixes";
  }
  return {};
}

std::string check_address(std::string_view text, IpFamily family) {
  if (text.empty() || parse_ip(text) == family) return {};
  return family == IpFamily::kV4 ? "expected an IPv4 address" : "expected an IPv6 address";
}

std::string check_token_key(std::string_view text) {
  if (text.empty()) return {};
  const bool hex = std::all_of(text.begin(), text.end(), [](char c) { return hex_digit(c) >= 0; });
  if (text.size() != 64 || !hex) {
    return "expected 64 hexadecimal digits: 'openssl rand -hex 32' makes them";
  }
  if (text.find_first_not_of(text.front()) == std::string_view::npos) {
    return "is a placeholder: 'openssl rand -hex 32' makes a key";
  }
  return {};
}

// Why `text` does not meet the key's rule, or empty.
std::string check_rule(const Key& key, std::string_view text) {
  switch (key.rule) {
    case Rule::kFree:
    case Rule::kSecret:
    case Rule::kPathOrNone:
    case Rule::kPath:
      return {};
    case Rule::kTokenKey:
      return check_token_key(text);
    case Rule::kListenOrEmpty:
      if (text.empty()) return {};
      [[fallthrough]];
    case Rule::kListen:
      if (parse_listen_address(text)) return {};
      return "expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080";
    case Rule::kHttpUrlOrEmpty:
      if (text.empty() || parse_http_url(text)) return {};
      return "expected a URL such as https://vpn.example.com";
    case Rule::kHttpsUrl: {
      const auto url = parse_http_url(text);
      return url && url->tls ? std::string() : "expected a URL that begins with https://";
    }
    case Rule::kPrefixV4:
      return check_prefix(text, IpFamily::kV4);
    case Rule::kPrefixV6:
      return check_prefix(text, IpFamily::kV6);
    case Rule::kCidr:
      return check_cidr(text);
    case Rule::kTrustedCidr:
      return check_trusted(text);
    case Rule::kIpV4OrEmpty:
      return check_address(text, IpFamily::kV4);
    case Rule::kIpV6OrEmpty:
      return check_address(text, IpFamily::kV6);
    case Rule::kNameserver:
      if (parse_ip(text) || text.starts_with("https://")) return {};
      return "expected an address or an https:// URL (DNS over HTTPS)";
    case Rule::kChoice:
      return is_choice(text, key.choices) ? std::string()
                                          : "expected one of " + with_commas(key.choices);
    case Rule::kDnsNameOrEmpty:
      return text.empty() || is_dns_name(text) ? std::string()
                                               : "expected a DNS name such as example.com";
  }
  return {};
}

std::string found(const Key& key, std::string_view text) {
  return is_secret(key.rule) ? std::string() : ", found " + quoted(text);
}

std::string set_number(const Key& key, uint32_t& field, std::string_view text) {
  const int64_t high = std::min<int64_t>(key.high, std::numeric_limits<uint32_t>::max());
  const auto value = parse_unsigned(text);
  if (!value) return "expected a whole number" + found(key, text);
  if (*value > static_cast<uint64_t>(high) || static_cast<int64_t>(*value) < key.low) {
    return "must be between " + std::to_string(key.low) + " and " + std::to_string(high) +
           found(key, text);
  }
  field = static_cast<uint32_t>(*value);
  return {};
}

std::string set_duration(const Key& key, Millis& field, std::string_view text) {
  const auto value = parse_duration(text);
  if (!value) {
    const bool bare = parse_unsigned(text).has_value();
    return (bare ? "a duration needs a unit, such as " + std::string(text) + "s"
                 : std::string("expected a duration such as 30s, 1h30m or 90d")) +
           found(key, text);
  }
  if (value->count() < key.low) {
    return "must be at least " + format_duration(Millis{key.low}) + found(key, text);
  }
  if (value->count() > key.high) {
    return "must be at most " + format_duration(Millis{key.high}) + found(key, text);
  }
  field = *value;
  return {};
}

// The fields that one scalar can fill.
std::string set_scalar(const Key& key, std::string_view text, bool from_environment) {
  return std::visit(
      Overloaded{
          [&](std::string* field) -> std::string {
            if (std::string reason = check_rule(key, text); !reason.empty()) {
              return reason + found(key, text);
            }
            *field = std::string(text);
            return {};
          },
          [&](bool* field) -> std::string {
            auto value = parse_bool(text);
            if (from_environment && (text == "1" || text == "0")) value = text == "1";
            if (!value) return "expected true or false" + found(key, text);
            *field = *value;
            return {};
          },
          [&](uint32_t* field) { return set_number(key, *field, text); },
          [&](Millis* field) { return set_duration(key, *field, text); },
          [&](FileMode* field) -> std::string {
            const auto value = parse_file_mode(text);
            if (!value) return "expected an octal file mode such as 0770" + found(key, text);
            *field = *value;
            return {};
          },
          [](auto*) -> std::string { return "expected a list or a section, found one value"; }},
      key.target);
}

const char* kind_name(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "one value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a section";
  }
  return "";
}

bool expect(const YamlNode& node, YamlNode::Kind kind, const char* what,
            std::vector<ValueError>& errors) {
  if (node.kind == kind) return true;
  errors.push_back({node.line, node.column,
                    std::string("expected ") + what + ", found " + kind_name(node.kind)});
  return false;
}

std::optional<TextList> read_list(const Key& key, const YamlNode& node,
                                  std::vector<ValueError>& errors) {
  if (!expect(node, YamlNode::Kind::kList, "a list", errors)) return std::nullopt;
  const size_t before = errors.size();
  TextList list;
  for (const YamlNode& item : node.items) {
    if (!expect(item, YamlNode::Kind::kScalar, "one value", errors)) continue;
    std::string reason = item.text.empty() ? "an empty text" : check_rule(key, item.text);
    if (!reason.empty()) {
      errors.push_back({item.line, item.column, reason + found(key, item.text)});
    } else {
      list.push_back(item.text);
    }
  }
  if (errors.size() != before) return std::nullopt;
  return list;
}

void read_split(const Key& key, std::map<std::string, TextList>& field, const YamlNode& node,
                std::vector<ValueError>& errors) {
  if (!expect(node, YamlNode::Kind::kMap, "a section", errors)) return;
  const size_t before = errors.size();
  std::map<std::string, TextList> map;
  for (const YamlEntry& entry : node.entries) {
    if (!is_dns_name(entry.key)) {
      errors.push_back({entry.line, entry.column, "expected a DNS name" + found(key, entry.key)});
    }
    if (entry.value.kind == YamlNode::Kind::kNull) continue;
    if (auto list = read_list(key, entry.value, errors)) map[entry.key] = std::move(*list);
  }
  if (errors.size() == before) field = std::move(map);
}

void read_texts(std::map<std::string, std::string>& field, const YamlNode& node,
                std::vector<ValueError>& errors) {
  if (!expect(node, YamlNode::Kind::kMap, "a section", errors)) return;
  const size_t before = errors.size();
  std::map<std::string, std::string> map;
  for (const YamlEntry& entry : node.entries) {
    if (!expect(entry.value, YamlNode::Kind::kScalar, "one value", errors)) continue;
    map[entry.key] = entry.value.text;
  }
  if (errors.size() == before) field = std::move(map);
}

void read_record(const YamlNode& node, std::vector<DnsRecord>& records,
                 std::vector<ValueError>& errors) {
  if (!expect(node, YamlNode::Kind::kMap, "a record {name, type, value}", errors)) return;
  const size_t before = errors.size();
  DnsRecord record;
  for (const YamlEntry& entry : node.entries) {
    std::string* const field = entry.key == "name"    ? &record.name
                               : entry.key == "type"  ? &record.type
                               : entry.key == "value" ? &record.value
                                                      : nullptr;
    if (field == nullptr) {
      errors.push_back({entry.line, entry.column,
                        "a record has name, type and value, not " + quoted(entry.key)});
    } else if (expect(entry.value, YamlNode::Kind::kScalar, "one value", errors)) {
      *field = entry.value.text;
    }
  }
  if (errors.size() != before) return;
  const auto refuse = [&](std::string reason) {
    errors.push_back({node.line, node.column, std::move(reason)});
  };
  if (!is_dns_name(record.name)) return refuse("the record's name is not a DNS name");
  if (record.type != "A" && record.type != "AAAA") {
    return refuse("the record's type must be A or AAAA: clients ignore others");
  }
  const auto family = record.type == "A" ? IpFamily::kV4 : IpFamily::kV6;
  if (parse_ip(record.value) != family) {
    return refuse("the record's value is not an address for its type");
  }
  records.push_back(std::move(record));
}

TextList split_words(std::string_view text) {
  TextList words;
  while (true) {
    const size_t start = text.find_first_not_of(", \t\n");
    if (start == std::string_view::npos) return words;
    text.remove_prefix(start);
    const size_t end = std::min(text.find_first_of(", \t\n"), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 60)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return out + (text.size() > 60 ? "...\"" : "\"");
}

void set_from_yaml(const Key& key, const YamlNode& node, std::vector<ValueError>& errors) {
  if (node.kind == YamlNode::Kind::kNull) return;
  std::visit(
      Overloaded{
          [&](TextList* field) {
            if (auto list = read_list(key, node, errors)) *field = std::move(*list);
          },
          [&](std::map<std::string, TextList>* field) { read_split(key, *field, node, errors); },
          [&](std::map<std::string, std::string>* field) { read_texts(*field, node, errors); },
          [&](std::vector<DnsRecord>* field) {
            if (!expect(node, YamlNode::Kind::kList, "a list", errors)) return;
            const size_t before = errors.size();
            std::vector<DnsRecord> records;
            for (const YamlNode& item : node.items) {
              read_record(item, records, errors);
            }
            if (errors.size() == before) *field = std::move(records);
          },
          [&](auto*) {
            if (!expect(node, YamlNode::Kind::kScalar, "one value", errors)) return;
            std::string reason = set_scalar(key, node.text, false);
            if (!reason.empty()) {
              errors.push_back({node.line, node.column, std::move(reason)});
            }
          }},
      key.target);
}

std::string set_from_text(const Key& key, std::string_view text) {
  if (auto* const* list = std::get_if<TextList*>(&key.target)) {
    TextList words = split_words(text);
    for (const std::string& word : words) {
      if (std::string reason = check_rule(key, word); !reason.empty()) {
        return reason + found(key, word);
      }
    }
    **list = std::move(words);
    return {};
  }
  return set_scalar(key, text, true);
}

bool same_value(const Key& a, const Key& b) {
  return std::visit(
      [](auto* x, auto* y) {
        if constexpr (std::is_same_v<decltype(x), decltype(y)>) {
          return *x == *y;
        } else {
          return false;
        }
      },
      a.target, b.target);
}

void copy_value(const Key& from, const Key& to) {
  std::visit(
      [](auto* x, auto* y) {
        if constexpr (std::is_same_v<decltype(x), decltype(y)>) *y = *x;
      },
      from.target, to.target);
}

}  // namespace es::cli

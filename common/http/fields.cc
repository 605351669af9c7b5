#include "common/http/fields.h"

#include "common/base/ascii.h"
#include "common/http/hardening.h"

#include <algorithm>
#include <bit>

namespace es::http {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// RFC 9110 section 5.6.2.
constexpr bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

struct TokenTable {
  bool is_token[256] = {};
  constexpr TokenTable() {
    for (int c = 0; c < 128; ++c) is_token[c] = is_token_char(static_cast<char>(c));
  }
};
constexpr TokenTable kTokens;

bool is_token(std::string_view name) {
  if (name.empty()) return false;
  if (ascii::is_alnum_or_dash(name)) return true;
  bool ok = true;
  for (const char c : name) ok &= kTokens.is_token[static_cast<unsigned char>(c)];
  return ok;
}

bool has_control(std::string_view value) {
  if (!ascii::has_control(value)) return false;
  bool found = false;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    found |= (byte < 0x20 && byte != '\t') || byte == 0x7f;
  }
  return found;
}

// RFC 9110 section 8.6: digits only. 15 of them cannot overflow.
std::optional<uint64_t> parse_length(std::string_view text) {
  if (text.empty() || text.size() > 15) return std::nullopt;
  uint64_t v = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    v = v * 10 + static_cast<uint64_t>(c - '0');
  }
  return v;
}

// Collects what single fields say until all of them have been seen.
struct Reading {
  int num_hosts = 0;
  int num_lengths = 0;
  int num_encodings = 0;
  int num_upgrades = 0;
  std::string_view length;
  std::string_view encoding;
  std::string_view upgrade;
  std::string_view websocket_version;
  std::string_view websocket_key;
  bool host_ok = true;
};

// The names that mean something here: those that may go on, then those with a meaning of their own.
enum Name : size_t {
  kHost = kRequestAllowList.size(),
  kUpgrade,
  kContentLength,
  kTransferEncoding,
  kWebSocketKey,
  kWebSocketVersion,
  kNumNames,
};
constexpr auto kKnownNames = [] {
  std::array<std::string_view, kNumNames> names;
  std::copy(kRequestAllowList.begin(), kRequestAllowList.end(), names.begin());
  names[kHost] = "host";
  names[kUpgrade] = "upgrade";
  names[kContentLength] = "content-length";
  names[kTransferEncoding] = "transfer-encoding";
  names[kWebSocketKey] = "sec-websocket-key";
  names[kWebSocketVersion] = "sec-websocket-version";
  return names;
}();

// Which of the names have this length, and which begin with this letter: most fields are none of
// them, and few must be compared.
struct NameIndex {
  uint32_t of_length[32] = {};
  uint32_t of_letter[32] = {};
  constexpr NameIndex() {
    for (size_t i = 0; i < kKnownNames.size(); ++i) {
      of_length[kKnownNames[i].size()] |= uint32_t{1} << i;
      of_letter[kKnownNames[i].front() & 31] |= uint32_t{1} << i;
    }
  }
};
static_assert(kNumNames <= 32);
constexpr NameIndex kIndex;

// The place in kKnownNames of a checked token, kNumNames for none.
size_t find_name(std::string_view token) {
  if (token.size() >= std::size(kIndex.of_length)) return kNumNames;
  uint32_t left = kIndex.of_length[token.size()] & kIndex.of_letter[token.front() & 31];
  for (; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    // A checked token: no other character of one becomes a letter or '-' by that bit.
    if (ascii::equal_but_case_bits(token, kKnownNames[i])) return i;
  }
  return kNumNames;
}

void note_field(size_t name, std::string_view value, Reading& reading) {
  switch (name) {
    case kHost:
      ++reading.num_hosts;
      reading.host_ok = value.find(',') == std::string_view::npos;
      break;
    case kUpgrade:
      ++reading.num_upgrades;
      reading.upgrade = value;
      break;
    case kContentLength:
      ++reading.num_lengths;
      reading.length = value;
      break;
    case kTransferEncoding:
      ++reading.num_encodings;
      reading.encoding = value;
      break;
    case kWebSocketKey:
      reading.websocket_key = value;
      break;
    case kWebSocketVersion:
      reading.websocket_version = value;
      break;
    default:
      break;
  }
}

Refusal check_framing(const Reading& reading, Method method, const Limits& limits,
                      FieldFacts& facts) {
  if (reading.num_hosts > 1 || !reading.host_ok) return Refusal::kBadHost;
  if (reading.num_lengths > 1 || reading.num_encodings > 1) return Refusal::kBadFraming;
  if (reading.num_lengths > 0 && reading.num_encodings > 0) return Refusal::kBadFraming;
  if (reading.num_encodings > 0 && !equal_ignoring_case(reading.encoding, "chunked")) {
    return Refusal::kBadFraming;
  }
  uint64_t length = 0;
  if (reading.num_lengths > 0) {
    const auto parsed = parse_length(reading.length);
    if (!parsed) return Refusal::kBadFraming;
    if (*parsed > limits.max_body_bytes) return Refusal::kBodyTooLarge;
    length = *parsed;
  }
  facts.has_body = length > 0 || reading.num_encodings > 0;
  // A body there has no meaning, and hosts disagree about where it ends.
  if (facts.has_body && (method == Method::kGet || method == Method::kHead)) {
    return Refusal::kBadFraming;
  }
  return Refusal::kNone;
}

Upgrade upgrade_of(const Reading& reading) {
  if (reading.num_upgrades == 0) return Upgrade::kNone;
  const bool websocket = reading.num_upgrades == 1 &&
                         equal_ignoring_case(reading.upgrade, "websocket") &&
                         reading.websocket_version == "13" && reading.websocket_key.size() == 24;
  return websocket ? Upgrade::kWebSocket : Upgrade::kOther;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view find_field(std::span<const Field> fields, std::string_view name) {
  for (const Field& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

FieldFacts check_fields(std::span<const Field> fields, Method method, const Limits& limits) {
  FieldFacts facts;
  Reading reading;
  if (fields.size() > limits.max_fields) {
    facts.refusal = Refusal::kFieldsTooLarge;
    return facts;
  }
  size_t total = 0;
  for (size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    total += field.name.size() + field.value.size();
    if (total > limits.max_fields_bytes) {
      facts.refusal = Refusal::kFieldsTooLarge;
      return facts;
    }
    if (!is_token(field.name)) {
      facts.refusal = Refusal::kBadField;
      return facts;
    }
    if (has_control(field.value)) {
      facts.refusal = Refusal::kControlCharacter;
      return facts;
    }
    const size_t name = find_name(field.name);
    if (name < kRequestAllowList.size()) {
      facts.forward.add(i);
    } else {
      note_field(name, field.value, reading);
    }
  }
  facts.refusal = check_framing(reading, method, limits, facts);
  facts.upgrade = upgrade_of(reading);
  return facts;
}

std::optional<Method> parse_method(std::string_view token) {
  for (const Method m : {Method::kGet, Method::kPost, Method::kHead, Method::kPut, Method::kDelete,
                         Method::kPatch, Method::kOptions}) {
    if (token == method_name(m)) return m;
  }
  return std::nullopt;
}

std::string_view method_name(Method method) {
  constexpr std::string_view kNames[] = {"GET",   "HEAD",   "POST",   "PUT",
                                         "PATCH", "DELETE", "OPTIONS"};
  return kNames[static_cast<size_t>(method)];
}

}  // namespace es::http

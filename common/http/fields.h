// Checks of a request's header fields: syntax, size, framing and upgrade.
//
// Both twins call it on the complete list, duplicates included. workerd joins duplicates with ", "
// before the edge sees them, so a comma in a field that may stand once counts as a duplicate.
#pragma once

#include "common/http/message.h"
#include "common/http/refusal.h"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace es::http {

enum class Upgrade : uint8_t {
  kNone,
  kWebSocket,  // RFC 6455: version 13 and a key are there
  kOther,      // tailscale-control-protocol, DERP, h2c, a broken WebSocket request, ...
};

// Which of the fields of one request, by their place.
struct FieldSet {
  static constexpr size_t kMost = 128;
  std::array<uint32_t, kMost / 32> bits{};

  void add(size_t place) {
    if (place < kMost) bits[place / 32] |= uint32_t{1} << place % 32;
  }
  bool contains(size_t place) const {
    return place < kMost && (bits[place / 32] >> place % 32 & 1) != 0;
  }
};

// What the gate needs to know of the fields once they are found sound.
struct FieldFacts {
  Refusal refusal = Refusal::kNone;  // not kNone: the rest is unspecified
  Upgrade upgrade = Upgrade::kNone;
  bool has_body = false;
  FieldSet forward;  // those that kRequestAllowList names
};

// Refuses (400) names that are no tokens, control characters in values (HTAB is allowed), a second
// Host, Content-Length or Transfer-Encoding, a Content-Length that is no number, any
// Transfer-Encoding but "chunked", both at once, and a body on GET or HEAD; (413) a Content-Length
// beyond the limit; (431) too many or too large fields.
FieldFacts check_fields(std::span<const Field> fields, Method method, const Limits& limits);

// The first value of a field, or an empty view. `name` in lower case.
std::string_view find_field(std::span<const Field> fields, std::string_view name);

}  // namespace es::http

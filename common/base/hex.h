// Lower-case hexadecimal text, as in Tailscale's key texts and in our tokens.
#pragma once

#include "common/base/bytes.h"

#include <string>
#include <string_view>

namespace es {

std::string hex_encode(Bytes data);

// Writes 2 * data.size() characters.
void hex_encode(Bytes data, ByteWriter& out);

// The value of one hexadecimal digit of either case, or -1.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Fills `out` exactly. False (and `out` unspecified) when the text has another length than
// 2 * out.size() or holds anything but hexadecimal digits of either case.
[[nodiscard]] bool hex_decode(std::string_view text, MutableBytes out);

}  // namespace es

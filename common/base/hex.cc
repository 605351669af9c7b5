#include "common/base/hex.h"

#include <algorithm>

namespace es {
namespace {
constexpr char kDigits[] = "0123456789abcdef";

// hex_digit() of each byte.
struct Values {
  int8_t of[256] = {};
  constexpr Values() {
    for (int c = 0; c < 256; ++c) of[c] = static_cast<int8_t>(hex_digit(static_cast<char>(c)));
  }
};
constexpr Values kValues;
}  // namespace

std::string hex_encode(Bytes data) {
  std::string out;
  out.reserve(data.size() * 2);
  for (const uint8_t b : data) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

void hex_encode(Bytes data, ByteWriter& out) {
  uint8_t digits[64];
  while (!data.empty()) {
    const size_t len = std::min(data.size(), sizeof digits / 2);
    for (size_t i = 0; i < len; ++i) {
      digits[2 * i] = static_cast<uint8_t>(kDigits[data[i] >> 4]);
      digits[2 * i + 1] = static_cast<uint8_t>(kDigits[data[i] & 15]);
    }
    out.bytes(Bytes(digits).first(2 * len));
    data = data.subspan(len);
  }
}

bool hex_decode(std::string_view text, MutableBytes out) {
  if (text.size() != out.size() * 2) return false;
  int all = 0;  // negative as soon as one digit was
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = kValues.of[static_cast<uint8_t>(text[2 * i])];
    const int low = kValues.of[static_cast<uint8_t>(text[2 * i + 1])];
    all |= high | low;
    out[i] = static_cast<uint8_t>(static_cast<unsigned>(high) << 4 | static_cast<unsigned>(low));
  }
  return all >= 0;
}

}  // namespace es

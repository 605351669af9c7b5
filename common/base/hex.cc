#include "common/base/hex.h"

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
  for (const uint8_t b : data) {
    const uint8_t digits[2] = {static_cast<uint8_t>(kDigits[b >> 4]),
                               static_cast<uint8_t>(kDigits[b & 15])};
    out.bytes(digits);
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

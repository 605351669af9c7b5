#include "common/base/hex.h"

#include <bit>
#include <cstring>

namespace es {
namespace {
constexpr char kDigits[] = "0123456789abcdef";

// The digits of four bytes, all at once; little-endian both.
static_assert(std::endian::native == std::endian::little);
uint64_t eight_digits(uint32_t bytes) {
  uint64_t v = bytes;
  v = (v | v << 16) & 0x0000ffff0000ffff;
  v = (v | v << 8) & 0x00ff00ff00ff00ff;
  v = (v >> 4 | v << 8) & 0x0f0f0f0f0f0f0f0f;
  const uint64_t letters = (v + 0x0606060606060606) >> 4 & 0x0101010101010101;
  return v + 0x3030303030303030 + letters * ('a' - '0' - 10);
}

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
  uint8_t* to = out.take(2 * data.size());
  if (to == nullptr) return;
  for (; data.size() >= 4; data = data.subspan(4), to += 8) {
    uint32_t four = 0;
    std::memcpy(&four, data.data(), sizeof four);
    const uint64_t text = eight_digits(four);
    std::memcpy(to, &text, sizeof text);
  }
  for (const uint8_t b : data) {
    *to++ = static_cast<uint8_t>(kDigits[b >> 4]);
    *to++ = static_cast<uint8_t>(kDigits[b & 15]);
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

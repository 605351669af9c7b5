#include "common/base/hex.h"

namespace es {
namespace {
constexpr char kDigits[] = "0123456789abcdef";
}

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
    out.u8(static_cast<uint8_t>(kDigits[b >> 4]));
    out.u8(static_cast<uint8_t>(kDigits[b & 15]));
  }
}

bool hex_decode(std::string_view text, MutableBytes out) {
  if (text.size() != out.size() * 2) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace es

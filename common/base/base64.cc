#include "common/base/base64.h"

namespace es {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int value_of(char c, Base64Alphabet alphabet) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  const bool url = alphabet == Base64Alphabet::kUrlUnpadded;
  if (c == (url ? '-' : '+')) return 62;
  if (c == (url ? '_' : '/')) return 63;
  return -1;
}

}  // namespace

std::string base64_encode(Bytes data, Base64Alphabet alphabet) {
  const bool padded = alphabet == Base64Alphabet::kStandardPadded;
  const std::string_view digits = padded ? kStandard : kUrl;
  std::string out;
  out.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    const size_t n = data.size() - i < 3 ? data.size() - i : 3;
    uint32_t group = static_cast<uint32_t>(data[i]) << 16;
    if (n > 1) group |= static_cast<uint32_t>(data[i + 1]) << 8;
    if (n > 2) group |= data[i + 2];
    for (size_t digit = 0; digit <= n; ++digit)
      out.push_back(digits[group >> (18 - 6 * digit) & 63]);
    if (padded) out.append(3 - n, '=');
  }
  return out;
}

std::optional<size_t> base64_decode(std::string_view text, Base64Alphabet alphabet,
                                    MutableBytes out) {
  if (alphabet == Base64Alphabet::kStandardPadded) {
    if (text.size() % 4 != 0) return std::nullopt;
    for (int pad = 0; pad < 2 && !text.empty() && text.back() == '='; ++pad) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  const size_t len = text.size() * 3 / 4;
  if (out.size() < len) return std::nullopt;

  uint32_t bits = 0;
  int num_bits = 0;
  size_t at = 0;
  for (const char c : text) {
    const int v = value_of(c, alphabet);
    if (v < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(v);
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      out[at++] = static_cast<uint8_t>(bits >> num_bits);
    }
  }
  const uint32_t stray = bits & ((1U << num_bits) - 1);
  if (stray != 0) return std::nullopt;
  return len;
}

}  // namespace es

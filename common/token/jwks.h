// The public keys of a Cloudflare Access team: the JSON at /cdn-cgi/access/certs (RFC 7517).
//
// Taken are RSA keys for RS256 with a kid; other members (public_cert and public_certs among them)
// and other kinds of keys are passed over. Bounded: kMaxKeys keys, moduli of 2048 to 4096 bits,
// kMaxJwksLen bytes of text. A document without a usable key is refused.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace es::token {

inline constexpr size_t kMaxJwksLen = 64 * 1024;

// Text of at most N bytes, in place.
template <size_t N>
struct BoundedText {
  std::array<char, N> data{};
  uint16_t len = 0;

  std::string_view view() const { return {data.data(), len}; }
  bool empty() const { return len == 0; }
  // False, and unchanged, when the text does not fit.
  bool assign(std::string_view text) {
    if (text.size() > N) return false;
    for (size_t i = 0; i < text.size(); ++i) data[i] = text[i];
    len = static_cast<uint16_t>(text.size());
    return true;
  }
};

struct RsaKey {
  static constexpr size_t kMaxKidLen = 128;
  static constexpr size_t kMinModulusLen = 256;
  static constexpr size_t kMaxModulusLen = 512;
  static constexpr size_t kMaxExponentLen = 4;

  BoundedText<kMaxKidLen> kid;
  std::array<uint8_t, kMaxModulusLen> n{};
  uint16_t n_len = 0;
  std::array<uint8_t, kMaxExponentLen> e{};
  uint8_t e_len = 0;

  Bytes modulus() const { return Bytes(n).first(n_len); }
  Bytes exponent() const { return Bytes(e).first(e_len); }
};

struct Jwks {
  static constexpr size_t kMaxKeys = 8;

  std::array<RsaKey, kMaxKeys> keys;
  size_t num_keys = 0;

  // Null when there is none.
  const RsaKey* find(std::string_view kid) const;
};

// Fills `out`, which changes only when the whole document is good.
Status parse_jwks(std::string_view json, Jwks& out);

}  // namespace es::token

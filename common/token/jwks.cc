#include "common/token/jwks.h"

#include "common/base/base64.h"
#include "common/token/json_reader.h"

#include <algorithm>

namespace es::token {
namespace {

constexpr Error kBad = refuse("JWKS: not a key set");

// A number of at most N bytes as base64url text, without leading zeros; 0 when it is none.
template <size_t N>
size_t read_number(JsonReader& json, std::array<uint8_t, N>& out) {
  std::array<uint8_t, (N + 3) / 3 * 4 + 4> text;
  const auto encoded = json.string(text);
  if (!encoded) return 0;
  std::array<uint8_t, N + 1> value;
  const auto len = base64_decode(*encoded, Base64Alphabet::kUrlUnpadded, value);
  if (!len || *len == 0) return 0;
  const size_t zeros = value[0] == 0 ? 1 : 0;
  if (*len - zeros > N || *len == zeros) return 0;
  std::copy_n(value.begin() + static_cast<std::ptrdiff_t>(zeros), *len - zeros, out.begin());
  return *len - zeros;
}

enum class Member : uint8_t { kKid, kKty, kAlg, kUse, kN, kE, kOther };

Member member(std::string_view name) {
  if (name == "kid") return Member::kKid;
  if (name == "kty") return Member::kKty;
  if (name == "alg") return Member::kAlg;
  if (name == "use") return Member::kUse;
  if (name == "n") return Member::kN;
  if (name == "e") return Member::kE;
  return Member::kOther;
}

// One element of "keys". False when the document is broken; `usable` says whether the key is one
// for RS256.
bool read_key(JsonReader& json, RsaKey& key, bool& usable) {
  std::array<uint8_t, 64> name_buffer;
  std::array<uint8_t, RsaKey::kMaxKidLen> text;
  std::string_view name;
  unsigned seen = 0;
  bool right_kind = true;
  if (!json.enter_object()) return false;
  while (json.next_member(name_buffer, name)) {
    const Member which = member(name);
    if (which == Member::kOther || json.peek() != JsonReader::Kind::kString) {
      json.skip();
      continue;
    }
    const unsigned bit = 1U << static_cast<unsigned>(which);
    if ((seen & bit) != 0) return false;
    seen |= bit;
    if (which == Member::kN) {
      key.n_len = static_cast<uint16_t>(read_number(json, key.n));
      continue;
    }
    if (which == Member::kE) {
      key.e_len = static_cast<uint8_t>(read_number(json, key.e));
      continue;
    }
    const auto value = json.string(text);
    if (!value) return false;
    if (which == Member::kKid && !key.kid.assign(*value)) return false;
    if (which == Member::kKty) right_kind = right_kind && *value == "RSA";
    if (which == Member::kAlg) right_kind = right_kind && *value == "RS256";
    if (which == Member::kUse) right_kind = right_kind && *value == "sig";
  }
  const unsigned needed =
      1U << static_cast<unsigned>(Member::kKid) | 1U << static_cast<unsigned>(Member::kKty) |
      1U << static_cast<unsigned>(Member::kN) | 1U << static_cast<unsigned>(Member::kE);
  const bool odd_exponent =
      key.e_len > 0 && (key.e[key.e_len - 1U] & 1) != 0 && !(key.e_len == 1 && key.e[0] == 1);
  usable = right_kind && (seen & needed) == needed && !key.kid.empty() && odd_exponent &&
           key.n_len >= RsaKey::kMinModulusLen;
  return json.ok();
}

}  // namespace

const RsaKey* Jwks::find(std::string_view kid) const {
  for (size_t i = 0; i < num_keys; ++i) {
    if (keys[i].kid.view() == kid) return &keys[i];
  }
  return nullptr;
}

Status parse_jwks(std::string_view text, Jwks& out) {
  if (text.size() > kMaxJwksLen) return refuse("JWKS: too large");
  JsonReader json(text);
  std::array<uint8_t, 64> name_buffer;
  std::string_view name;
  Jwks found;
  bool has_keys = false;
  if (!json.enter_object()) return kBad;
  while (json.next_member(name_buffer, name)) {
    if (name != "keys") {
      json.skip();
      continue;
    }
    if (has_keys || !json.enter_array()) return kBad;
    has_keys = true;
    while (json.next_element()) {
      RsaKey key;
      bool usable = false;
      if (!read_key(json, key, usable)) return kBad;
      if (!usable) continue;
      if (found.find(key.kid.view()) != nullptr) return refuse("JWKS: two keys with one kid");
      if (found.num_keys == Jwks::kMaxKeys) return refuse("JWKS: too many keys");
      found.keys[found.num_keys++] = key;
    }
  }
  if (!json.finished()) return kBad;
  if (found.num_keys == 0) return refuse("JWKS: no usable key");
  out = found;
  return {};
}

}  // namespace es::token

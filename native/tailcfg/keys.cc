#include "native/tailcfg/keys.h"

#include "common/base/hex.h"

namespace es::tailcfg {

namespace detail {

std::optional<RawKey> parse_key(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  RawKey raw;
  if (!hex_decode(text.substr(prefix.size()), raw)) {
    wipe(raw);
    return std::nullopt;
  }
  return raw;
}

std::string format_key(std::string_view prefix, const RawKey& raw) {
  std::string text;
  text.reserve(prefix.size() + 2 * kKeyLen);
  text += prefix;
  text += hex_encode(raw);
  return text;
}

}  // namespace detail

std::optional<PrivateKey> PrivateKey::parse(std::string_view text) {
  auto raw = detail::parse_key(kPrefix, text);
  if (!raw || *raw == RawKey{}) return std::nullopt;
  PrivateKey key(*raw);
  wipe(*raw);
  return key;
}

}  // namespace es::tailcfg

#include "common/token/edge_keys.h"

#include "common/base/hex.h"

#include <algorithm>

namespace es::token {

Result<EdgeKeys> derive_edge_keys(std::string_view secret_hex) {
  std::array<uint8_t, 32> secret;
  if (secret_hex.size() != 2 * secret.size()) {
    return refuse("EDGE_TOKEN_KEY must be 64 hexadecimal digits");
  }
  if (!hex_decode(secret_hex, secret)) {
    wipe(secret);
    return refuse("EDGE_TOKEN_KEY must be hexadecimal");
  }
  if (std::all_of(secret_hex.begin(), secret_hex.end(),
                  [&](char c) { return c == secret_hex.front(); })) {
    return refuse("EDGE_TOKEN_KEY is a placeholder, not a random key");
  }
  const HmacKey root{Bytes(secret)};
  wipe(secret);
  const auto derive = [&](std::string_view label) {
    Sha256Digest key = root.mac(as_bytes(label));
    const HmacKey derived{Bytes(key)};
    wipe(key);
    return derived;
  };
  return EdgeKeys{derive("edgescale token seal v1"), derive("edgescale edge signature v1"),
                  derive("edgescale log hash v1")};
}

}  // namespace es::token

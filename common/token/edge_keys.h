// The keys that Worker and origin derive from their one shared secret, EDGE_TOKEN_KEY.
//
// Each key is HMAC-SHA-256(secret, label): who learns one learns neither the others nor the secret,
// and nothing made for one purpose verifies for another.
#pragma once

#include "common/base/result.h"
#include "common/token/hmac.h"

#include <string_view>

namespace es::token {

struct EdgeKeys {
  HmacKey seal;       // token.h
  HmacKey signature;  // signature.h
  HmacKey hash;       // client and token hashes in logs and analytics
};

// `secret_hex` is exactly 64 hexadecimal digits, and not all the same digit (a placeholder).
Result<EdgeKeys> derive_edge_keys(std::string_view secret_hex);

}  // namespace es::token

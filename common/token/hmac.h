// HMAC-SHA-256 (RFC 2104) with a prepared key: the inner and outer pads are hashed once, so a short
// message costs two compressions.
#pragma once

#include "common/base/bytes.h"
#include "common/token/sha256.h"

namespace es::token {

class HmacKey {
 public:
  explicit HmacKey(Bytes key);

  Sha256Digest mac(Bytes message) const;

 private:
  friend class Hmac;
  Sha256State inner_;
  Sha256State outer_;
};

// One message in pieces. The key must outlive it.
class Hmac {
 public:
  explicit Hmac(const HmacKey& key) : inner_(key.inner_), outer_(key.outer_) {}

  void update(Bytes data) { inner_.update(data); }
  // The object is spent afterwards.
  Sha256Digest finish();

 private:
  Sha256 inner_;
  const Sha256State& outer_;
};

}  // namespace es::token

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
  Sha256 inner_;
  Sha256 outer_;
};

// One message in pieces.
class Hmac {
 public:
  explicit Hmac(const HmacKey& key) : inner_(key.inner_), outer_(key.outer_) {}

  void update(Bytes data) { inner_.update(data); }
  // Adds the length as four big-endian bytes, then the text: no two lists of fields are one
  // message.
  void field(std::string_view text);
  // The object is spent afterwards.
  Sha256Digest finish();

 private:
  Sha256 inner_;
  Sha256 outer_;
};

}  // namespace es::token

#include "common/token/hmac.h"

#include <algorithm>

namespace es::token {

HmacKey::HmacKey(Bytes key) {
  std::array<uint8_t, kSha256BlockLen> pad{};
  if (key.size() > kSha256BlockLen) {
    const Sha256Digest digest = sha256(key);
    std::copy(digest.begin(), digest.end(), pad.begin());
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  for (uint8_t& b : pad) b ^= 0x36;
  inner_ = Sha256::after(pad);
  for (uint8_t& b : pad) b ^= 0x36 ^ 0x5c;
  outer_ = Sha256::after(pad);
  wipe(pad);
}

Sha256Digest HmacKey::mac(Bytes message) const {
  Hmac hmac(*this);
  hmac.update(message);
  return hmac.finish();
}

Sha256Digest Hmac::finish() {
  Sha256 outer(outer_);
  outer.update(inner_.finish());
  return outer.finish();
}

}  // namespace es::token

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
  inner_.update(pad);
  for (uint8_t& b : pad) b ^= 0x36 ^ 0x5c;
  outer_.update(pad);
  wipe(pad);
}

Sha256Digest HmacKey::mac(Bytes message) const {
  Hmac hmac(*this);
  hmac.update(message);
  return hmac.finish();
}

void Hmac::field(std::string_view text) {
  std::array<uint8_t, 4> len;
  ByteWriter(len).u32be(static_cast<uint32_t>(text.size()));
  inner_.update(len);
  inner_.update(as_bytes(text));
}

Sha256Digest Hmac::finish() {
  outer_.update(inner_.finish());
  return outer_.finish();
}

}  // namespace es::token

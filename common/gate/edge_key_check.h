// What the edge can say about an API key without asking the origin.
//
// Threads: immutable after create().
#pragma once

#include "common/base/result.h"
#include "common/gate/key_check.h"
#include "common/token/hmac.h"
#include "common/token/token.h"

#include <array>
#include <string_view>

namespace es::gate {

class EdgeKeyCheck {
 public:
  // `operator_key` is HEADSCALE_API_KEY: anything that an Authorization header may carry, of at
  // least 16 characters. `seal` must outlive this.
  static Result<EdgeKeyCheck> create(std::string_view operator_key, const token::HmacKey& seal);

  // The operator's key, or one sealed with the shared key and not expired, or a key without a seal.
  // A revoked one still passes here: the origin is the authority on that.
  KeyVerdict check(std::string_view token, WallTime now) const;

  // For Gate; the object must stay where it is.
  KeyCheck as_key_check();

 private:
  EdgeKeyCheck() = default;

  std::array<char, token::kMaxTokenLen> operator_key_{};
  size_t operator_key_len_ = 0;
  const token::HmacKey* seal_ = nullptr;
};

}  // namespace es::gate

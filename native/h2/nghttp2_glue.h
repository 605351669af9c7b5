// Private to h2: owning handles and the few calls that both sessions make in the same way.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/h2/types.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

namespace es::h2 {

struct FreeSession {
  void operator()(nghttp2_session* s) const { nghttp2_session_del(s); }
};
struct FreeCallbacks {
  void operator()(nghttp2_session_callbacks* c) const { nghttp2_session_callbacks_del(c); }
};
struct FreeOption {
  void operator()(nghttp2_option* o) const { nghttp2_option_del(o); }
};
using SessionHandle = std::unique_ptr<nghttp2_session, FreeSession>;
using CallbacksHandle = std::unique_ptr<nghttp2_session_callbacks, FreeCallbacks>;
using OptionHandle = std::unique_ptr<nghttp2_option, FreeOption>;

// nghttp2 copies names and values before the call returns.
inline nghttp2_nv name_value(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

inline std::string_view text_of(const uint8_t* data, size_t len) {
  return {reinterpret_cast<const char*>(data), len};
}

// Appends what the session has to send, until `enough` is reached.
inline bool drain(nghttp2_session* session, size_t enough, std::vector<uint8_t>& out) {
  const size_t before = out.size();
  while (out.size() < enough) {
    const uint8_t* data = nullptr;
    const ssize_t len = nghttp2_session_mem_send(session, &data);
    if (len <= 0) break;
    out.insert(out.end(), data, data + len);
  }
  return out.size() > before;
}

// A token bucket over milliseconds; never refilled by a clock that stands still or goes back.
class RateLimit {
 public:
  RateLimit(uint32_t per_second, uint32_t burst)
      : per_second_(per_second), burst_(int64_t{burst} * 1000), milli_tokens_(burst_) {}

  bool take(Millis now) {
    if (!started_) {
      started_ = true;
      last_ = now;
    }
    if (now > last_) {
      const int64_t elapsed_ms = std::min<int64_t>((now - last_).count(), 3600 * 1000);
      milli_tokens_ = std::min(burst_, milli_tokens_ + elapsed_ms * per_second_);
      last_ = now;
    }
    if (milli_tokens_ < 1000) return false;
    milli_tokens_ -= 1000;
    return true;
  }

 private:
  int64_t per_second_;
  int64_t burst_;
  int64_t milli_tokens_;
  Millis last_{0};
  bool started_ = false;
};

}  // namespace es::h2

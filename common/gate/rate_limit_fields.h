// The RateLimit and RateLimit-Policy response fields (draft-ietf-httpapi-ratelimit-headers-10).
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "common/limit/limiter.h"

namespace es::gate {

inline constexpr size_t kMaxRateLimitLen = 48;

// `"default";q=120;w=60`: what a client may use in any window, whose length is rounded up.
void write_rate_limit_policy(const limit::Limit& limit, ByteWriter& out);

// `"default";r=0;t=12`: what is left, and the seconds until more is granted.
void write_rate_limit(uint32_t remaining, Seconds until_more, ByteWriter& out);

// Rounded up, so that a client that waits exactly as long as it was told is served.
constexpr Seconds retry_after_seconds(Millis wait) { return std::chrono::ceil<Seconds>(wait); }

}  // namespace es::gate

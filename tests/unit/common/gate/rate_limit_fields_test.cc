#include "common/gate/rate_limit_fields.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>

namespace es::gate {

TEST_CASE("the RateLimit fields are structured fields") {
  std::array<uint8_t, kMaxRateLimitLen> buf{};
  ByteWriter policy(buf);
  write_rate_limit_policy({100, Millis{60'000}, 20}, policy);
  CHECK(as_text(policy.written()) == "\"default\";q=120;w=60");
  ByteWriter state(buf);
  write_rate_limit(0, Seconds{12}, state);
  CHECK(as_text(state.written()) == "\"default\";r=0;t=12");
}

TEST_CASE("the longest values fit") {
  std::array<uint8_t, kMaxRateLimitLen> buf{};
  ByteWriter policy(buf);
  write_rate_limit_policy({limit::kMaxPermits, limit::kMaxWindow, 0}, policy);
  CHECK(policy.ok());
  ByteWriter state(buf);
  write_rate_limit(UINT32_MAX, Seconds{limit::kMaxWindow.count()}, state);
  CHECK(state.ok());
}

TEST_CASE("waiting times are rounded up") {
  CHECK(retry_after_seconds(Millis{0}) == Seconds{0});
  CHECK(retry_after_seconds(Millis{1}) == Seconds{1});
  CHECK(retry_after_seconds(Millis{1000}) == Seconds{1});
  CHECK(retry_after_seconds(Millis{1001}) == Seconds{2});
}

}  // namespace es::gate

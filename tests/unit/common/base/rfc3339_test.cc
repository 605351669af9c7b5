#include "common/base/rfc3339.h"

#include <catch2/catch.hpp>

#include <random>

namespace es {
namespace {

std::string written(WallTime t) {
  std::string out;
  append_rfc3339(out, t);
  return out;
}

TEST_CASE("times are read and written in one form") {
  const struct {
    const char* text;
    int64_t unix_ms;
  } both[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"0001-01-01T00:00:00Z", -62'135'596'800'000},
      {"9999-12-31T23:59:59.999Z", 253'402'300'799'999},
      {"2026-11-22T12:30:45.250Z", 1'795'350'645'250},
      {"2024-02-29T00:00:00Z", 1'709'164'800'000},
      {"1969-12-31T23:59:59.999Z", -1},
  };
  for (const auto& c : both) {
    INFO(c.text);
    CHECK(parse_rfc3339(c.text) == wall_time_ms(c.unix_ms));
    CHECK(written(wall_time_ms(c.unix_ms)) == c.text);
  }
}

TEST_CASE("offsets and any number of fraction digits are read") {
  CHECK(parse_rfc3339("2026-11-22T14:30:45+02:00") == parse_rfc3339("2026-11-22T12:30:45Z"));
  CHECK(parse_rfc3339("2026-11-22T00:00:00-23:59") == parse_rfc3339("2026-11-22T23:59:00Z"));
  CHECK(parse_rfc3339("1970-01-01T00:00:00.5Z") == wall_time_ms(500));
  CHECK(parse_rfc3339("1970-01-01T00:00:00.0019999999999999Z") == wall_time_ms(1));
}

TEST_CASE("near misses are no times") {
  for (const char* text : {"",
                           "2026-11-22",
                           "2026-11-22T12:30:45",
                           "2026-11-22 12:30:45Z",
                           "2026-11-22t12:30:45Z",
                           "2026-11-22T12:30:45z",
                           "2026-11-22T12:30Z",
                           "2026-11-22T12:30:45.Z",
                           "2026-11-22T12:30:45,5Z",
                           "2026-11-22T24:00:00Z",
                           "2026-11-22T12:60:00Z",
                           "2026-11-22T12:30:60Z",
                           "2026-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "0000-01-01T00:00:00Z",
                           "02026-01-01T00:00:00Z",
                           "2026-1-01T00:00:00Z",
                           "2026-01-01T00:00:00+24:00",
                           "2026-01-01T00:00:00+01:60",
                           "2026-01-01T00:00:00+0100",
                           "2026-01-01T00:00:00Z ",
                           " 2026-01-01T00:00:00Z",
                           "-026-01-01T00:00:00Z",
                           "+2026-01-01T00:00:00Z",
                           "0001-01-01T00:00:00+00:01",
                           "9999-12-31T23:59:59-00:01"}) {
    INFO(text);
    CHECK(parse_rfc3339(text) == std::nullopt);
  }
}

TEST_CASE("what is written is read back, for times all over the range") {
  const uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any(-62'135'596'800'000, 253'402'300'799'999);
  for (int i = 0; i < 2000; ++i) {
    const WallTime t = wall_time_ms(any(random));
    CHECK(parse_rfc3339(written(t)) == t);
  }
}

TEST_CASE("times outside the four-digit years are written as the nearest inside") {
  CHECK(written(WallTime::min()) == "0001-01-01T00:00:00Z");
  CHECK(written(WallTime::max()) == "9999-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace es

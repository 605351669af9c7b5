#include "native/stun/responder.h"

#include <catch2/catch.hpp>

namespace es::stun {

namespace {

std::array<uint8_t, kRequestLen> request() {
  std::array<uint8_t, kRequestLen> out;
  ByteWriter writer(out);
  write_request(TxId{7}, writer);
  return out;
}

Endpoint v4_source(uint32_t n) {
  return Endpoint::v4(
      {10, static_cast<uint8_t>(n >> 16U), static_cast<uint8_t>(n >> 8U), static_cast<uint8_t>(n)},
      1234);
}

size_t answers(Responder& responder, const Endpoint& source, int64_t now_ms, size_t asks) {
  std::array<uint8_t, kMaxResponseLen> reply;
  size_t got = 0;
  for (size_t i = 0; i < asks; ++i) {
    if (responder.handle(request(), source, Millis(now_ms), reply)) ++got;
  }
  return got;
}

}  // namespace

TEST_CASE("a good request is answered with its source, and all else is counted as ignored") {
  Responder responder({}, 1);
  std::array<uint8_t, kMaxResponseLen> reply;
  const auto len = responder.handle(request(), v4_source(1), Millis(0), reply);
  REQUIRE(len == kResponseLenV4);
  CHECK(parse_response(TxId{7}, Bytes(reply).first(*len)) == v4_source(1));
  Endpoint v6{{0x20, 1}, 9};
  CHECK(responder.handle(request(), v6, Millis(0), reply) == kResponseLenV6);
  CHECK_FALSE(responder.handle(as_bytes("hello"), v6, Millis(0), reply));
  CHECK(responder.counters().answered_v4 == 1);
  CHECK(responder.counters().answered_v6 == 1);
  CHECK(responder.counters().ignored == 1);
}

TEST_CASE("a source gets its burst and then its rate, whatever other sources do") {
  Responder responder({.per_second = 10, .burst = 20, .table_sets = 16}, 1);
  CHECK(answers(responder, v4_source(1), 0, 100) == 20);
  CHECK(answers(responder, v4_source(2), 0, 100) == 20);
  CHECK(answers(responder, v4_source(1), 99, 10) == 0);
  CHECK(answers(responder, v4_source(1), 100, 10) == 1);
  CHECK(answers(responder, v4_source(1), 1100, 100) == 10);
  CHECK(answers(responder, v4_source(1), 100000, 100) == 20);
  CHECK(responder.counters().rate_limited == 80 + 80 + 10 + 9 + 90 + 80);
}

TEST_CASE("parts of a token add up over many short steps") {
  Responder responder({.per_second = 3, .burst = 1, .table_sets = 1}, 1);
  size_t got = 0;
  for (int64_t ms = 0; ms < 10000; ++ms) got += answers(responder, v4_source(1), ms, 1);
  CHECK(got >= 30);
  CHECK(got <= 31);
}

TEST_CASE("time that jumps back refills nothing and hangs nothing") {
  Responder responder({.per_second = 10, .burst = 5, .table_sets = 1}, 1);
  CHECK(answers(responder, v4_source(1), 1000000, 10) == 5);
  CHECK(answers(responder, v4_source(1), 0, 10) == 0);
  CHECK(answers(responder, v4_source(1), 1000, 10) == 5);
}

TEST_CASE("IPv6 sources count by /64") {
  Responder responder({.per_second = 1, .burst = 4, .table_sets = 16}, 1);
  Endpoint a{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1}, 1};
  Endpoint b{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2}, 2};
  Endpoint c{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 1}, 1};
  CHECK(answers(responder, a, 0, 3) == 3);
  CHECK(answers(responder, b, 0, 3) == 1);
  CHECK(answers(responder, c, 0, 3) == 3);
}

TEST_CASE("a flood of distinct sources is answered from a table that does not grow") {
  Responder responder({.per_second = 1, .burst = 2, .table_sets = 64}, 99);
  size_t got = 0;
  for (uint32_t n = 0; n < 20000; ++n) got += answers(responder, v4_source(n), 0, 1);
  CHECK(got == 20000);
  // An honest source still is.
  CHECK(answers(responder, Endpoint::v4({192, 0, 2, 1}, 1), 1, 1) == 1);
}

}  // namespace es::stun

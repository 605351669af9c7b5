#include "native/derp/info.h"

#include <catch2/catch.hpp>

namespace es::derp {

TEST_CASE("a box opens only as it was sealed") {
  Key a{0, 1}, b{0, 2};  // clamping drops the low bits of the first byte
  const auto box_a = SharedBox::create(a, public_key(b).value()).value();
  const auto box_b = SharedBox::create(b, public_key(a).value()).value();
  std::vector<uint8_t> sealed;
  box_a.seal(Nonce{7}, as_bytes("hello"), sealed);
  REQUIRE(sealed.size() == kNonceLen + kBoxOverhead + 5);
  CHECK(as_text(box_b.open(sealed).value()) == "hello");
  for (size_t len = 0; len < sealed.size(); ++len) {
    CHECK_FALSE(box_b.open(Bytes(sealed).first(len)).ok());
  }
  for (size_t i = 0; i < sealed.size(); ++i) {
    auto bad = sealed;
    bad[i] ^= 1;
    CHECK_FALSE(box_b.open(bad).ok());
  }
  const auto other = SharedBox::create(Key{0, 3}, public_key(a).value()).value();
  CHECK_FALSE(other.open(sealed).ok());
}

TEST_CASE("a box with a key of low order is refused") {
  CHECK_FALSE(SharedBox::create(Key{1}, Key{}).ok());
  CHECK_FALSE(SharedBox::create(Key{1}, Key{1}).ok());
}

TEST_CASE("the client's JSON is read by Go's rules") {
  const auto parse = [](std::string_view text) { return parse_client_info(text); };
  CHECK(parse(R"({"version":2,"CanAckPings":true})")->can_ack_pings);
  CHECK(parse(R"({"Version":2,"CANACKPINGS":true,"isprober":true})")->is_prober);
  CHECK(parse(R"({"version":null,"meshKey":null})")->version == 0);
  CHECK(parse("{}").ok());
  CHECK(parse(R"({"future":{"a":[1,2]},"AppName":"x"})")->app_name == "x");
  for (const char* const bad :
       {"", "null", "[]", "2", "{", R"({"version":"2"})", R"({"version":-1})",
        R"({"version":4294967296})", R"({"version":2.5})", R"({"CanAckPings":1})",
        R"({"meshKey":5})", "{\"AppName\":\"\xff\"}"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse(bad).ok());
  }
  // Depth is not recursion.
  CHECK_FALSE(parse(std::string(100000, '[')).ok());
}

TEST_CASE("the server's JSON goes both ways") {
  CHECK(format_server_info({}) == R"({"version":2})");
  const ServerInfo limited{2, 1000, 70000};
  const auto back = parse_server_info(format_server_info(limited));
  REQUIRE(back.ok());
  CHECK(back->token_bucket_bytes_per_second == 1000);
  CHECK(back->token_bucket_bytes_burst == 70000);
  CHECK_FALSE(parse_server_info("x").ok());
}

}  // namespace es::derp

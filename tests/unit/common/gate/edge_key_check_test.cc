#include "common/gate/edge_key_check.h"

#include "common/token/edge_keys.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>
#include <vector>

namespace es::gate {
namespace {

constexpr std::string_view kShared =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view kOther =
    "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view kOperator = "operator-key-0123456789";
const WallTime kNow = wall_time_ms(1'800'000'000'000);

std::string mint(token::TokenKind kind, uint64_t expiry, const token::HmacKey* seal) {
  const std::array<uint8_t, token::kTokenIdBytes> id{1, 2, 3, 4, 5, 6};
  std::array<uint8_t, token::kTokenRandomBytes> random{};
  random.fill(0xab);
  std::array<uint8_t, token::kMaxTokenLen> buf{};
  ByteWriter out(buf);
  REQUIRE(token::mint_token({kind, expiry, id, random, seal}, out).ok());
  return std::string(as_text(out.written()));
}

}  // namespace

TEST_CASE("an operator key is long enough and fits a header") {
  const token::EdgeKeys keys = *token::derive_edge_keys(kShared);
  CHECK(EdgeKeyCheck::create(kOperator, keys.seal).ok());
  for (const std::string& bad :
       {std::string(), std::string(15, 'a'), std::string(513, 'a'),
        std::string("with a space in it"), std::string("with,a,comma,in,it"),
        std::string("with\na\nline\nfeed!!")}) {
    CAPTURE(bad);
    CHECK_FALSE(EdgeKeyCheck::create(bad, keys.seal).ok());
  }
}

TEST_CASE("the edge tells good keys from forged, expired and unsealed ones") {
  const token::EdgeKeys keys = *token::derive_edge_keys(kShared);
  const token::EdgeKeys other = *token::derive_edge_keys(kOther);
  const EdgeKeyCheck edge = *EdgeKeyCheck::create(kOperator, keys.seal);
  const uint64_t now_s = static_cast<uint64_t>(unix_seconds(kNow));
  using token::TokenKind;

  CHECK(edge.check(kOperator, kNow) == KeyVerdict::kOperator);
  CHECK(edge.check("operator-key-0123456788", kNow) == KeyVerdict::kInvalid);
  CHECK(edge.check(mint(TokenKind::kApi, 0, &keys.seal), kNow) == KeyVerdict::kValid);
  CHECK(edge.check(mint(TokenKind::kApi, now_s + 1, &keys.seal), kNow) == KeyVerdict::kValid);
  CHECK(edge.check(mint(TokenKind::kApi, now_s, &keys.seal), kNow) == KeyVerdict::kInvalid);
  CHECK(edge.check(mint(TokenKind::kApi, 0, &other.seal), kNow) == KeyVerdict::kInvalid);
  CHECK(edge.check(mint(TokenKind::kApi, 0, nullptr), kNow) == KeyVerdict::kAskOrigin);
  CHECK(edge.check(mint(TokenKind::kAuth, 0, &keys.seal), kNow) == KeyVerdict::kInvalid);
  // With its seal cut off an (expired) sealed key reads as one from before the shared key was set.
  // Only the origin can tell: it keeps a hash of the whole text, so it refuses, which counts.
  const std::string expired = mint(TokenKind::kApi, now_s, &keys.seal);
  const std::string cut = expired.substr(0, expired.size() - 42);
  CHECK(edge.check(cut, kNow) == KeyVerdict::kAskOrigin);
  CHECK_FALSE(token::same_hash(token::token_store_hash(cut), token::token_store_hash(expired)));
  const std::string secret(64, 'a');
  CHECK(edge.check("hskey-api-0123456789ab-" + secret, kNow) == KeyVerdict::kAskOrigin);
  CHECK(edge.check("hskey-auth-0123456789ab-" + secret, kNow) == KeyVerdict::kInvalid);
  CHECK(edge.check("", kNow) == KeyVerdict::kInvalid);
}

TEST_CASE("every changed character of a sealed key is noticed") {
  const token::EdgeKeys keys = *token::derive_edge_keys(kShared);
  const EdgeKeyCheck edge = *EdgeKeyCheck::create(kOperator, keys.seal);
  const std::string good = mint(token::TokenKind::kApi, 0, &keys.seal);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    CAPTURE(i);
    CHECK(edge.check(bad, kNow) == KeyVerdict::kInvalid);
  }
}

}  // namespace es::gate

#include "native/tailcfg/keys.h"

#include <catch2/catch.hpp>

#include <string>
#include <type_traits>
#include <unordered_set>

namespace es::tailcfg {

namespace {
const std::string kDigits = "cbbf7e9f0ef6eb216e8c45cf18a2eb8efb1cf07cf2c6a0a78f1b2c2b1bfaab72";
}  // namespace

TEST_CASE("a key text goes both ways for every prefix") {
  const auto check = [](auto key_type, std::string_view prefix) {
    using K = decltype(key_type);
    const std::string text = std::string(prefix) + kDigits;
    const auto key = K::parse(text);
    REQUIRE(key);
    CHECK(key->text() == text);
    CHECK(key->raw()[0] == 0xcb);
    CHECK(key->raw()[31] == 0x72);
    CHECK_FALSE(key->is_zero());
    CHECK(K::kTextLen == text.size());
  };
  check(MachineKey{}, "mkey:");
  check(NodeKey{}, "nodekey:");
  check(DiscoKey{}, "discokey:");
  check(ChallengeKey{}, "chalpub:");
  check(LockKey{}, "nlpub:");
}

TEST_CASE("upper-case digits are accepted and written back in lower case") {
  std::string upper = "nodekey:";
  for (const char c : kDigits) upper += static_cast<char>(c >= 'a' ? c - 32 : c);
  const auto key = NodeKey::parse(upper);
  REQUIRE(key);
  CHECK(key->text() == "nodekey:" + kDigits);
}

TEST_CASE("near-misses of a key text are refused") {
  const std::string good = "nodekey:" + kDigits;
  for (size_t len = 0; len < good.size(); ++len) {
    CAPTURE(len);
    CHECK_FALSE(NodeKey::parse(good.substr(0, len)));
  }
  const std::string others[] = {good + "0",
                                good + " ",
                                " " + good,
                                good + "\n",
                                kDigits,
                                "mkey:" + kDigits,
                                "NODEKEY:" + kDigits,
                                "nodekey::" + kDigits.substr(1),
                                "nodekey:0x" + kDigits.substr(2),
                                "nodekey:" + kDigits.substr(0, 63) + "g",
                                "nodekey:" + kDigits.substr(0, 63) + std::string(1, '\0'),
                                "nodekey:-" + kDigits.substr(1)};
  for (const std::string& text : others) {
    CAPTURE(text);
    CHECK_FALSE(NodeKey::parse(text));
  }
}

TEST_CASE("the zero key has a text, and that text is a key") {
  const std::string zeros = "mkey:" + std::string(64, '0');
  CHECK(MachineKey{}.text() == zeros);
  const auto key = MachineKey::parse(zeros);
  REQUIRE(key);
  CHECK(key->is_zero());
  CHECK_FALSE(MachineKey::parse(""));
}

TEST_CASE("keys of different kinds do not convert into each other") {
  STATIC_REQUIRE_FALSE(std::is_convertible_v<NodeKey, MachineKey>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<NodeKey, MachineKey>);
}

TEST_CASE("keys compare, order and hash by their bytes") {
  RawKey one{};
  one[31] = 1;
  const NodeKey a;
  const NodeKey b(one);
  CHECK(a != b);
  CHECK(a < b);
  const std::unordered_set<NodeKey> set{a, b, NodeKey(one)};
  CHECK(set.size() == 2);
}

TEST_CASE("a private key goes both ways but never as zero") {
  const auto key = PrivateKey::parse("privkey:" + kDigits);
  REQUIRE(key);
  CHECK(key->text() == "privkey:" + kDigits);
  CHECK_FALSE(PrivateKey::parse("privkey:" + std::string(64, '0')));
  CHECK_FALSE(PrivateKey::parse("nodekey:" + kDigits));
}

}  // namespace es::tailcfg

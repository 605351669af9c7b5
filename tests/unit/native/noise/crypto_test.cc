#include "native/noise/crypto.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>

#include <numeric>

namespace es::noise {

using test::array_from_hex;
using test::from_hex;

TEST_CASE("X25519 passes RFC 7748 section 6.1") {
  const auto alice_private =
      array_from_hex<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const auto bob_private =
      array_from_hex<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  const auto bob_public =
      array_from_hex<32>("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const auto alice_public = x25519_public(alice_private);
  REQUIRE(alice_public.ok());
  CHECK(hex_encode(*alice_public) ==
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  CHECK(x25519_public(bob_private).value() == bob_public);
  const auto secret = x25519(alice_private, bob_public);
  REQUIRE(secret.ok());
  CHECK(hex_encode(*secret) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  CHECK(x25519(bob_private, *alice_public).value() == *secret);
}

TEST_CASE("X25519 refuses peers of low order") {
  // 0, 1, the two points of order 8, p - 1, p and p + 1: everything that leads to a zero secret.
  const char* const low_order[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
  Key mine{};
  mine.fill(0x42);
  for (const char* const point : low_order) {
    CAPTURE(point);
    const auto secret = x25519(mine, array_from_hex<32>(point));
    REQUIRE_FALSE(secret.ok());
    CHECK(secret.error().action == Action::kRefuse);
  }
}

TEST_CASE("BLAKE2s passes RFC 7693 appendix B and joins its two inputs") {
  const std::string expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
  CHECK(hex_encode(blake2s(as_bytes("abc")).value()) == expected);
  CHECK(hex_encode(blake2s(as_bytes("a"), as_bytes("bc")).value()) == expected);
  CHECK(hex_encode(blake2s({}, as_bytes("abc")).value()) == expected);
}

TEST_CASE("HMAC and HKDF over BLAKE2s agree with Python's hashlib") {
  Key key;
  std::iota(key.begin(), key.end(), uint8_t{0});
  CHECK(hex_encode(hmac_blake2s(key, as_bytes("edge"), as_bytes("scale")).value()) ==
        "2d0a92d93eb777915683a8beb4f5cba9107242ddac49aee993cecf635653d50f");
  const auto keys = hkdf2(key, as_bytes("input keying material"));
  REQUIRE(keys.ok());
  CHECK(hex_encode(keys->first) ==
        "d49ec1ae587b690ec2d4c38d1802dd052d26ab3338bc0b665629ece5dfc61ae1");
  CHECK(hex_encode(keys->second) ==
        "46d705e3e5cbc140bbfdf613d3733a0c3905bf21d5e1b34213c5a2a883b10553");
}

TEST_CASE("ChaCha20-Poly1305 passes RFC 8439 section 2.8.2") {
  const auto key =
      array_from_hex<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const auto nonce = array_from_hex<12>("070000004041424344454647");
  const auto ad = from_hex("50515253c0c1c2c3c4c5c6c7");
  const std::string_view plain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  const std::string expected =
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
      "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
  auto aead = Aead::create(key);
  REQUIRE(aead.ok());
  std::vector<uint8_t> sealed(plain.size() + kTagLen);
  REQUIRE(aead->seal(nonce, ad, as_bytes(plain), sealed).ok());
  CHECK(hex_encode(sealed) == expected);
  std::vector<uint8_t> opened(plain.size());
  REQUIRE(aead->open(nonce, ad, sealed, opened).ok());
  CHECK(as_text(opened) == plain);

  SECTION("one flipped bit anywhere is refused, and the context works on") {
    for (size_t i = 0; i < sealed.size(); ++i) {
      auto bad = sealed;
      bad[i] ^= 1;
      CHECK_FALSE(aead->open(nonce, ad, bad, opened).ok());
    }
    CHECK(aead->open(nonce, ad, sealed, opened).ok());
  }
  SECTION("other associated data is refused") {
    CHECK_FALSE(aead->open(nonce, {}, sealed, opened).ok());
  }
  SECTION("buffers of the wrong size are our own bug, a missing tag is the peer's") {
    CHECK(aead->seal(nonce, ad, as_bytes(plain), opened).error().action == Action::kBug);
    CHECK(aead->open(nonce, ad, sealed, sealed).error().action == Action::kBug);
    CHECK(aead->open(nonce, ad, Bytes(sealed).first(15), {}).error().action == Action::kRefuse);
  }
}

}  // namespace es::noise

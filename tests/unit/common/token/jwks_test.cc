#include "common/token/jwks.h"

#include "common/base/base64.h"

#include <catch2/catch.hpp>

#include <memory>
#include <string>

namespace es::token {
namespace {

std::string modulus(size_t len, uint8_t first = 0xc1) {
  std::string bytes(len, '\x5a');
  bytes[0] = static_cast<char>(first);
  return base64_encode(as_bytes(bytes), Base64Alphabet::kUrlUnpadded);
}

std::string key(const std::string& kid, const std::string& n, const std::string& more = "") {
  return R"({"kid":")" + kid + R"(","kty":"RSA","alg":"RS256","use":"sig","e":"AQAB","n":")" + n +
         "\"" + more + "}";
}

std::string set(const std::string& keys, const std::string& more = "") {
  return "{\"keys\":[" + keys + "]" + more + "}";
}

struct Parsed {
  explicit Parsed(const std::string& json)
      : jwks(std::make_unique<Jwks>()), status(parse_jwks(json, *jwks)) {}
  std::unique_ptr<Jwks> jwks;
  Status status;
};

}  // namespace

TEST_CASE("the keys of an Access team are read, its certificates passed over") {
  const Parsed parsed(
      set(key("one", modulus(256)) + "," + key("two", modulus(512), R"(,"x5c":["a",{"b":1}])"),
          R"(,"public_cert":{"kid":"x","cert":"y"},"public_certs":[{"kid":"x"}])"));
  REQUIRE(parsed.status.ok());
  CHECK(parsed.jwks->num_keys == 2);
  const RsaKey* one = parsed.jwks->find("one");
  REQUIRE(one != nullptr);
  CHECK(one->modulus().size() == 256);
  CHECK(one->modulus()[0] == 0xc1);
  CHECK(base64_encode(one->exponent(), Base64Alphabet::kUrlUnpadded) == "AQAB");
  CHECK(parsed.jwks->find("two")->modulus().size() == 512);
  CHECK(parsed.jwks->find("three") == nullptr);
  CHECK(parsed.jwks->find("") == nullptr);
}

TEST_CASE("keys that are not for RS256 are passed over") {
  const std::string good = key("good", modulus(256));
  for (const std::string& other :
       {std::string(R"({"kid":"x","kty":"EC","crv":"P-256","x":"AA","y":"AA"})"),
        std::string(R"({"kid":"x","kty":"oct","k":"AAAA","alg":"HS256"})"),
        std::string(R"({"kid":"x","kty":"RSA","alg":"RS512","e":"AQAB","n":")") + modulus(256) +
            "\"}",
        std::string(R"({"kid":"x","kty":"RSA","use":"enc","e":"AQAB","n":")") + modulus(256) +
            "\"}",
        std::string(R"({"kty":"RSA","e":"AQAB","n":")") + modulus(256) + "\"}",
        std::string(R"({"kid":"","kty":"RSA","e":"AQAB","n":")") + modulus(256) + "\"}",
        std::string(R"({"kid":"x","kty":"RSA","e":"AQ","n":")") + modulus(256) + "\"}",
        std::string(R"({"kid":"x","kty":"RSA","e":"Ag","n":")") + modulus(256) + "\"}",
        std::string(R"({"kid":"x","kty":"RSA","e":"AQAB"})"), key("x", modulus(255)),
        key("x", modulus(128)), std::string("{}")}) {
    CAPTURE(other);
    const Parsed parsed(set(other + "," + good));
    CHECK(parsed.status.ok());
    CHECK(parsed.jwks->num_keys == 1);
    CHECK_FALSE(Parsed(set(other)).status.ok());
  }
}

TEST_CASE("broken key sets are refused and change nothing") {
  const std::string good = key("good", modulus(256));
  Parsed parsed(set(good));
  REQUIRE(parsed.status.ok());
  std::string nine;
  for (char c = '1'; c <= '9'; ++c)
    nine += (c > '1' ? "," : "") + key(std::string(1, c), modulus(256));
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string("null"), set(""),
        set(good) + "x", set(good).substr(0, 100), set(good + "," + good), set(nine),
        "{\"keys\":[" + good + "],\"keys\":[" + good + "]}", std::string("{\"keys\":{}}"),
        set(key("a", modulus(256), R"(,"kid":"b")")), set(key(std::string(129, 'k'), modulus(256))),
        set(good) + std::string(kMaxJwksLen, ' ')}) {
    CAPTURE(text.substr(0, 200));
    CHECK_FALSE(parse_jwks(text, *parsed.jwks).ok());
    CHECK(parsed.jwks->num_keys == 1);
    CHECK(parsed.jwks->find("good") != nullptr);
  }
}

TEST_CASE("numbers keep no leading zero and must be base64url") {
  const std::string padded = modulus(257, 0x00);
  const Parsed parsed(set(key("a", padded)));
  REQUIRE(parsed.status.ok());
  CHECK(parsed.jwks->find("a")->modulus().size() == 256);
  CHECK_FALSE(Parsed(set(key("a", modulus(513)))).status.ok());
  CHECK_FALSE(Parsed(set(key("a", modulus(256) + "="))).status.ok());
  CHECK_FALSE(Parsed(set(key("a", "+" + modulus(256).substr(1)))).status.ok());
}

}  // namespace es::token

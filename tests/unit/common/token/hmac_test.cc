#include "common/token/hmac.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <random>
#include <vector>

namespace es::token {

TEST_CASE("HMAC-SHA-256 gives the MACs of RFC 4231") {
  for (test::VectorBlock& block :
       test::read_vector_file("tests/unit/common/token/hmac_vectors.txt")) {
    CAPTURE(block.name);
    const HmacKey key(block.hex("key"));
    const auto message = block.hex("message");
    const auto mac = block.hex("mac");
    CHECK(block.text("length") == std::to_string(mac.size()));
    CHECK(block.unread() == "");
    const Sha256Digest ours = key.mac(message);
    CHECK(std::equal(mac.begin(), mac.end(), ours.begin()));
    // The key is not used up, and pieces are the same message.
    Hmac pieces(key);
    for (const uint8_t& b : message) pieces.update({&b, 1});
    CHECK(pieces.finish() == ours);
  }
}

TEST_CASE("HMAC-SHA-256 agrees with OpenSSL on random keys and messages") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2'000; ++i) {
    std::vector<uint8_t> key(random() % 200);
    std::vector<uint8_t> message(random() % 400);
    for (uint8_t& b : key) b = static_cast<uint8_t>(random());
    for (uint8_t& b : message) b = static_cast<uint8_t>(random());
    Sha256Digest wanted;
    unsigned len = 0;
    const uint8_t none = 0;
    HMAC(EVP_sha256(), key.empty() ? &none : key.data(), static_cast<int>(key.size()),
         message.empty() ? &none : message.data(), message.size(), wanted.data(), &len);
    REQUIRE(HmacKey(key).mac(message) == wanted);
  }
}

}  // namespace es::token

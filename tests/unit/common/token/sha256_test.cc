#include "common/token/sha256.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <openssl/sha.h>

#include <random>
#include <vector>

namespace es::token {

TEST_CASE("SHA-256 gives NIST's digests, however the message is cut") {
  for (test::VectorBlock& block :
       test::read_vector_file("tests/unit/common/token/sha256_vectors.txt")) {
    CAPTURE(block.name);
    const auto message = block.hex("message");
    const auto repeat = std::stoul(block.text("repeat"));
    const auto digest = block.array<kSha256Len>("digest");
    CHECK(block.unread() == "");
    Sha256 hash;
    for (size_t i = 0; i < repeat; ++i) hash.update(message);
    CHECK(hash.finish() == digest);
    if (repeat != 1) continue;
    for (size_t cut = 0; cut <= message.size(); ++cut) {
      Sha256 pieces;
      pieces.update(Bytes(message).first(cut));
      pieces.update(Bytes(message).subspan(cut));
      REQUIRE(pieces.finish() == digest);
    }
  }
}

TEST_CASE("SHA-256 agrees with OpenSSL on random messages of every short length") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (size_t len = 0; len < 600; ++len) {
    std::vector<uint8_t> message(len);
    for (uint8_t& b : message) b = static_cast<uint8_t>(random());
    Sha256Digest wanted;
    SHA256(message.data(), message.size(), wanted.data());
    CAPTURE(len);
    REQUIRE(sha256(message) == wanted);
    Sha256 pieces;
    for (size_t at = 0; at < len;) {
      const size_t take = std::min<size_t>(1 + random() % 150, len - at);
      pieces.update(Bytes(message).subspan(at, take));
      at += take;
    }
    REQUIRE(pieces.finish() == wanted);
  }
}

TEST_CASE("the portable code and the processor's instructions give the same blocks") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (size_t num_blocks = 1; num_blocks < 20; ++num_blocks) {
    std::vector<uint8_t> message(num_blocks * kSha256BlockLen);
    for (uint8_t& b : message) b = static_cast<uint8_t>(random());
    std::array<uint32_t, 8> state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    sha256_blocks_portable(state, message.data(), num_blocks);
    // The padding block, by hand.
    std::array<uint8_t, kSha256BlockLen> last{};
    last[0] = 0x80;
    ByteWriter(MutableBytes(last).last(8)).u64be(message.size() * 8);
    sha256_blocks_portable(state, last.data(), 1);
    Sha256Digest digest;
    ByteWriter out(digest);
    for (const uint32_t word : state) out.u32be(word);
    REQUIRE(sha256(message) == digest);
  }
}

}  // namespace es::token

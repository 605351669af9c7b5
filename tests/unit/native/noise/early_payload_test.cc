#include "native/noise/early_payload.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>

namespace es::noise {

namespace {

using Buffer = std::vector<uint8_t>;

Buffer payload_and(std::string_view rest) {
  Key challenge;
  challenge.fill(0xab);
  Buffer out;
  append_early_payload(challenge, out);
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

}  // namespace

TEST_CASE("the early payload equals the vector's records 0 to 2 joined") {
  auto blocks = test::read_vector_file("tests/unit/native/noise/noise_vectors.txt");
  auto& block = blocks[0];
  const std::string text = block.text("challenge_text");
  REQUIRE(text.starts_with("chalpub:"));
  Buffer ours;
  append_early_payload(test::array_from_hex<32>(text.substr(8)), ours);
  CHECK(hex_encode(ours) ==
        block.text("server_plain_0") + block.text("server_plain_1") + block.text("server_plain_2"));
}

TEST_CASE("the reader parts the payload from HTTP/2 at every cut") {
  const Buffer stream = payload_and("HTTP/2 begins here");
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    EarlyPayloadReader reader;
    Buffer rest;
    REQUIRE(reader.read(Bytes(stream).first(cut), rest).ok());
    REQUIRE(reader.read(Bytes(stream).subspan(cut), rest).ok());
    CHECK(reader.done());
    CHECK(as_text(rest) == "HTTP/2 begins here");
    REQUIRE(reader.json());
    CHECK(*reader.json() ==
          R"({"nodeKeyChallenge":"chalpub:)" + hex_encode(Buffer(32, 0xab)) + R"("})");
  }
}

TEST_CASE("a server that sends no payload loses no byte") {
  const Buffer settings = test::from_hex("000000040000000000000000040100000000");
  for (size_t cut = 0; cut <= settings.size(); ++cut) {
    EarlyPayloadReader reader;
    Buffer rest;
    REQUIRE(reader.read(Bytes(settings).first(cut), rest).ok());
    REQUIRE(reader.read(Bytes(settings).subspan(cut), rest).ok());
    CHECK(rest == settings);
    CHECK_FALSE(reader.json());
  }
}

TEST_CASE("the payload's length is bounded, and an empty one is legal") {
  const auto header = [](uint32_t len) {
    Buffer out(kEarlyPayloadHeaderLen);
    ByteWriter writer(out);
    writer.bytes(kEarlyPayloadMagic);
    writer.u32be(len);
    return out;
  };
  Buffer rest;
  CHECK(EarlyPayloadReader(100).read(header(100), rest).ok());
  EarlyPayloadReader too_long(100);
  CHECK_FALSE(too_long.read(header(101), rest).ok());
  CHECK_FALSE(too_long.read(header(1), rest).ok());
  EarlyPayloadReader empty;
  CHECK(empty.read(header(0), rest).ok());
  CHECK(empty.done());
  CHECK(empty.json() == "");
  CHECK(rest.empty());
}

}  // namespace es::noise

#include "common/base/hex.h"

#include <catch2/catch.hpp>

#include <array>

namespace es {

TEST_CASE("hex goes both ways and takes either case") {
  const std::array<uint8_t, 4> data{0x00, 0x9a, 0xbc, 0xff};
  CHECK(hex_encode(data) == "009abcff");
  std::array<uint8_t, 4> back{};
  CHECK(hex_decode("009aBCff", back));
  CHECK(back == data);
}

TEST_CASE("hex is written alike into a buffer and a string, whatever its length") {
  std::array<uint8_t, 21> data{};
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(13 * i + 7);
  for (size_t len = 0; len <= data.size(); ++len) {
    std::array<uint8_t, 2 * data.size()> buffer{};
    ByteWriter out(buffer);
    hex_encode(Bytes(data).first(len), out);
    CHECK(as_text(out.written()) == hex_encode(Bytes(data).first(len)));
    ByteWriter small(MutableBytes(buffer).first(len));
    hex_encode(Bytes(data).first(len), small);
    CHECK(small.ok() == (len == 0));
    CHECK(small.written().empty());
  }
}

TEST_CASE("hex refuses near-misses") {
  std::array<uint8_t, 2> out{};
  for (const std::string_view text : {"", "0", "012", "01234", "012g", "0x12", "01 2", "-123"}) {
    CAPTURE(text);
    CHECK_FALSE(hex_decode(text, out));
  }
}

}  // namespace es

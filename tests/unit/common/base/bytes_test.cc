#include "common/base/bytes.h"

#include <catch2/catch.hpp>

#include <array>
#include <random>
#include <string>
#include <vector>

namespace es {

TEST_CASE("a reader returns what a writer wrote, in the named byte order") {
  std::array<uint8_t, 64> buf{};
  ByteWriter w(buf);
  w.u8(0x01);
  w.u16be(0x0203);
  w.u32be(0x04050607);
  w.u64be(0x08090a0b0c0d0e0f);
  w.u32le(0x13121110);
  w.u64le(0x1b1a191817161514);
  w.text("end");
  REQUIRE(w.ok());
  REQUIRE(w.written().size() == 30);
  // The bytes count up from 1 when each order is right (little-endian values were written
  // reversed).
  for (uint8_t i = 1; i <= 15; ++i) CHECK(w.written()[i - 1] == i);
  for (uint8_t i = 0; i < 12; ++i) CHECK(w.written()[15U + i] == 0x10 + i);

  ByteReader r(w.written());
  CHECK(r.u8() == 0x01);
  CHECK(r.u16be() == 0x0203);
  CHECK(r.u32be() == 0x04050607U);
  CHECK(r.u64be() == 0x08090a0b0c0d0e0fU);
  CHECK(r.u32le() == 0x13121110U);
  CHECK(r.u64le() == 0x1b1a191817161514U);
  CHECK(as_text(*r.bytes(2)) == "en");
  CHECK(as_text(r.rest()) == "d");
  CHECK(r.empty());
}

TEST_CASE("a read that does not fit yields nothing and consumes nothing") {
  const std::array<uint8_t, 7> data{1, 2, 3, 4, 5, 6, 7};
  for (size_t len = 0; len <= data.size(); ++len) {
    ByteReader r(Bytes(data).first(len));
    if (len < 8) CHECK_FALSE(r.u64be().has_value());
    if (len < 8) CHECK_FALSE(r.u64le().has_value());
    if (len < 4) CHECK_FALSE(r.u32be().has_value());
    if (len < 4) CHECK_FALSE(r.u32le().has_value());
    if (len < 2) CHECK_FALSE(r.u16be().has_value());
    if (len < 1) CHECK_FALSE(r.u8().has_value());
    CHECK_FALSE(r.bytes(len + 1).has_value());
    CHECK(r.remaining() == len);
  }
}

TEST_CASE("a writer's first overflow is sticky and writes nothing more") {
  std::array<uint8_t, 3> buf{9, 9, 9};
  ByteWriter w(buf);
  w.u16be(0x0102);
  w.u32be(0xffffffff);
  CHECK_FALSE(w.ok());
  w.u8(7);
  CHECK_FALSE(w.ok());
  CHECK(buf == std::array<uint8_t, 3>{1, 2, 9});
}

TEST_CASE("decimal writes what a person reads") {
  for (const auto& [value, text] : std::vector<std::pair<uint64_t, std::string_view>>{
           {0, "0"}, {9, "9"}, {10, "10"}, {18446744073709551615U, "18446744073709551615"}}) {
    std::array<uint8_t, 20> buf{};
    ByteWriter w(buf);
    w.decimal(value);
    CHECK(w.ok());
    CHECK(as_text(w.written()) == text);
  }
}

TEST_CASE("decimal agrees with the standard library for every number of digits") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto check = [](uint64_t value) {
    std::array<uint8_t, 20> buf{};
    ByteWriter w(buf);
    w.decimal(value);
    if (as_text(w.written()) != std::to_string(value)) FAIL(value);
  };
  for (uint64_t value = 0; value < 20'000; ++value) check(value);
  for (uint64_t power = 10; power <= 1'000'000'000'000'000'000; power *= 10) {
    for (const uint64_t value : {power - 1, power, power + 1, 9 * power + 9}) check(value);
  }
  for (int i = 0; i < 200'000; ++i) check(random() >> random() % 64);
}

TEST_CASE("constant-time comparison agrees with ==") {
  CHECK(equal_constant_time(as_bytes(""), as_bytes("")));
  CHECK(equal_constant_time(as_bytes("secret"), as_bytes("secret")));
  CHECK_FALSE(equal_constant_time(as_bytes("secret"), as_bytes("secreT")));
  CHECK_FALSE(equal_constant_time(as_bytes("secret"), as_bytes("secre")));
}

TEST_CASE("wipe leaves zeros") {
  std::array<uint8_t, 4> secret{1, 2, 3, 4};
  wipe(secret);
  CHECK(secret == std::array<uint8_t, 4>{});
}

}  // namespace es

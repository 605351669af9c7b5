#include "common/base/ip_address.h"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <random>
#include <string>

namespace es {
namespace {

std::string canonical(std::string_view text) {
  const auto address = parse_ip_address(text);
  if (!address) return "refused";
  std::array<uint8_t, kMaxIpAddressText> buffer;
  ByteWriter out(buffer);
  write_ip_address(*address, out);
  REQUIRE(out.ok());
  return std::string(as_text(out.written()));
}

}  // namespace

TEST_CASE("addresses are written as RFC 5952 says") {
  const std::pair<const char*, const char*> cases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:DB8::1", "2001:db8::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"::ffff:1.2.3.4", "1.2.3.4"},
      {"::ffff:0:1.2.3.4", "::ffff:0:102:304"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"0000:0000:0000:0000:0000:ffff:255.255.255.255", "255.255.255.255"},
  };
  for (const auto& [text, wanted] : cases) {
    CAPTURE(text);
    CHECK(canonical(text) == wanted);
  }
}

TEST_CASE("near-misses of addresses are refused") {
  for (const char* text : {"",
                           ".",
                           ":",
                           ":::",
                           "1",
                           "1.2.3",
                           "1.2.3.",
                           "1.2.3.4.",
                           ".1.2.3.4",
                           "1.2.3.4.5",
                           "1..2.3",
                           "256.1.1.1",
                           "1.2.3.1000",
                           "01.2.3.4",
                           "1.2.3.00",
                           "1.2.3.4 ",
                           "+1.2.3.4",
                           "1.2.3.-4",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1:2:3:4:5:6:7:8::",
                           "::1:2:3:4:5:6:7:8",
                           "1::2::3",
                           ":1::2",
                           "1::2:",
                           "1:2:3:4:5:6:7:",
                           "12345::",
                           "::12345",
                           "g::",
                           "::1%lo",
                           "[::1]",
                           "::1/64",
                           "::1.2.3",
                           "::1.2.3.4.5",
                           "::1.2.3.04",
                           "1.2.3.4::",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "::1.2.3.4:5",
                           "1:2:3:4:5:6:7:8 ",
                           "1 ::",
                           "\t::1"}) {
    CAPTURE(text);
    CHECK(canonical(text) == "refused");
  }
  CHECK_FALSE(parse_ip_address(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("canonical texts are told from other spellings") {
  CHECK(is_canonical_ip_address("192.0.2.1"));
  CHECK(is_canonical_ip_address("2001:db8::1"));
  for (const char* text : {"::ffff:192.0.2.1", "2001:DB8::1", "2001:db8:0::1", "", "x"}) {
    CAPTURE(text);
    CHECK_FALSE(is_canonical_ip_address(text));
  }
}

TEST_CASE("random texts parse as the system's inet_pton parses them") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  constexpr std::string_view kPieces[] = {":",    "::", "0",   "1",  "ff",
                                          "ffff", ".",  "255", "10", "db8"};
  size_t accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (size_t n = 1 + random() % 16; n > 0; --n) text += kPieces[random() % std::size(kPieces)];
    const auto ours = parse_ip_address(text);
    in6_addr v6{};
    in_addr v4{};
    const bool is_v6 = inet_pton(AF_INET6, text.c_str(), &v6) == 1;
    const bool is_v4 = inet_pton(AF_INET, text.c_str(), &v4) == 1;
    if (ours.has_value() != (is_v6 || is_v4)) {
      CAPTURE(text);
      FAIL("differs from inet_pton");
    }
    if (!ours) continue;
    ++accepted;
    if (ours->family == IpAddress::Family::kIpv6) {
      REQUIRE(std::equal(ours->bytes.begin(), ours->bytes.end(), v6.s6_addr));
    }
    REQUIRE(parse_ip_address(canonical(text)) == ours);
    REQUIRE(is_canonical_ip_address(canonical(text)));
  }
  CHECK(accepted > 100);
}

}  // namespace es

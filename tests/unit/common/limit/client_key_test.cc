#include "common/limit/client_key.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>

namespace es::limit {
namespace {

std::string text_of(const ClientKey& key) {
  std::array<uint8_t, kMaxClientKeyText> buffer;
  ByteWriter out(buffer);
  write_client_key(key, out);
  REQUIRE(out.ok());
  return std::string(as_text(out.written()));
}

}  // namespace

TEST_CASE("two spellings of one address are one client") {
  CHECK(client_key("192.0.2.1") == client_key("::ffff:192.0.2.1"));
  CHECK(client_key("192.0.2.1") == client_key("::FFFF:c000:201"));
  CHECK(client_key("192.0.2.1") == client_key("0:0:0:0:0:ffff:192.0.2.1"));
  CHECK(client_key("2001:db8::1") == client_key("2001:0DB8:0:0:0:0:0:0001"));
}

TEST_CASE("an IPv6 client is its /64") {
  CHECK(client_key("2001:db8:0:1::1") == client_key("2001:db8:0:1:ffff:ffff:ffff:ffff"));
  CHECK_FALSE(client_key("2001:db8:0:1::1") == client_key("2001:db8:0:2::1"));
  CHECK_FALSE(client_key("192.0.2.1") == client_key("192.0.2.2"));
  // An IPv4 address is no neighbour of the IPv6 network with the same bits.
  CHECK_FALSE(client_key("0.0.0.0") == client_key("::"));
}

TEST_CASE("every text that is no address is the one unknown client") {
  for (const char* text :
       {"", " ", "unknown", "192.0.2.1 ", " 192.0.2.1", "192.0.2", "192.0.2.1.5", "192.0.2.256",
        "192.0.2.01", "192.0.2.1:80", "[2001:db8::1]", "fe80::1%eth0", "2001:db8::1/64", "1::2::3",
        "12345::", "::g", "192.0.2.1, 192.0.2.2", "0x7f.0.0.1", "2130706433"}) {
    CAPTURE(text);
    CHECK(client_key(std::string_view(text)) == kUnknownClient);
  }
}

TEST_CASE("a key's text is canonical") {
  CHECK(text_of(client_key("::ffff:192.0.2.1")) == "192.0.2.1");
  CHECK(text_of(client_key("255.255.255.255")) == "255.255.255.255");
  CHECK(text_of(client_key("2001:DB8:0:1::99")) == "2001:db8:0:1::/64");
  CHECK(text_of(client_key("ffff:ffff:ffff:ffff::1")) == "ffff:ffff:ffff:ffff::/64");
  CHECK(text_of(client_key("::1")) == "::/64");
  CHECK(text_of(kUnknownClient) == "unknown");
}

}  // namespace es::limit

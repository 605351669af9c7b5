#include "common/gate/identity.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace es::gate {
namespace {

IpAddress ip(std::string_view text) { return parse_ip_address(text).value(); }

std::vector<IpPrefix> blocks(std::initializer_list<std::string_view> texts) {
  std::vector<IpPrefix> out;
  for (const std::string_view text : texts) out.push_back(*parse_trusted_proxy(text));
  return out;
}

}  // namespace

TEST_CASE("a trusted proxy is a block that somebody meant") {
  CHECK(parse_trusted_proxy("192.0.2.1")->contains(ip("192.0.2.1")));
  CHECK_FALSE(parse_trusted_proxy("192.0.2.1")->contains(ip("192.0.2.0")));
  CHECK(parse_trusted_proxy("fd00::/8")->contains(ip("fd00::1")));
  for (const std::string_view text : {"", "0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_trusted_proxy(text).ok());
  }
}

TEST_CASE("a forwarded address counts only behind trusted proxies") {
  const auto trusted = blocks({"10.0.0.0/8", "fd00::/8"});
  struct Case {
    std::string_view peer, forwarded_for, client;
  };
  for (const Case& c :
       std::vector<Case>{{"203.0.113.9", "1.2.3.4", "203.0.113.9"},
                         {"203.0.113.9", "", "203.0.113.9"},
                         {"10.0.0.1", "", "10.0.0.1"},
                         {"10.0.0.1", "198.51.100.7", "198.51.100.7"},
                         {"10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"},
                         {"10.0.0.1", "6.6.6.6,198.51.100.7 , 10.0.0.2", "198.51.100.7"},
                         {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
                         {"fd00::1", "2001:db8::1", "2001:db8::1"},
                         {"10.0.0.1", "6.6.6.6, junk", "10.0.0.1"},
                         {"10.0.0.1", "6.6.6.6, junk, 10.0.0.2", "10.0.0.2"},
                         {"10.0.0.1", "198.51.100.7:443", "10.0.0.1"},
                         {"10.0.0.1", ",", "10.0.0.1"}}) {
    CAPTURE(c.peer, c.forwarded_for);
    CHECK(client_behind(ip(c.peer), c.forwarded_for, trusted) == ip(c.client));
  }
}

}  // namespace es::gate

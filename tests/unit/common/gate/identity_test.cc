#include "common/gate/identity.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace es::gate {
namespace {

IpAddress ip(std::string_view text) { return parse_ip_address(text).value(); }

std::vector<Cidr> blocks(std::initializer_list<std::string_view> texts) {
  std::vector<Cidr> out;
  for (const std::string_view text : texts) out.push_back(*parse_trusted_proxy(text));
  return out;
}

}  // namespace

TEST_CASE("a block contains its addresses and no neighbour") {
  struct Case {
    std::string_view block, address;
    bool inside;
  };
  for (const Case& c : std::vector<Case>{{"10.0.0.0/8", "10.255.255.255", true},
                                         {"10.0.0.0/8", "11.0.0.0", false},
                                         {"10.0.0.0/8", "9.255.255.255", false},
                                         {"192.0.2.128/25", "192.0.2.128", true},
                                         {"192.0.2.128/25", "192.0.2.127", false},
                                         {"192.0.2.1", "192.0.2.1", true},
                                         {"192.0.2.1", "192.0.2.2", false},
                                         {"fd00::/8", "fdff::1", true},
                                         {"fd00::/8", "fe00::1", false},
                                         {"2001:db8::/33", "2001:db8:7fff::", true},
                                         {"2001:db8::/33", "2001:db8:8000::", false},
                                         {"10.0.0.0/8", "::ffff:10.0.0.1", true},
                                         {"10.0.0.0/8", "fd00::1", false}}) {
    CAPTURE(c.block, c.address);
    CHECK(parse_trusted_proxy(c.block)->contains(ip(c.address)) == c.inside);
  }
}

TEST_CASE("a trusted proxy is a block that somebody meant") {
  for (const std::string_view text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.1/8", "0.0.0.0/0", "::/0",
        "10.0.0.0/-1", "10.0.0.0/8/8", "x/8", "10.0.0/8", "fd00::1/8", "10.0.0.0/0008"}) {
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

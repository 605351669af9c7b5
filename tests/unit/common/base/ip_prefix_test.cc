#include "common/base/ip_prefix.h"

#include <catch2/catch.hpp>

#include <vector>

namespace es {

TEST_CASE("a prefix contains its addresses and no neighbour") {
  struct Case {
    std::string_view prefix, address;
    bool inside;
  };
  for (const Case& c : std::vector<Case>{{"10.0.0.0/8", "10.255.255.255", true},
                                         {"10.0.0.0/8", "11.0.0.0", false},
                                         {"10.0.0.0/8", "9.255.255.255", false},
                                         {"192.0.2.128/25", "192.0.2.128", true},
                                         {"192.0.2.128/25", "192.0.2.127", false},
                                         {"192.0.2.1/32", "192.0.2.1", true},
                                         {"192.0.2.1/32", "192.0.2.2", false},
                                         {"0.0.0.0/0", "255.255.255.255", true},
                                         {"fd00::/8", "fdff::1", true},
                                         {"fd00::/8", "fe00::1", false},
                                         {"2001:db8::/33", "2001:db8:7fff::", true},
                                         {"2001:db8::/33", "2001:db8:8000::", false},
                                         {"10.0.0.0/8", "::ffff:10.0.0.1", true},
                                         {"10.0.0.0/8", "fd00::1", false}}) {
    CAPTURE(c.prefix, c.address);
    CHECK(parse_ip_prefix(c.prefix)->contains(*parse_ip_address(c.address)) == c.inside);
  }
}

TEST_CASE("what is no prefix is refused") {
  for (const std::string_view text :
       {"", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.1/8", "10.0.0.0/-1",
        "10.0.0.0/8/8", "x/8", "10.0.0/8", "fd00::1/8", "10.0.0.0/0008", "10.0.0.0/ 8"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_ip_prefix(text).ok());
  }
}

}  // namespace es

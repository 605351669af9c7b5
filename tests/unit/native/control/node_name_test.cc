#include "native/control/node_name.h"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

namespace es::control {

TEST_CASE("any host name becomes a valid label") {
  for (const auto& [hostname, label] : std::vector<std::pair<std::string, std::string>>{
           {"laptop", "laptop"},
           {"Joe's MacBook Pro", "joe-s-macbook-pro"},
           {"host.example.com", "host-example-com"},
           {"__x__", "x"},
           {"-a--b-", "a-b"},
           {"", "node"},
           {"\xe6\x97\xa5\xe6\x9c\xac", "node"},
           {std::string("a\0b", 3), "a-b"},
           {std::string(80, 'a'), std::string(63, 'a')},
           {std::string(62, 'a') + "-b", std::string(62, 'a')}}) {
    CAPTURE(hostname);
    CHECK(label_of(hostname) == label);
    CHECK(check_label(label_of(hostname)).ok());
  }
}

TEST_CASE("a chosen name must be a label as it is") {
  for (const std::string& bad :
       {std::string(), std::string("Upper"), std::string("a.b"), std::string("-a"),
        std::string("a-"), std::string("a b"), std::string(64, 'a'), std::string("\xc3\xa9")}) {
    CAPTURE(bad);
    CHECK_FALSE(check_label(bad).ok());
  }
}

TEST_CASE("a taken name gets the next free number") {
  NodeNames names;
  CHECK(names.claim("host") == "host");
  CHECK(names.claim("host") == "host-1");
  CHECK(names.claim("host") == "host-2");
  names.release("host-1");
  CHECK(names.claim("host") == "host-1");
  CHECK_FALSE(names.take("host"));
  CHECK(names.take("other"));
  const std::string longest(63, 'a');
  CHECK(names.claim(longest) == longest);
  CHECK(names.claim(longest) == std::string(61, 'a') + "-1");
}

}  // namespace es::control

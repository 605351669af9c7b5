#include "native/policy/posture.h"

#include <catch2/catch.hpp>

using es::policy::Attributes;
using es::policy::compare_versions;
using es::policy::Condition;
using es::policy::parse_condition;

TEST_CASE("conditions on attributes hold as they read") {
  const Attributes node{
      {"node:os", "linux"}, {"node:tsVersion", "1.82.5"}, {"custom:tier", "prod"}};
  const std::pair<const char*, bool> cases[] = {
      {"node:os == 'linux'", true},
      {"node:os=='macos'", false},
      {"node:os != \"macos\"", true},
      {"node:tsVersion >= '1.82'", true},
      {"node:tsVersion > '1.100.0'", false},
      {"node:tsVersion < 1.100", true},
      {"node:tsVersion <= '1.82.5'", true},
      {"node:os IN ['macos', 'linux']", true},
      {"node:os NOT IN ['macos', 'linux']", false},
      {"custom:tier IS SET", true},
      {"custom:none IS SET", false},
      {"custom:none NOT SET", true},
      {"custom:none == 'x'", false},
      {"custom:none != 'x'", true},
      {"custom:none < '1'", false},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text);
    const auto condition = parse_condition(text);
    REQUIRE(std::holds_alternative<Condition>(condition));
    CHECK(std::get<Condition>(condition).holds(node) == expected);
  }
}

TEST_CASE("what is no condition is refused") {
  for (const char* text :
       {"", "os == 'x'", "node:os", "node:os = 'x'", "node:os == ", "node:os IS", "node:os IN 'x'",
        "node:os IN ['x'", "node:os == 'x' y", "node:os == 'x"}) {
    INFO(text);
    CHECK(std::holds_alternative<es::policy::Reason>(parse_condition(text)));
  }
}

TEST_CASE("versions compare by their parts") {
  CHECK(compare_versions("1.9", "1.10") < 0);
  CHECK(compare_versions("1.10", "1.10.0") == 0);
  CHECK(compare_versions("14", "13.6.1") > 0);
  CHECK(compare_versions("1.82.5-abc", "1.82.5") > 0);
  CHECK(compare_versions("007", "7") == 0);
}

#include "edge/config.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::edge {
namespace {

const std::string kSound =
    "HEADSCALE_URL=https://origin.example:8443/\nHEADSCALE_API_KEY=a key\nEDGE_TOKEN_KEY=another\n"
    "LIMITER:durable_object\nANALYTICS:analytics\n";

}  // namespace

TEST_CASE("a sound environment is read, with defaults for what it leaves out") {
  const auto settings = read_settings(kSound);
  REQUIRE(settings.ok());
  CHECK(settings->origin == "https://origin.example:8443");
  CHECK(settings->origin_host == "origin.example:8443");
  CHECK(settings->operator_key == "a key");
  CHECK(settings->requests.max_requests == 100);
  CHECK(settings->requests.burst == 20);
  CHECK(settings->requests.window == Millis{60'000});
  CHECK(settings->origin_timeout == Millis{30'000});
}

TEST_CASE("numbers are read, and a name that begins like another is another") {
  const auto settings = read_settings(kSound +
                                      "RATE_LIMIT_REQUESTS_X=7\nRATE_LIMIT_REQUESTS=50\n"
                                      "RATE_LIMIT_BURST=0\nLEASE_MS=100\nX\n=\n\n");
  REQUIRE(settings.ok());
  CHECK(settings->requests.max_requests == 50);
  CHECK(settings->requests.burst == 0);
  CHECK(settings->lease == Millis{100});
}

TEST_CASE("the first problem is named, and no value is in what is said") {
  for (const auto& [lines, name] :
       {std::pair{"HEADSCALE_URL=origin\n", "HEADSCALE_URL"}, std::pair{"", "HEADSCALE_URL"},
        std::pair{"HEADSCALE_URL=http://a\n", "HEADSCALE_API_KEY"}}) {
    const auto settings = read_settings(lines);
    REQUIRE(!settings.ok());
    CHECK(settings.error().name == name);
    CHECK(settings.error().reason.find("origin=") == std::string_view::npos);
  }
}

TEST_CASE("what comes in pairs is refused alone") {
  const auto settings = read_settings(kSound + "ACCESS_AUD=abc\n");
  REQUIRE(!settings.ok());
  CHECK(settings.error().name == "ACCESS_TEAM_DOMAIN");
}

}  // namespace es::edge

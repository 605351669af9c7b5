#include "native/net/router.h"

#include <catch2/catch.hpp>

namespace es::net {
namespace {

Router example() {
  Router router;
  const Handler nothing = [](const Request&, Reply) {};
  router.add("GET", "/", nothing);
  router.add("GET", "/api/v1/user", nothing);
  router.add("POST", "/api/v1/user", nothing, Access::kApiKey);
  router.add("DELETE", "/api/v1/user/{id}", nothing);
  router.add("POST", "/api/v1/user/{oldId}/rename/{newName}", nothing);
  router.add("GET", "/api/v1/user/me", nothing);
  router.add("GET", "/pages/*", nothing);
  router.add("GET", "/pages/one", nothing);
  return router;
}

TEST_CASE("a path finds its route and its arguments") {
  const Router router = example();
  const Match match = router.match("POST", "/api/v1/user/7/rename/new%20n%2Fame");
  REQUIRE(match.route != nullptr);
  CHECK(match.route->pattern == "/api/v1/user/{oldId}/rename/{newName}");
  CHECK(match.path_args == std::vector<std::string>{"7", "new n/ame"});
}

TEST_CASE("a literal wins over a parameter, and a parameter is tried when it fails") {
  const Router router = example();
  CHECK(router.match("GET", "/api/v1/user/me").route->pattern == "/api/v1/user/me");
  const Match match = router.match("POST", "/api/v1/user/me/rename/x");
  REQUIRE(match.route != nullptr);
  CHECK(match.path_args == std::vector<std::string>{"me", "x"});
}

TEST_CASE("an unknown path is a 404") {
  const Router router = example();
  for (const char* path : {"", "x", "/nope", "/api/v1/user/", "/api/v1/user//rename/x", "/api",
                           "/api/v1/user/1/rename", "//", "/%zz", "/%61pi/v1/user",
                           "/api/v1%2Fuser", "/API/v1/user"}) {
    INFO(path);
    const Match match = router.match("GET", path);
    CHECK(match.route == nullptr);
    CHECK(match.status == 404);
  }
}

TEST_CASE("a known path with another method is a 405 that says what is allowed") {
  const Router router = example();
  const Match match = router.match("PATCH", "/api/v1/user");
  CHECK(match.route == nullptr);
  CHECK(match.status == 405);
  CHECK(match.allow == "GET, HEAD, POST");
  CHECK(router.match("GET", "/api/v1/user/7").allow == "DELETE");
}

TEST_CASE("HEAD is answered by the handler of GET") {
  const Router router = example();
  REQUIRE(router.match("HEAD", "/").route != nullptr);
  CHECK(router.match("HEAD", "/").route->method == "GET");
  CHECK(router.match("HEAD", "/api/v1/user/7").status == 405);
}

TEST_CASE("a rest pattern takes what no other pattern takes") {
  const Router router = example();
  CHECK(router.match("GET", "/pages/one").route->pattern == "/pages/one");
  CHECK(router.match("GET", "/pages/two/three").route->pattern == "/pages/*");
  CHECK(router.match("GET", "/pages/").route->pattern == "/pages/*");
  CHECK(router.match("GET", "/pages").route == nullptr);
}

TEST_CASE("a bad escape is no value") {
  const Router router = example();
  CHECK(router.match("DELETE", "/api/v1/user/%4").status == 404);
}

TEST_CASE("access is a property of the method and the path") {
  const Router router = example();
  CHECK(router.match("POST", "/api/v1/user").route->access == Access::kApiKey);
  CHECK(router.match("GET", "/api/v1/user").route->access == Access::kPublic);
}

}  // namespace
}  // namespace es::net

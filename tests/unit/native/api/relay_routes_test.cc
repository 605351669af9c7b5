#include "native/api/relay_routes.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::api {
namespace {

net::Response ask(const std::string& method, const std::string& path, const std::string& query,
                  const std::string& body) {
  net::Router router;
  RelayOptions options;
  options.knows = [](const tailcfg::NodeKey& key) {
    return key.text() == "nodekey:" + std::string(64, '7');
  };
  options.bootstrap_dns = [](std::string_view name) { return "<" + std::string(name) + ">"; };
  add_relay_routes(router, std::move(options));
  net::Request request;
  request.method = method;
  request.path = path;
  request.query = query;
  request.body = body;
  const net::Match match = router.match(method, path);
  REQUIRE(match.route != nullptr);
  net::Response out;
  match.route->handler(request, [&](net::Response response) { out = std::move(response); });
  return out;
}
std::string admit(char digit) {
  return "{\"NodePublic\":\"nodekey:" + std::string(64, digit) + "\",\"Source\":\"192.0.2.1\"}";
}

}  // namespace

TEST_CASE("an outside relay learns whether a node key is one of ours") {
  CHECK(ask("POST", "/verify", "", admit('7')).body == "{\"Allow\":true}");
  CHECK(ask("POST", "/verify", "", admit('8')).body == "{\"Allow\":false}");
  for (const std::string& body : {std::string(), std::string("[]"), std::string("{}"), admit('0'),
                                  admit('g'), std::string("{\"NodePublic\":7}"),
                                  "{\"NodePublic\":\"mkey:" + std::string(64, '7') + "\"}"}) {
    CAPTURE(body);
    CHECK(ask("POST", "/verify", "", body).status == 400);
  }
}

TEST_CASE("a question to /verify has a largest size") {
  std::string body = admit('7');
  body += std::string(4096 - body.size(), ' ');
  CHECK(ask("POST", "/verify", "", body).status == 200);
  CHECK(ask("POST", "/verify", "", body + " ").status == 413);
}

TEST_CASE("a client without DNS asks for one name or for all") {
  CHECK(ask("GET", "/bootstrap-dns", "q=derp.example.com", "").body == "<derp.example.com>");
  CHECK(ask("GET", "/bootstrap-dns", "", "").body == "<>");
}

}  // namespace es::api

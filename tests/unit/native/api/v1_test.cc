#include "native/api/v1.h"

#include "native/api/openapi.h"
#include "native/api/render.h"
#include "tests/unit/native/api/api_fixture.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <set>
#include <thread>

namespace es::api {
namespace {

using nlohmann::json;

TEST_CASE("a key's secret is in the answer that made it and in no other") {
  ApiUnderTest api;
  REQUIRE(api.call("POST", "/api/v1/user", R"({"name":"alice"})").status == 200);
  const std::string auth =
      api.call("POST", "/api/v1/preauthkey", R"({"user":"1"})").json()["preAuthKey"]["key"];
  const std::string api_key = api.call("POST", "/api/v1/apikey", "{}").json()["apiKey"];
  CHECK(auth.starts_with("tskey-auth-"));
  CHECK(api_key.starts_with("tskey-api-"));
  const json keys = api.call("GET", "/api/v1/preauthkey").json();
  const json api_keys = api.call("GET", "/api/v1/apikey").json();
  const std::string shown_auth = keys["preAuthKeys"][0]["key"];
  const std::string shown_api = api_keys["apiKeys"][0]["prefix"];
  CHECK(shown_auth == auth.substr(0, 11 + 12) + "-***");
  CHECK(shown_api == api_key.substr(0, 10 + 12) + "-***");
  // How Headplane finds the key that somebody logs in with.
  CHECK(api_key.starts_with(shown_api.substr(0, shown_api.find('*'))));
}

TEST_CASE("times are printed as they were given, and unset ones as each record wants it") {
  ApiUnderTest api;
  api.call("POST", "/api/v1/user", R"({"name":"alice"})");
  const json set = api.call("POST", "/api/v1/preauthkey",
                            R"({"user":"1","expiration":"2030-01-31T14:00:00.5+02:00"})")
                       .json()["preAuthKey"];
  CHECK(set["expiration"] == "2030-01-31T12:00:00.500Z");
  CHECK(set["createdAt"] == "2026-09-21T14:13:20Z");
  const json unset = api.call("POST", "/api/v1/preauthkey", R"({"user":"1"})").json()["preAuthKey"];
  CHECK(unset["expiration"] == "0001-01-01T00:00:00Z");
}

TEST_CASE("expiring sets the expiration to the time of the request") {
  ApiUnderTest api;
  const std::string key = api.call("POST", "/api/v1/apikey").json()["apiKey"];
  CHECK(api.directory().verify_api_key(key, control::kNow) == control::ApiKeyVerdict::kValid);
  api.call("POST", "/api/v1/apikey/expire", R"({"id":1})");
  const json listed = api.call("GET", "/api/v1/apikey").json()["apiKeys"][0];
  CHECK(listed["expiration"] == "2026-09-21T14:13:20Z");
  CHECK(listed["lastSeen"] == "2026-09-21T14:13:20Z");
  CHECK(api.directory().verify_api_key(key, control::kNow) == control::ApiKeyVerdict::kExpired);
}

TEST_CASE("deleting a user removes its keys from the list") {
  ApiUnderTest api;
  api.call("POST", "/api/v1/user", R"({"name":"alice"})");
  api.call("POST", "/api/v1/preauthkey", R"({"user":"1"})");
  CHECK(api.call("GET", "/api/v1/preauthkey").json()["preAuthKeys"].size() == 1);
  api.call("DELETE", "/api/v1/user/1");
  CHECK(api.call("GET", "/api/v1/preauthkey").json()["preAuthKeys"].empty());
}

TEST_CASE("roles are shown of those who have one in particular") {
  ApiUnderTest api;
  const Called ann = api.call("POST", "/api/v1/user", R"({"name":"ann"})");
  CHECK_FALSE(ann.json()["user"].contains("role"));  // in Headscale's shape
  const Called bob = api.call("POST", "/api/v1/user", R"({"name":"bob","role":"owner"})");
  CHECK(bob.json()["user"]["role"] == "owner");
  CHECK(api.call("POST", "/api/v1/user", R"({"name":"bill","role":"king"})").status == 400);
  const auto set = [&](const std::string& id, const std::string& body) {
    return api.call("POST", "/api/v1/user/" + id + "/role", body);
  };
  CHECK(set("1", R"({"role":"admin"})").json()["user"]["role"] == "admin");
  const json users = api.call("GET", "/api/v1/user").json()["users"];
  CHECK(users[0]["role"] == "admin");
  CHECK(users[1]["role"] == "owner");
  CHECK_FALSE(set("2", R"({"role":"member"})").json()["user"].contains("role"));
  CHECK(set("1", R"({"role":"king"})").status == 400);
  CHECK(set("1", R"({"role":7})").status == 400);
  CHECK(set("1", "{}").status == 400);
  CHECK(set("x", R"({"role":"admin"})").status == 400);
  CHECK(set("9", R"({"role":"admin"})").status == 404);
}

TEST_CASE("a list is never older than the last answered change") {
  ApiUnderTest api;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "user" + std::to_string(i);
    const std::string id =
        api.call("POST", "/api/v1/user", "{\"name\":\"" + name + "\"}").json()["user"]["id"];
    api.call("POST", "/api/v1/preauthkey", "{\"user\":\"" + id + "\"}");
    CHECK(api.call("GET", "/api/v1/user").json()["users"].back()["name"] == name);
    api.call("POST", "/api/v1/user/" + id + "/rename/" + name + "x");
    CHECK(api.call("GET", "/api/v1/user").json()["users"].back()["name"] == name + "x");
    // A key shows its owner, so renaming the owner changes the keys' list too.
    const json keys = api.call("GET", "/api/v1/preauthkey").json()["preAuthKeys"];
    CHECK(keys.back()["user"]["name"] == name + "x");
  }
}

TEST_CASE("lists stay whole and ordered while others write") {
  ApiUnderTest api;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      size_t last = 0;
      while (!stop) {
        const json users = api.call("GET", "/api/v1/user").json()["users"];
        if (users.size() < last) ++wrong;
        last = users.size();
      }
    });
  }
  std::vector<std::thread> writers;
  for (int t = 0; t < 2; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < 60; ++i) {
        const std::string name = "w" + std::to_string(t) + "n" + std::to_string(i);
        if (api.call("POST", "/api/v1/user", "{\"name\":\"" + name + "\"}").status != 200) ++wrong;
      }
    });
  }
  for (std::thread& t : writers) t.join();
  stop = true;
  for (std::thread& t : readers) t.join();
  CHECK(wrong == 0);
  CHECK(api.call("GET", "/api/v1/user").json()["users"].size() == 120);
}

TEST_CASE("a busy database answers 503 with Retry-After, a broken one 500 without its words") {
  const auto shared = std::make_shared<control::FakeStore::Shared>();
  ApiUnderTest api(std::make_unique<control::FakeStore>(shared));
  net::Response response;
  const auto create = [&](store::StoreErrorKind kind) {
    api.send("POST", "/api/v1/user", R"({"name":"alice"})",
             [&](net::Response r) { response = std::move(r); });
    shared->fail(kind);
  };
  create(store::StoreErrorKind::kRetryLater);
  CHECK(response.status == 503);
  CHECK((Called{response.status, response.body, response.fields}).field("Retry-After") == "1");
  create(store::StoreErrorKind::kBroken);
  CHECK(response.status == 500);
  CHECK(response.body.find("as the test wants it") == std::string::npos);
}

TEST_CASE("health fails when the database does not answer") {
  ApiUnderTest api;
  api.directory().close();
  CHECK(api.call("GET", "/api/v1/health").status == 503);
}

TEST_CASE("a body above the limit is refused as too large") {
  ApiUnderTest api;
  CHECK(api.call("POST", "/api/v1/user", std::string(65'537, ' ')).status == 413);
}

TEST_CASE("the OpenAPI document describes exactly the operations that there are") {
  const json document = json::parse(openapi_document());
  std::set<std::string> described;
  std::set<std::string> ids;
  for (const auto& [path, item] : document.at("paths").items()) {
    for (const auto& [method, operation] : item.items()) {
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
      described.insert(upper + " " + path);
      CHECK(ids.insert(operation.at("operationId")).second);
      for (size_t at = 0; (at = path.find('{', at)) != std::string::npos; ++at) {
        const std::string name = path.substr(at + 1, path.find('}', at) - at - 1);
        const auto& parameters = operation.at("parameters");
        CHECK(std::any_of(parameters.begin(), parameters.end(),
                          [&](const json& p) { return p.at("name") == name; }));
      }
    }
  }
  std::set<std::string> routed;
  for (const V1::Operation& o : V1::operations()) {
    routed.insert(std::string(o.method) + " " + std::string(o.pattern));
  }
  CHECK(described == routed);
  // Every reference leads somewhere.
  const std::string text(openapi_document());
  for (size_t at = 0; (at = text.find("\"$ref\": \"#", at)) != std::string::npos; ++at) {
    const size_t begin = at + 10;
    const std::string pointer = text.substr(begin, text.find('"', begin) - begin);
    INFO(pointer);
    CHECK(document.contains(json::json_pointer(pointer)));
  }
  ApiUnderTest api;
  CHECK(api.call("GET", "/api/v1/openapi.json").body == openapi_document());
}

TEST_CASE("every route asks for an API key") {
  ApiUnderTest api;
  for (const V1::Operation& o : V1::operations()) {
    const net::Match match = api.router().match(o.method, o.pattern);
    REQUIRE(match.route != nullptr);
    CHECK(match.route->access == net::Access::kApiKey);
  }
}

TEST_CASE("a user without a name is shown by what it has") {
  control::User user;
  user.id = 7;
  CHECK(shown_name(user) == "7");
  user.provider_identifier = "https://issuer/1";
  CHECK(shown_name(user) == "https://issuer/1");
  user.email = "a@b";
  CHECK(shown_name(user) == "a@b");
  user.name = "ann";
  CHECK(shown_name(user) == "ann");
}

}  // namespace
}  // namespace es::api

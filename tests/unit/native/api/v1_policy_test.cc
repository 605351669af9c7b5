// /api/v1/policy in Headscale's shapes.
#include "tests/unit/native/api/api_fixture.h"

namespace es::api {
namespace {

using nlohmann::json;

std::string body_of(const std::string& policy) { return json{{"policy", policy}}.dump(); }

constexpr const char* kPolicy =
    "// who may what\n{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": "
    "[\"*:22\"]},]}";

}  // namespace

TEST_CASE("there is no policy until one is put, and then it is there as it was given") {
  ApiUnderTest api;
  const Called none = api.call("GET", "/api/v1/policy");
  CHECK(none.status == 500);
  CHECK(none.json().at("message") == "acl policy not found");
  const Called put = api.call("PUT", "/api/v1/policy", body_of(kPolicy));
  REQUIRE(put.status == 200);
  CHECK(put.json().at("policy") == kPolicy);
  CHECK(put.json().at("updatedAt").is_string());
  const Called got = api.call("GET", "/api/v1/policy");
  CHECK(got.status == 200);
  CHECK(got.json() == put.json());
  CHECK(got.field("Cache-Control") == "no-store");
}

TEST_CASE("a wrong policy is 400 with its problems and leaves the old one") {
  ApiUnderTest api;
  REQUIRE(api.call("PUT", "/api/v1/policy", body_of(kPolicy)).status == 200);
  for (const char* method_and_path : {"PUT /api/v1/policy", "POST /api/v1/policy/check"}) {
    const std::string text = method_and_path;
    const size_t space = text.find(' ');
    const Called refused =
        api.call(text.substr(0, space), text.substr(space + 1),
                 body_of("{\"acls\":[{\"action\":\"accept\",\"src\":[\"group:x\"],"
                         "\"dst\":[\"*:*\"]}]}"));
    CHECK(refused.status == 400);
    const std::string message = refused.json().at("message");
    CHECK(message.starts_with("parsing policy from bytes: "));
    CHECK(message.find("group:x") != std::string::npos);
  }
  CHECK(api.call("PUT", "/api/v1/policy", "{\"policy\": 5}").status == 400);
  CHECK(api.call("PUT", "/api/v1/policy", "nonsense").status == 400);
  CHECK(api.call("GET", "/api/v1/policy").json().at("policy") == kPolicy);
}

TEST_CASE("a check says that a policy is good and does not put it into service") {
  ApiUnderTest api;
  const Called checked = api.call("POST", "/api/v1/policy/check", body_of(kPolicy));
  CHECK(checked.status == 200);
  CHECK(checked.json() == json::object());
  CHECK(api.call("GET", "/api/v1/policy").status == 500);
}

TEST_CASE("explain answers with the rule's place, and refuses what it cannot read") {
  ApiUnderTest api;
  REQUIRE(api.call("PUT", "/api/v1/policy", body_of(kPolicy)).status == 200);
  const Called allowed =
      api.call("GET", "/api/v1/policy/explain?src=100.64.0.1&dst=100.64.0.2:22&proto=tcp");
  REQUIRE(allowed.status == 200);
  const json decision = allowed.json().at("decisions").at(0);
  CHECK(decision.at("allowed") == true);
  CHECK(decision.at("line") == 2);
  const Called denied = api.call("GET", "/api/v1/policy/explain?src=100.64.0.1&dst=100.64.0.2:23");
  CHECK(denied.json().at("decisions").at(0).at("allowed") == false);
  CHECK(denied.json().at("decisions").at(0).at("line") == 0);
  for (const char* wrong :
       {"src=x&dst=100.64.0.2:22", "src=100.64.0.1&dst=100.64.0.2", "src=100.64.0.1",
        "src=100.64.0.1&dst=100.64.0.2:22&proto=x", "src=100.64.0.1&dst=100.64.0.2:22&proto=256"}) {
    INFO(wrong);
    CHECK(api.call("GET", std::string("/api/v1/policy/explain?") + wrong).status == 400);
  }
}

TEST_CASE("a policy may be larger than other bodies") {
  ApiUnderTest api;
  const std::string large = "// " + std::string(200 * 1024, 'x') + "\n{\"acls\": []}";
  CHECK(api.call("PUT", "/api/v1/policy", body_of(large)).status == 200);
}

}  // namespace es::api

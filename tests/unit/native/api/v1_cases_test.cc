// Each operation against a fresh server: what was there, what was asked, what must come back. The
// inputs and expected answers named "parity" follow Headscale's own cases (hscontrol/
// apiv1_{users,preauthkeys,apikeys,health}_test.go and their goldens, at f20f1f12): facts, in our
// words. Times read "<timestamp>" and key texts "<secret>", as there.
#include "tests/unit/native/api/api_fixture.h"

#include <catch2/catch.hpp>

namespace es::api {
namespace {

using nlohmann::json;

struct Step {
  const char* method;
  const char* target;
  const char* body = "";
};

struct Case {
  const char* name;
  std::vector<Step> seed;
  Step call;
  unsigned status;
  const char* body = nullptr;  // null: an error, checked for its shape
  const char* message = "";    // part of an error's message
};

const Step kAlice{"POST", "/api/v1/user", R"({"name":"alice"})"};
const Step kBob{"POST", "/api/v1/user", R"({"name":"bob"})"};
const Step kCarol{"POST", "/api/v1/user", R"({"name":"carol"})"};
const Step kUserKey{"POST", "/api/v1/preauthkey", R"({"user":"1","reusable":true})"};
const Step kTaggedKey{"POST", "/api/v1/preauthkey", R"({"ephemeral":true,"aclTags":["tag:test"]})"};
const Step kApiKey{"POST", "/api/v1/apikey", "{}"};

#define ALICE                                                                          \
  R"({"createdAt":"<timestamp>","displayName":"","email":"","id":"1","name":"alice",)" \
  R"("profilePicUrl":"","provider":"","providerId":""})"
#define BOB(id)                                                                              \
  R"({"createdAt":"<timestamp>","displayName":"","email":"","id":")" id R"(","name":"bob",)" \
  R"("profilePicUrl":"","provider":"","providerId":""})"
#define CAROL                                                                          \
  R"({"createdAt":"<timestamp>","displayName":"","email":"","id":"3","name":"carol",)" \
  R"("profilePicUrl":"","provider":"","providerId":""})"
#define API_KEY(id, expiration)                                            \
  R"({"createdAt":"<timestamp>","expiration":)" expiration R"(,"id":")" id \
  R"(","lastSeen":null,"prefix":"<secret>"})"

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      // Users.
      {"parity: create",
       {},
       {"POST", "/api/v1/user", R"({"name":"test","displayName":"Test","email":"t@example.com"})"},
       200,
       R"({"user":{"createdAt":"<timestamp>","displayName":"Test","email":"t@example.com","id":"1",
       "name":"test","profilePicUrl":"","provider":"","providerId":""}})"},
      {"parity: create a duplicate", {kAlice}, kAlice, 409, nullptr, "already exists"},
      {"create with every member",
       {},
       {"POST", "/api/v1/user",
        R"({"name":"a@b.c","display_name":"D","email":"e","pictureUrl":"https://p","x":1})"},
       200,
       R"({"user":{"createdAt":"<timestamp>","displayName":"D","email":"e","id":"1","name":"a@b.c",
       "profilePicUrl":"https://p","provider":"","providerId":""}})"},
      {"create without a name", {}, {"POST", "/api/v1/user", "{}"}, 400, nullptr, "at least 2"},
      {"create with a bad name",
       {},
       {"POST", "/api/v1/user", R"({"name":"1a"})"},
       400,
       nullptr,
       "start with a letter"},
      {"create with a name of another type",
       {},
       {"POST", "/api/v1/user", R"({"name":5})"},
       400,
       nullptr,
       "name: expected a string"},
      {"create with broken JSON",
       {},
       {"POST", "/api/v1/user", R"({"name":)"},
       400,
       nullptr,
       "not well-formed JSON"},
      {"parity: rename",
       {kAlice},
       {"POST", "/api/v1/user/1/rename/bob"},
       200,
       R"({"user":)" BOB("1") "}"},
      {"parity: rename what is not there",
       {},
       {"POST", "/api/v1/user/999/rename/bob"},
       404,
       nullptr,
       "user not found"},
      {"parity: rename by no id",
       {},
       {"POST", "/api/v1/user/abc/rename/bob"},
       400,
       nullptr,
       "invalid user id"},
      {"rename to a taken name",
       {kAlice, kBob},
       {"POST", "/api/v1/user/1/rename/bob"},
       409,
       nullptr,
       "already exists"},
      {"rename to a percent-encoded name",
       {kAlice},
       {"POST", "/api/v1/user/1/rename/a%40b"},
       200,
       R"({"user":{"createdAt":"<timestamp>","displayName":"","email":"","id":"1","name":"a@b",
       "profilePicUrl":"","provider":"","providerId":""}})"},
      {"rename to a bad name",
       {kAlice},
       {"POST", "/api/v1/user/1/rename/a%2Fb"},
       400,
       nullptr,
       "invalid character"},
      {"parity: delete", {kAlice}, {"DELETE", "/api/v1/user/1"}, 200, "{}"},
      {"parity: delete what is not there",
       {},
       {"DELETE", "/api/v1/user/999"},
       404,
       nullptr,
       "user not found"},
      {"delete by no id", {}, {"DELETE", "/api/v1/user/abc"}, 400, nullptr, "invalid user id"},
      {"parity: list none", {}, {"GET", "/api/v1/user"}, 200, R"({"users":[]})"},
      {"parity: list all",
       {kAlice, kBob, kCarol},
       {"GET", "/api/v1/user"},
       200,
       R"({"users":[)" ALICE "," BOB("2") "," CAROL "]}"},
      {"parity: list by name",
       {kAlice, kBob},
       {"GET", "/api/v1/user?name=alice"},
       200,
       R"({"users":[)" ALICE "]}"},
      {"parity: list by id",
       {kAlice, kBob},
       {"GET", "/api/v1/user?id=2"},
       200,
       R"({"users":[)" BOB("2") "]}"},
      {"parity: list by no id",
       {kAlice},
       {"GET", "/api/v1/user?id=abc"},
       400,
       nullptr,
       "invalid id"},
      {"list: a wrong id is wrong even when the name wins",
       {kAlice},
       {"GET", "/api/v1/user?id=abc&name=alice"},
       400,
       nullptr,
       "invalid id"},
      {"list: name wins over email and id",
       {kAlice, kBob},
       {"GET", "/api/v1/user?id=2&email=x&name=alice"},
       200,
       R"({"users":[)" ALICE "]}"},
      {"list: email wins over id",
       {kAlice, {"POST", "/api/v1/user", R"({"name":"bob","email":"b@x"})"}},
       {"GET", "/api/v1/user?id=1&email=b%40x"},
       200,
       R"({"users":[{"createdAt":"<timestamp>","displayName":"","email":"b@x","id":"2","name":"bob",
       "profilePicUrl":"","provider":"","providerId":""}]})"},
      {"list: id 0 is no filter",
       {kAlice},
       {"GET", "/api/v1/user?id=0"},
       200,
       R"({"users":[)" ALICE "]}"},
      {"list: nobody fits", {kAlice}, {"GET", "/api/v1/user?name=bob"}, 200, R"({"users":[]})"},
      // Pre-auth keys.
      {"create a key of a user",
       {kAlice},
       {"POST", "/api/v1/preauthkey",
        R"({"user":"1","reusable":true,"expiration":"2030-01-01T00:00:00Z"})"},
       200,
       R"({"preAuthKey":{"aclTags":[],"createdAt":"<timestamp>","ephemeral":false,
       "expiration":"<timestamp>","id":"1","key":"<secret>","reusable":true,"used":false,"user":)" ALICE
       "}}"},
      {"create a tagged key",
       {},
       kTaggedKey,
       200,
       R"({"preAuthKey":{"aclTags":["tag:test"],"createdAt":"<timestamp>","ephemeral":true,
       "expiration":"<timestamp>","id":"1","key":"<secret>","reusable":false,"used":false,
       "user":null}})"},
      {"create a key with the user as a number",
       {kAlice},
       {"POST", "/api/v1/preauthkey", R"({"user":1,"expiration":null})"},
       200,
       R"({"preAuthKey":{"aclTags":[],"createdAt":"<timestamp>","ephemeral":false,
       "expiration":"<timestamp>","id":"1","key":"<secret>","reusable":false,"used":false,"user":)" ALICE
       "}}"},
      {"parity: create a key with a bad tag",
       {kAlice},
       {"POST", "/api/v1/preauthkey", R"({"user":"1","aclTags":["badtag"]})"},
       400,
       nullptr,
       "tag:"},
      {"parity: create a key of nobody there",
       {},
       {"POST", "/api/v1/preauthkey", R"({"user":"999"})"},
       404,
       nullptr,
       "user not found"},
      {"parity: create a key with no user id",
       {},
       {"POST", "/api/v1/preauthkey", R"({"user":"abc"})"},
       400,
       nullptr,
       "user: expected a whole number"},
      {"parity: create a key neither tagged nor owned",
       {},
       {"POST", "/api/v1/preauthkey", R"({"reusable":true})"},
       400,
       nullptr,
       "either tagged or owned"},
      {"create a key with user 0 and no tags",
       {},
       {"POST", "/api/v1/preauthkey", R"({"user":"0"})"},
       400,
       nullptr,
       "either tagged or owned"},
      {"create a key with a bad time",
       {kAlice},
       {"POST", "/api/v1/preauthkey", R"({"user":"1","expiration":"1h"})"},
       400,
       nullptr,
       "expiration: expected a time"},
      {"create a key with a flag of another type",
       {kAlice},
       {"POST", "/api/v1/preauthkey", R"({"user":"1","reusable":"yes"})"},
       400,
       nullptr,
       "reusable: expected true or false"},
      {"parity: expire a key",
       {kAlice, kUserKey},
       {"POST", "/api/v1/preauthkey/expire", R"({"id":"1"})"},
       200,
       "{}"},
      {"parity: expire a key that is not there",
       {kAlice, kUserKey},
       {"POST", "/api/v1/preauthkey/expire", R"({"id":"99999"})"},
       404,
       nullptr,
       "not found"},
      {"parity: expire a key by no id",
       {},
       {"POST", "/api/v1/preauthkey/expire", R"({"id":"abc"})"},
       400,
       nullptr,
       "id: expected a whole number"},
      {"expire a key without an id",
       {kAlice, kUserKey},
       {"POST", "/api/v1/preauthkey/expire", "{}"},
       404,
       nullptr,
       "not found"},
      {"parity: delete a key",
       {kAlice, kUserKey},
       {"DELETE", "/api/v1/preauthkey?id=1"},
       200,
       "{}"},
      {"parity: delete a key that is not there",
       {kAlice, kUserKey},
       {"DELETE", "/api/v1/preauthkey?id=99999"},
       404,
       nullptr,
       "not found"},
      {"parity: delete a key by no id",
       {},
       {"DELETE", "/api/v1/preauthkey?id=abc"},
       400,
       nullptr,
       "invalid pre-auth key id"},
      {"delete a key without an id",
       {kAlice, kUserKey},
       {"DELETE", "/api/v1/preauthkey"},
       404,
       nullptr,
       "not found"},
      {"parity: list no keys", {}, {"GET", "/api/v1/preauthkey"}, 200, R"({"preAuthKeys":[]})"},
      {"parity: list keys",
       {kAlice, kUserKey, kTaggedKey},
       {"GET", "/api/v1/preauthkey"},
       200,
       R"({"preAuthKeys":[{"aclTags":[],"createdAt":"<timestamp>","ephemeral":false,
       "expiration":"<timestamp>","id":"1","key":"<secret>","reusable":true,"used":false,"user":)" ALICE
       R"(},{"aclTags":["tag:test"],"createdAt":"<timestamp>","ephemeral":true,
       "expiration":"<timestamp>","id":"2","key":"<secret>","reusable":false,"used":false,
       "user":null}]})"},
      // API keys.
      {"create an API key", {}, kApiKey, 200, R"({"apiKey":"<secret>"})"},
      {"create an API key without a body",
       {},
       {"POST", "/api/v1/apikey"},
       200,
       R"({"apiKey":"<secret>"})"},
      {"create an API key with a bad time",
       {},
       {"POST", "/api/v1/apikey", R"({"expiration":"90d"})"},
       400,
       nullptr,
       "expiration: expected a time"},
      {"parity: list no API keys", {}, {"GET", "/api/v1/apikey"}, 200, R"({"apiKeys":[]})"},
      {"parity: list API keys",
       {kApiKey, kApiKey},
       {"GET", "/api/v1/apikey"},
       200,
       R"({"apiKeys":[)" API_KEY("1", "null") "," API_KEY("2", "null") "]}"},
      {"parity: unset times of an API key are null",
       {kApiKey},
       {"GET", "/api/v1/apikey"},
       200,
       R"({"apiKeys":[)" API_KEY("1", "null") "]}"},
      {"parity: the zero time of an API key stays a time",
       {{"POST", "/api/v1/apikey", R"({"expiration":"0001-01-01T00:00:00Z"})"}},
       {"GET", "/api/v1/apikey"},
       200,
       R"({"apiKeys":[)" API_KEY("1", R"("<timestamp>")") "]}"},
      {"parity: expire an API key by id",
       {kApiKey},
       {"POST", "/api/v1/apikey/expire", R"({"id":"1"})"},
       200,
       "{}"},
      {"parity: expire an API key by prefix",
       {kApiKey},
       {"POST", "/api/v1/apikey/expire", R"({"prefix":"<prefix 1>"})"},
       200,
       "{}"},
      {"parity: expire by neither",
       {},
       {"POST", "/api/v1/apikey/expire", "{}"},
       400,
       nullptr,
       "must provide id or prefix"},
      {"parity: expire by both",
       {},
       {"POST", "/api/v1/apikey/expire", R"({"id":"1","prefix":"abc"})"},
       400,
       nullptr,
       "not both"},
      {"parity: expire an API key that is not there",
       {},
       {"POST", "/api/v1/apikey/expire", R"({"id":"999"})"},
       404,
       nullptr,
       "not found"},
      {"expire an API key by an unknown prefix",
       {kApiKey},
       {"POST", "/api/v1/apikey/expire", R"({"prefix":"abc"})"},
       404,
       nullptr,
       "not found"},
      {"parity: delete an API key by prefix",
       {kApiKey},
       {"DELETE", "/api/v1/apikey/<prefix 1>"},
       200,
       "{}"},
      {"parity: delete by prefix and id",
       {kApiKey},
       {"DELETE", "/api/v1/apikey/<prefix 1>?id=1"},
       400,
       nullptr,
       "not both"},
      {"parity: delete by an unknown prefix",
       {},
       {"DELETE", "/api/v1/apikey/doesnotexist"},
       404,
       nullptr,
       "not found"},
      {"parity: delete by both",
       {},
       {"DELETE", "/api/v1/apikey/abc?id=1"},
       400,
       nullptr,
       "not both"},
      {"parity: delete by no id",
       {},
       {"DELETE", "/api/v1/apikey/abc?id=notanumber"},
       400,
       nullptr,
       "invalid api key id"},
      {"delete an API key by id alone", {kApiKey}, {"DELETE", "/api/v1/apikey?id=1"}, 200, "{}"},
      {"delete by neither", {}, {"DELETE", "/api/v1/apikey"}, 400, nullptr, "must provide"},
      // Health.
      {"parity: health", {}, {"GET", "/api/v1/health"}, 200, R"({"databaseConnectivity":true})"},
  };
  return kCases;
}

// Replaces what differs from run to run. A time must be one, a key must look like one.
void normalise(json& value, const std::string& name) {
  if (value.is_object()) {
    for (auto& [member, inner] : value.items()) normalise(inner, member);
  } else if (value.is_array()) {
    for (auto& inner : value) normalise(inner, name);
  } else if (value.is_string()) {
    auto& text = value.get_ref<std::string&>();
    if (name == "createdAt" || name == "expiration" || name == "lastSeen") {
      if (text.size() >= 20 && text[10] == 'T' && text.back() == 'Z') text = "<timestamp>";
    } else if (name == "key" || name == "apiKey" || name == "prefix") {
      if (text.starts_with("tskey-")) text = "<secret>";
    }
  }
}

// "<prefix N>" stands for the masked prefix of API key N.
std::string filled_in(ApiUnderTest& api, std::string text) {
  const size_t at = text.find("<prefix 1>");
  if (at != std::string::npos) {
    const auto list = api.call("GET", "/api/v1/apikey").json();
    text.replace(at, 10, list["apiKeys"][0]["prefix"].get<std::string>());
  }
  return text;
}

void check_error(const Called& called, const Case& c) {
  const json body = called.json();
  CHECK(body.size() == 6);
  CHECK(body.at("status") == called.status);
  CHECK(body.at("details") == json::array());
  CHECK(body.at("code").is_number_unsigned());
  CHECK(body.at("title").is_string());
  CHECK(body.at("message") == body.at("detail"));
  CHECK_THAT(body.at("message").get<std::string>(), Catch::Contains(c.message));
}

TEST_CASE("every operation answers as Headscale's do") {
  for (const Case& c : cases()) {
    INFO(c.name);
    ApiUnderTest api;
    for (const Step& step : c.seed) {
      REQUIRE(api.call(step.method, step.target, step.body).status == 200);
    }
    const Called called =
        api.call(c.call.method, filled_in(api, c.call.target), filled_in(api, c.call.body));
    INFO(called.body);
    CHECK(called.status == c.status);
    CHECK(called.field("Content-Type") == "application/json");
    CHECK(called.field("Cache-Control") == "no-store");
    if (c.body == nullptr) {
      check_error(called, c);
    } else {
      json body = called.json();
      normalise(body, "");
      CHECK(body == json::parse(c.body));
    }
  }
}

}  // namespace
}  // namespace es::api

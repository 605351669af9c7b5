#include "native/api/body.h"

#include "common/base/rfc3339.h"

#include <catch2/catch.hpp>

namespace es::api {
namespace {

Body good(std::string_view json) {
  auto body = Body::parse(json);
  if (!body.ok()) FAIL(body.error().text);
  return std::move(body).value();
}

std::string refusal(std::string_view json) {
  const auto body = Body::parse(json);
  if (body.ok()) return "taken";
  CHECK(body.error().status == 400);
  return body.error().text;
}

TEST_CASE("members are read by name and type") {
  Body body = good(R"({"s":"x\u00e9\n","t":true,"f":false,"n":18446744073709551615,"d":"42",
    "when":"2030-01-31T12:00:00Z","list":["a","b"],"empty":[],"nothing":null})");
  CHECK(body.text("s") == "x\xC3\xA9\n");
  CHECK(body.flag("t"));
  CHECK(!body.flag("f"));
  CHECK(body.uint64("n") == 18446744073709551615ULL);
  CHECK(body.uint64("d") == 42U);
  CHECK(body.time("when") == parse_rfc3339("2030-01-31T12:00:00Z"));
  CHECK(body.texts("list") == std::vector<std::string>{"a", "b"});
  CHECK(body.texts("empty").empty());
  CHECK(!body.error());
}

TEST_CASE("what is absent or null is not set") {
  for (const char* json : {"", " \r\n", "{}", R"({"m":null})"}) {
    Body body = good(json);
    CHECK(body.text("m").empty());
    CHECK(!body.flag("m"));
    CHECK(body.uint64("m") == std::nullopt);
    CHECK(body.time("m") == std::nullopt);
    CHECK(body.texts("m").empty());
    CHECK(!body.error());
  }
  CHECK(good(R"({"m":""})").uint64("m") == std::nullopt);
}

TEST_CASE("both names of a member are understood") {
  CHECK(good(R"({"display_name":"x"})").text("displayName", "display_name") == "x");
  CHECK(good(R"({"displayName":"x"})").text("displayName", "display_name") == "x");
  CHECK(good(R"({"acl_tags":["x"]})").texts("aclTags", "acl_tags").size() == 1);
}

TEST_CASE("a wrong type is refused with the member and what is expected, never its value") {
  const auto complaint = [](Body& body) { return body.error() ? body.error()->text : "none"; };
  using Catch::Contains;
  for (const char* json : {R"({"m":1})", R"({"m":-1})", R"({"m":1.5})", R"({"m":true})",
                           R"({"m":["a"]})", R"({"m":{"a":1}})"}) {
    Body body = good(json);
    body.text("m");
    CHECK(complaint(body) == "m: expected a string");
  }
  for (const char* json : {R"({"m":1})", R"({"m":"true"})", R"({"m":[]})", R"({"m":{}})"}) {
    Body body = good(json);
    body.flag("m");
    CHECK(complaint(body) == "m: expected true or false");
  }
  for (const char* json : {R"({"m":"abc"})", R"({"m":"-1"})", R"({"m":-1})", R"({"m":1.0})",
                           R"({"m":" 1"})", R"({"m":"18446744073709551616"})",
                           R"({"m":18446744073709551616})", R"({"m":true})", R"({"m":"0x1"})"}) {
    Body body = good(json);
    body.uint64("m");
    CHECK_THAT(complaint(body), Contains("m: expected a whole number"));
  }
  for (const char* json : {R"({"m":"tomorrow"})", R"({"m":1})", R"({"m":""})"}) {
    Body body = good(json);
    body.time("m");
    CHECK_THAT(complaint(body), Contains("m: expected a time in RFC 3339 form"));
  }
  for (const char* json : {R"({"m":"a"})", R"({"m":[1]})", R"({"m":["a",1]})",
                           R"({"m":["a",1,"b"]})", R"({"m":[["a"]]})", R"({"m":["a",["b"]]})",
                           R"({"m":[{"a":"b"}]})", R"({"m":[null]})", R"({"m":{"m":["a"]}})"}) {
    INFO(json);
    Body body = good(json);
    body.texts("m");
    CHECK(complaint(body) == "m: expected a list of strings");
  }
}

TEST_CASE("unknown members are passed over, whatever they hold") {
  Body body = good(R"({"x":{"name":"no","y":[1,{"name":"no"}]},"name":"yes","z":[["name"]]})");
  CHECK(body.text("name") == "yes");
  CHECK(!body.error());
}

TEST_CASE("what is not one well-formed JSON object is refused") {
  for (const char* json : {"{",
                           "}",
                           "{]",
                           R"({"a")",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({a:1})",
                           R"({'a':1})",
                           R"({"a":1}{})",
                           R"({"a":1} x)",
                           R"({"a":01})",
                           R"({"a":+1})",
                           R"({"a":NaN})",
                           R"({"a":"\x"})",
                           R"({"a":"\ud800"})",
                           "{\"a\":\"\xff\"}",
                           "{\"a\":\"\n\"}",
                           R"({"a":1/**/})",
                           "\xEF\xBB\xBF{",
                           "nul",
                           "{\"a\":\"",
                           R"({"a":1e999})"}) {
    INFO(json);
    CHECK(refusal(json) == "the body is not well-formed JSON");
  }
  for (const char* json : {"[]", "1", "\"a\"", "null", "true", "[{}]"}) {
    INFO(json);
    CHECK(refusal(json) == "the body must be a JSON object");
  }
  CHECK(refusal(R"({"a":1,"a":2})") == "the body has a member twice");
}

TEST_CASE("depth, number of members and size are bounded at the exact limit") {
  const auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  good(nested(kMaxBodyDepth));
  CHECK(refusal(nested(kMaxBodyDepth + 1)) == "the body is nested too deeply");
  CHECK(refusal("{\"a\":" + std::string(30'000, '[')) == "the body is nested too deeply");
  CHECK(refusal("{\"a\":" + std::string(30'000, '{')) == "the body is not well-formed JSON");
  const auto members = [](size_t num) {
    std::string json = "{";
    for (size_t i = 0; i < num; ++i) json += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
    return json + "}";
  };
  good(members(kMaxBodyMembers));
  CHECK(refusal(members(kMaxBodyMembers + 1)) == "the body has too many members");
  const auto sized = [](size_t len) { return "{\"a\":\"" + std::string(len - 8, 'x') + "\"}"; };
  good(sized(kMaxBodyLen));
  const auto large = Body::parse(sized(kMaxBodyLen + 1));
  REQUIRE(!large.ok());
  CHECK(large.error().status == 413);
}

}  // namespace
}  // namespace es::api

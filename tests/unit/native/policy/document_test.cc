#include "native/policy/value.h"

#include <catch2/catch.hpp>

using es::policy::parse_hujson;
using es::policy::parse_yaml;
using es::policy::ParseLimits;
using es::policy::Problems;
using es::policy::to_json_text;
using es::policy::Value;

namespace {

std::string round_trip(std::string_view text) {
  Problems problems;
  const Value value = parse_hujson(text, {}, problems);
  return problems.empty() ? to_json_text(value) : "refused: " + problems.text();
}

}  // namespace

TEST_CASE("HuJSON is JSON with comments and trailing commas") {
  CHECK(round_trip("// first\n{\"a\": [1, 2,], /* x */ \"b\": {},}\n// last") ==
        R"({"a":[1,2],"b":{}})");
  CHECK(round_trip(R"("\u00e9\ud83d\ude00\n\/")") == "\"\xc3\xa9\xf0\x9f\x98\x80\\u000a/\"");
  CHECK(round_trip("\xef\xbb\xbf[true,false,null,-1.5e+3]") == "[true,false,null,-1.5e+3]");
}

TEST_CASE("an error says where it is and what is allowed there") {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"a\" 1}", "line 1, column 6: expected : after the name, found \"1\""},
      {"{\"a\": 1\n \"b\": 2}", "line 2, column 2: expected , or } after a member, found \"\\\"\""},
      {"[1\n2]", "line 2, column 1: expected , or ] after an array item, found \"2\""},
      {"[,]", "line 1, column 2: expected an object"},
      {"{,}", "line 1, column 2: expected a name in \" or }, found \",\""},
      {"[1", "expected , or ] after an array item, found the end of the document"},
      {"{\"a\": 1, \"a\": 2}", "line 1, column 10: the name \"a\" stands twice in this object"},
      {"\"a\nb\"", "this string has no closing \""},
      {"\"\\x\"", "expected one of"},
      {"\"\\ud800\"", "surrogate"},
      {"/* x", "this comment has no */"},
      {"1 2", "nothing but comments may follow the policy"},
      {"01", "nothing but comments"},
      {"1.", "expected a digit after the decimal point"},
      {"tru", "expected an object"},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text);
    CHECK_THAT(round_trip(text), Catch::Contains(expected));
  }
}

TEST_CASE("every truncation of a document is refused, and none crashes") {
  const std::string text =
      R"({"a": [1, -2.5e3, "x\u00e9"], /* c */ "b": {"c": null, "d": true,},})";
  for (size_t n = 1; n < text.size(); ++n) {
    INFO(n);
    CHECK_THAT(round_trip(text.substr(0, n)), Catch::StartsWith("refused"));
  }
}

TEST_CASE("depth, size and the number of values are limited") {
  ParseLimits limits;
  limits.max_depth = 10;
  limits.max_values = 100;
  limits.max_bytes = 1000;
  const auto refused = [&](const std::string& text, std::string_view why) {
    for (const auto parse : {parse_hujson, parse_yaml}) {
      Problems problems;
      parse(text, limits, problems);
      CHECK_THAT(problems.text(), Catch::Contains(std::string(why)));
    }
  };
  refused(std::string(11, '[') + std::string(11, ']'), "nested deeper than 10 levels");
  std::string many = "[1";
  for (int i = 0; i < 100; ++i) many += ",1";
  refused(many + "]", "more than 100 values");
  refused("[" + std::string(1000, ' ') + "]", "at most 1000 are allowed");
  Problems problems;
  parse_hujson(std::string(10, '[') + std::string(10, ']'), limits, problems);
  CHECK(problems.empty());
}

TEST_CASE("YAML gives the same document") {
  Problems problems;
  const Value yaml = parse_yaml(
      "groups:\n  group:dev: [a@x, b@x]\n# note\nacls:\n  - action: accept\n    src: ['*']\n"
      "randomizeClientPort: true\nnothing: ~\nnumber: 5\ntext: '5'\n",
      {}, problems);
  REQUIRE(problems.empty());
  CHECK(to_json_text(yaml) ==
        R"({"groups":{"group:dev":["a@x","b@x"]},"acls":[{"action":"accept","src":["*"]}],)"
        R"("randomizeClientPort":true,"nothing":null,"number":5,"text":"5"})");
  CHECK(yaml.members[1].value.items[0].at == es::policy::Position{5, 5});
}

TEST_CASE("YAML that expands without end is refused") {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    bomb += std::string(1, c) + ": &" + std::string(1, c) + " [";
    for (int i = 0; i < 10; ++i) bomb += (i == 0 ? "*" : ", *") + before;
    bomb += "]\n";
  }
  ParseLimits limits;
  limits.max_values = 20000;
  Problems problems;
  parse_yaml(bomb, limits, problems);
  CHECK_THAT(problems.text(), Catch::Contains("more than 20000 values"));
  for (const char* text : {"a: [", "a: b: c", "*x", "? [a]\n: b", "a: 1\na: 2"}) {
    INFO(text);
    Problems p;
    parse_yaml(text, {}, p);
    CHECK_FALSE(p.empty());
  }
}

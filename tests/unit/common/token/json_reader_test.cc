#include "common/token/json_reader.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::token {
namespace {

bool reads_over(std::string_view text) {
  JsonReader json(text);
  json.skip();
  return json.finished();
}

std::string string_of(std::string_view text) {
  JsonReader json(text);
  std::array<uint8_t, 64> buffer;
  const auto value = json.string(buffer);
  return value && json.finished() ? std::string(*value) : "refused";
}

}  // namespace

TEST_CASE("well-formed JSON is read over") {
  for (const char* text :
       {"{}", "[]", "\"\"", "0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-3", "true", "false",
        "null", " \t\r\n[ 1 , 2 ] ", "{\"a\":{\"b\":[{},[],null]}}",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "{\"a\":1,\"a\":2}", "\"\\u0000\"",
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""}) {
    CAPTURE(text);
    CHECK(reads_over(text));
  }
}

TEST_CASE("near-misses of JSON are refused") {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[",
                           "]",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{,}",
                           "{a:1}",
                           "{1:1}",
                           "{'a':1}",
                           "{\"a\" 1}",
                           "{\"a\":1 \"b\":2}",
                           "[}",
                           "{]",
                           "[1}",
                           "{\"a\":1]",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "-",
                           "0x1",
                           "1,",
                           "tru",
                           "trueX",
                           "nul",
                           "True",
                           "NaN",
                           "Infinity",
                           "\"",
                           "\"a",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\ud800x\"",
                           "\"\t\"",
                           "\"\n\"",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xe2\x82\"",
                           "{}{}",
                           "[] x",
                           "// x\n1",
                           "/**/1",
                           "[1]/*",
                           "\xef\xbb\xbf{}",
                           "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"}) {
    CAPTURE(text);
    CHECK_FALSE(reads_over(text));
  }
  CHECK_FALSE(reads_over(std::string_view("\"a\0b\"", 5)));
  // Depth is bounded however long the text.
  CHECK_FALSE(reads_over(std::string(100'000, '[')));
}

TEST_CASE("strings are unescaped to UTF-8") {
  CHECK(string_of("\"plain\"") == "plain");
  CHECK(string_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(string_of(R"("\u0041\u00e4\u20AC\ud83d\ude00")") ==
        "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(string_of("\"" + std::string(64, 'x') + "\"") == std::string(64, 'x'));
  CHECK(string_of("\"" + std::string(65, 'x') + "\"") == "refused");
  CHECK(string_of("\"" + std::string(62, 'x') + "\\u20ac\"") == "refused");
  CHECK(string_of("1") == "refused");
}

TEST_CASE("naturals are whole, unsigned and 64 bits") {
  const auto natural = [](std::string_view text) {
    JsonReader json(text);
    const auto value = json.natural();
    return json.finished() ? value : std::nullopt;
  };
  CHECK(natural("0") == 0);
  CHECK(natural("18446744073709551615") == UINT64_MAX);
  CHECK(natural("1800000000.0") == 1'800'000'000);
  for (const char* text :
       {"18446744073709551616", "-1", "-0", "1.5", "1e3", "\"1\"", "01", "", "null"}) {
    CAPTURE(text);
    CHECK_FALSE(natural(text));
  }
}

TEST_CASE("members and elements come one after the other, and skipping one reaches the next") {
  JsonReader json(R"({"skip":{"a":[1,{"b":"]}"}]},"list":["x","y"],"n":7})");
  std::array<uint8_t, 16> name_buffer;
  std::array<uint8_t, 16> text;
  std::string_view name;
  REQUIRE(json.enter_object());
  REQUIRE(json.next_member(name_buffer, name));
  CHECK(name == "skip");
  json.skip();
  REQUIRE(json.next_member(name_buffer, name));
  CHECK(name == "list");
  REQUIRE(json.enter_array());
  REQUIRE(json.next_element());
  CHECK(json.string(text) == "x");
  REQUIRE(json.next_element());
  CHECK(json.string(text) == "y");
  CHECK_FALSE(json.next_element());
  CHECK(json.ok());
  REQUIRE(json.next_member(name_buffer, name));
  CHECK(name == "n");
  CHECK(json.natural() == 7);
  CHECK_FALSE(json.next_member(name_buffer, name));
  CHECK(json.finished());
}

TEST_CASE("an error is sticky") {
  JsonReader json("[1,2]");
  CHECK_FALSE(json.enter_object());
  CHECK_FALSE(json.ok());
  CHECK_FALSE(json.enter_array());
  CHECK(json.peek() == JsonReader::Kind::kNone);
  json.skip();
  CHECK_FALSE(json.finished());
}

}  // namespace es::token

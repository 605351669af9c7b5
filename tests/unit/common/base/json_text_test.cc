#include "common/base/json_text.h"

#include <catch2/catch.hpp>

#include <utility>

namespace es {

TEST_CASE("a JSON string escapes what must be, and only valid UTF-8 gets through") {
  const std::pair<std::string, const char*> cases[] = {
      {"plain", R"("plain")"},
      {"\"\\\n", R"("\"\\\u000a")"},
      {std::string("\0\x1f\x7f", 3), R"("\u0000\u001f\u007f")"},
      {"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
      {"\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\""},  // C1, no-break space
      {"\xff", "\"\xef\xbf\xbd\""},
      {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                  // overlong
      {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},  // a surrogate
      {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                  // cut short
      {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
  };
  for (const auto& [text, expected] : cases) {
    std::string out;
    append_json_string(out, text);
    CHECK(out == expected);
  }
}

TEST_CASE("a list of strings has a comma between any two") {
  std::string out;
  append_json_strings(out, {});
  append_json_strings(out, {"a", "b"});
  CHECK(out == R"([]["a","b"])");
}

}  // namespace es

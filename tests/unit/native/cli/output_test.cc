#include "native/cli/output.h"

#include "common/base/rfc3339.h"
#include "native/cli/times.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace es::cli {

TEST_CASE("a table is as wide as its widest cells") {
  CHECK(render_table({"ID", "Name", "Tags"}, {{"1", "Ann", ""}, {"12", "J\u00fcrgen", "tag:a"}}) ==
        "ID | Name   | Tags\n"
        "1  | Ann    |\n"
        "12 | J\u00fcrgen | tag:a\n");
  CHECK(render_table({"ID"}, {}) == "ID\n");
}

TEST_CASE("text from elsewhere cannot command the terminal") {
  CHECK(printable("a\x1b[31mb\nc\td\x7f") == "a?[31mb?c?d?");
  CHECK(printable("\xc2\x9b"
                  "31m\xc3\xa9") == "?31m\xc3\xa9");
  CHECK(render_table({"N"}, {{"x\x1b]0;t\x07"}}) == "N\nx?]0;t?\n");
}

TEST_CASE("data keeps the order of the answer in every format") {
  const Json data = Json::parse(R"([
    {"id":"1","name":"ann","tags":[],"user":{"id":"2","note":null},"aclTags":["tag:a","tag:b"]},
    {"id":"2","name":"b: \"c\"","tags":[],"user":null,"aclTags":[]}])");
  CHECK(render_data(data[1], Format::kJson) ==
        "{\n\t\"id\": \"2\",\n\t\"name\": \"b: \\\"c\\\"\",\n\t\"tags\": [],\n\t\"user\": null,\n"
        "\t\"aclTags\": []\n}\n");
  CHECK(render_data(data[1], Format::kJsonLine) ==
        R"({"id":"2","name":"b: \"c\"","tags":[],"user":null,"aclTags":[]})"
        "\n");
  CHECK(render_data(data, Format::kYaml) == R"(- id: "1"
  name: "ann"
  tags: []
  user:
    id: "2"
    note: null
  aclTags:
    - "tag:a"
    - "tag:b"
- id: "2"
  name: "b: \"c\""
  tags: []
  user: null
  aclTags: []
)");
  CHECK(render_data(Json("key"), Format::kYaml) == "\"key\"\n");
  CHECK(render_data(Json::array(), Format::kYaml) == "[]\n");
  CHECK(render_data(Json("\xff"), Format::kJsonLine) == "\"\uFFFD\"\n");
}

TEST_CASE("people see the time and how far it is") {
  const WallTime now = *parse_rfc3339("2026-11-22T12:00:00Z");
  const std::pair<const char*, const char*> rows[] = {
      {"2026-11-22T12:00:00Z", "2026-11-22 12:00:00 (0s ago)"},
      {"2026-11-22T11:59:30Z", "2026-11-22 11:59:30 (30s ago)"},
      {"2026-11-22T11:58:31Z", "2026-11-22 11:58:31 (89s ago)"},
      {"2026-11-22T11:50:00Z", "2026-11-22 11:50:00 (10m ago)"},
      {"2026-11-22T13:00:00Z", "2026-11-22 13:00:00 (in 60m)"},
      {"2026-11-23T12:00:00Z", "2026-11-23 12:00:00 (in 24h)"},
      {"2026-11-23T11:59:59.999Z", "2026-11-23 11:59:59 (in 24h)"},
      {"2027-02-20T12:00:00Z", "2027-02-20 12:00:00 (in 90d)"},
      {"2036-11-22T12:00:00Z", "2036-11-22 12:00:00 (in 10y)"},
      {"0001-01-01T00:00:00Z", "-"},
      {"", "-"},
      {"soon", "-"},
  };
  for (const auto& [text, shown] : rows) CHECK(time_for_people(text, now) == shown);
}

TEST_CASE("people see whether something has expired, and that it never does") {
  const WallTime now = *parse_rfc3339("2026-11-22T12:00:00Z");
  CHECK(expiry_for_people("2026-11-22T11:50:00Z", now) == "2026-11-22 11:50:00 (expired 10m ago)");
  CHECK(expiry_for_people("2026-11-22T12:00:00Z", now) == "2026-11-22 12:00:00 (expired 0s ago)");
  CHECK(expiry_for_people("2026-11-22T12:00:01Z", now) == "2026-11-22 12:00:01 (in 1s)");
  CHECK(expiry_for_people("0001-01-01T00:00:00Z", now) == "never");
  CHECK(expiry_for_people("", now) == "never");
}

}  // namespace es::cli

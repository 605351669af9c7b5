#include "native/policy/policy.h"
#include "native/policy/reader.h"

#include <catch2/catch.hpp>

using es::policy::Problems;
using es::policy::read_policy;
using es::policy::ReadOptions;

namespace {

std::string problems_of(std::string_view text, const ReadOptions& options = {}) {
  Problems problems;
  const auto policy = read_policy(text, options, problems);
  CHECK((policy == nullptr) == !problems.empty());
  return problems.text();
}

// A policy with names to refer to, and the given sections.
std::string with(const std::string& sections) {
  return R"({"groups": {"group:dev": ["a@example.com"]}, "hosts": {"db": "10.0.0.5"},
"tagOwners": {"tag:web": ["group:dev"]}, "postures": {"posture:new": ["node:tsVersion >= '1.80'"]},
)" + sections +
         "}";
}

}  // namespace

TEST_CASE("a policy may be empty, and its sections null") {
  CHECK(problems_of("").empty());
  CHECK(problems_of("// nothing\n{}").empty());
  CHECK(problems_of(R"({"acls": null, "groups": null})").empty());
}

TEST_CASE("each mistake is reported with what is wrong") {
  const std::pair<const char*, const char*> cases[] = {
      {R"("acl": [])", R"(unknown field: "acl"; a policy may have groups hosts)"},
      {R"("acls": {})", "acls must be an array, not an object"},
      {R"("acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}])",
       R"(action="drop" is not supported)"},
      {R"("acls": [{"action": "accept", "src": ["tag:no"], "dst": ["*:*"]}])",
       R"(src=tag not found: "tag:no")"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["tag:no:22"]}])",
       R"(tag not found: "tag:no")"},
      {R"("acls": [{"action": "accept", "src": ["group:no"], "dst": ["*:*"]}])",
       R"(group not defined in policy: "group:no")"},
      {R"("acls": [{"action": "accept", "src": ["nohost"], "dst": ["*:*"]}])",
       R"("nohost": invalid address)"},
      {R"("acls": [{"action": "accept", "src": ["autogroup:bogus"], "dst": ["*:*"]}])",
       R"("autogroup:bogus": invalid autogroup)"},
      {R"("acls": [{"action": "accept", "src": ["autogroup:self"], "dst": ["*:*"]}])",
       R"("autogroup:self" not valid on the src side of a rule)"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["autogroup:danger-all:*"]}])",
       "cannot use autogroup:danger-all as a dst"},
      {R"("acls": [{"action": "accept", "src": ["tag:web"], "dst": ["autogroup:self:*"]}])",
       "autogroup:self can only be used with users, groups, or supported autogroups"},
      {R"("grants": [{"src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]}])",
       "autogroup:self can only be used with users, groups, or supported autogroups"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["tag:web"]}])",
       R"(dst="tag:web": port range "web": invalid first integer)"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["db"]}])", "ports must follow"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["db:0"]}])",
       "first port must be >0, or use '*' for wildcard"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["db:65536"]}])", "out of range"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["db:9-8"]}])", "greater than last"},
      {R"("acls": [{"action": "accept", "src": ["*"], "dst": ["[10.0.0.1]:22"]}])",
       "square brackets are only valid around IPv6 addresses"},
      {R"("acls": [{"action": "accept", "proto": "*", "src": ["*"], "dst": ["*:*"]}])",
       R"(proto name "*" not known)"},
      {R"("acls": [{"action": "accept", "proto": "06", "src": ["*"], "dst": ["*:*"]}])",
       "leading 0 not permitted"},
      {R"("acls": [{"action": "accept", "proto": "256", "src": ["*"], "dst": ["*:*"]}])",
       "out of range (0-255)"},
      {R"("acls": [{"action": "accept", "proto": "icmp", "src": ["*"], "dst": ["*:80"]}])",
       R"(protocol does not support specific ports: "icmp")"},
      {R"("acls": [{"action": "accept", "srcPosture": ["posture:no"], "src": ["*"], "dst": ["*:*"]}])",
       R"(posture not found: "posture:no")"},
      {R"("grants": [{"src": ["*"], "dst": ["*"]}])", "ip and app can not both be empty"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "ip": ["icmp"]}])",
       R"(port range "icmp": invalid first integer)"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "ip": ["a:b:c"]}])", "only one colon"},
      {R"("grants": [{"src": ["*"], "dst": ["0.0.0.0/0"], "ip": ["*"]}])",
       R"(dst "0.0.0.0/0": to allow all IP addresses, use "*" or "autogroup:internet")"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/x": [{}]}}])",
       "capability name must not be in the tailscale.com domain"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "app": {"https://a/b": [{}]}}])",
       "capability name must have the form {domain}/{path}"},
      {R"("grants": [{"src": ["*"], "dst": ["autogroup:internet"], "app": {"a.com/b": []}}])",
       "cannot use app grants with autogroup:internet"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["db"]}])",
       "via can only be a tag"},
      {R"("grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["tag:no"]}])",
       R"(tag "tag:no" not found)"},
      {R"("ssh": [{"src": ["*"], "dst": ["tag:web"], "users": ["root"]}])",
       "action must be specified"},
      {R"("ssh": [{"action": "accept", "src": ["tag:web"], "dst": ["tag:web"]}])",
       "users must be specified"},
      {R"("ssh": [{"action": "accept", "src": ["tag:web"], "dst": ["a@x"], "users": ["root"]}])",
       "tags in SSH source cannot access user-owned devices"},
      {R"("ssh": [{"action": "accept", "src": ["b@x"], "dst": ["a@x"], "users": ["root"]}])",
       "only that same user"},
      {R"("ssh": [{"action": "accept", "src": ["a@x"], "dst": ["db"], "users": ["root"]}])",
       R"(invalid dst "db")"},
      {R"("ssh": [{"action": "accept", "checkPeriod": "1h", "src": ["a@x"], "dst": ["tag:web"], "users": ["root"]}])",
       "checkPeriod is only valid with action \"check\""},
      {R"("ssh": [{"action": "check", "checkPeriod": "168h1s", "src": ["a@x"], "dst": ["tag:web"], "users": ["root"]}])",
       "checkPeriod 168h0m1s is above the max (168h)"},
      {R"("ssh": [{"action": "check", "checkPeriod": "soon", "src": ["a@x"], "dst": ["tag:web"], "users": ["root"]}])",
       "time: "},
      {R"("ssh": [{"action": "accept", "acceptEnv": [""], "src": ["a@x"], "dst": ["tag:web"], "users": ["root"]}])",
       "acceptEnv values cannot be empty"},
      {R"("nodeAttrs": [{"target": ["autogroup:self"], "attr": ["x"]}])",
       "nodeAttrs target does not support this autogroup"},
      {R"("nodeAttrs": [{"target": ["*"], "ipPool": ["10.0.0.0/8"]}])", "within 100.64.0.0/10"},
      {R"("nodeAttrs": [{"target": ["*"], "ipPool": ["100.100.0.0/16"]}])", "must not overlap"},
      {R"("autoApprovers": {"routes": {"10.0.0.0/x": ["tag:web"]}})", "invalid prefix"},
      {R"("autoApprovers": {"exitNode": ["db"]})", "invalid approver"},
      {R"("ipsets": {"ipset:a": ["ipset:b"], "ipset:b": ["ipset:a"]})", "in a circle"},
      {R"("ipsets": {"ipset:a": ["nope"]})", "invalid address"},
  };
  for (const auto& [section, expected] : cases) {
    INFO(section);
    CHECK_THAT(problems_of(with(section)), Catch::Contains(expected));
  }
}

TEST_CASE("names that are malformed are refused where they are defined") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"groups": {"dev": []}})", "group must start with 'group:'"},
      {R"({"groups": {"group:a": ["group:b"], "group:b": []}})",
       "group members cannot be recursive"},
      {R"({"groups": {"group:a": ["bob"]}})", "username must contain @"},
      {R"({"hosts": {"a:b": "10.0.0.1"}})", "invalid hostname"},
      {R"({"hosts": {"a": "10.0.0"}})", "invalid address"},
      {R"({"tagOwners": {"web": []}})", "tag must start with 'tag:'"},
      {R"({"tagOwners": {"tag:1": []}})", "tag names must start with a letter, after 'tag:'"},
      {R"({"tagOwners": {"tag:a": ["tag:b"]}})", "tag not found: \"tag:b\""},
      {R"({"postures": {"posture:a": ["os == 1"]}})", "expected an attribute"},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text);
    CHECK_THAT(problems_of(text), Catch::Contains(expected));
  }
}

TEST_CASE("every problem is reported, each at its place") {
  const std::string text = problems_of(
      "{\n  \"acls\": [\n    {\"action\": \"accept\", \"src\": [\"tag:a\"], \"dst\": [\"*:x\"]},\n"
      "    {\"action\": \"accept\", \"srx\": []},\n  ],\n  \"nope\": 1,\n}");
  CHECK_THAT(text, Catch::Contains("line 3, column 34: src=tag not found"));
  CHECK_THAT(text, Catch::Contains("line 3, column 52: dst=\"*:x\": port range \"x\""));
  CHECK_THAT(text, Catch::Contains("line 4, column 26: unknown field: \"srx\""));
  CHECK_THAT(text, Catch::Contains("line 6, column 3: unknown field: \"nope\""));
}

TEST_CASE("a policy of a million mistakes has a short answer") {
  std::string text = "{\"groups\": {";
  for (int i = 0; i < 20000; ++i) text += "\"g" + std::to_string(i) + "\": [],";
  const std::string answer = problems_of(text + "}}");
  CHECK(answer.size() < 100000);
  CHECK_THAT(answer, Catch::EndsWith("and 19800 more"));
}

TEST_CASE("limits on rules and on their expansion hold") {
  ReadOptions options;
  options.limits.max_rules = 10;
  options.limits.max_port_entries = 50;
  std::string acls;
  for (int i = 0; i < 11; ++i) acls += R"({"action": "accept", "src": ["*"], "dst": ["*:*"]},)";
  CHECK_THAT(problems_of("{\"acls\": [" + acls + "]}", options),
             Catch::Contains("more than 10 rules"));
  std::string ports = "1";
  for (int i = 2; i <= 51; ++i) ports += "," + std::to_string(i);
  CHECK_THAT(problems_of(R"({"grants": [{"src": ["*"], "dst": ["*"], "ip": [")" + ports + "\"]}]}",
                         options),
             Catch::Contains("more than 50 destinations with ports"));
}

TEST_CASE("what older policy files say is understood") {
  const char* now = R"({"tagOwners": {"tag:web": []}, "acls": [{"action": "accept",
    "src": ["a@x", "autogroup:shared"], "dst": ["tag:web:22"]}]})";
  const char* then = R"({"tagOwners": {"tag:web": []}, "disableIPv4": true, "acls": [
    {"action": "accept", "users": ["a@x", "autogroup:shared"], "ports": ["tag:web:22"]}]})";
  es::policy::Problems problems;
  const auto a = es::policy::read_policy(now, {}, problems);
  const auto b = es::policy::read_policy(then, {}, problems);
  INFO(problems.text());
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);
  REQUIRE(b->grants.size() == 1);
  CHECK(b->grants[0].sources->at(0).text == a->grants[0].sources->at(0).text);
  CHECK(b->grants[0].destinations.at(0).text == "tag:web");
  REQUIRE(b->node_attrs.size() == 1);
  CHECK(b->node_attrs[0].caps->at(0).name == "disable-ipv4");
  CHECK_THAT(problems_of(R"({"acls": [{"action": "accept", "src": ["*"], "users": ["*"],
                             "dst": ["*:*"]}]})"),
             Catch::Contains("either src or users"));
  CHECK_THAT(problems_of(R"({"acls": [{"action": "accept", "src": ["*"],
                             "dst": ["autogroup:shared:*"]}]})"),
             Catch::Contains("cannot use autogroup:shared as a dst"));
}

TEST_CASE("the largest documents of each shape are refused for what is too much, or read") {
  constexpr size_t kSize = (4 << 20) - 1000;
  const auto repeated = [](std::string text, const std::string& item, size_t times,
                           const std::string& end) {
    for (size_t i = 0; i < times; ++i) text += item;
    return text + end;
  };
  const auto filled = [&](const std::string& text, const std::string& item,
                          const std::string& end) {
    return repeated(text, item, (kSize - text.size() - end.size()) / item.size(), end);
  };
  const auto contains = [](const char* text) { return Catch::Contains(text); };
  CHECK_THAT(problems_of("{\"acls\": " + filled("", "[", "")), contains("nested deeper than 64"));
  CHECK_THAT(problems_of(repeated("", "{\"a\":", 100000, "")), contains("nested deeper than 64"));
  CHECK_THAT(problems_of(repeated(
                 "{\"acls\": [", R"({"action":"accept","src":["*"],"dst":["*:1"]},)", 20001, "]}")),
             contains("more than 20000 rules"));
  CHECK_THAT(problems_of(repeated("{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[",
                                  "\"10.0.0.1:22\",", 20001, "]}]}")),
             contains("more than 20000 rules"));
  CHECK_THAT(
      problems_of(repeated("{\"tests\": [", R"({"src":"*","accept":["*:22"]},)", 10001, "]}")),
      contains("more than 10000 tests"));
  CHECK_THAT(problems_of(repeated("{\"groups\": {\"group:a\": [", "1,", 1000001, "]}}")),
             contains("more than 1000000 values"));
  const std::string who = "\"" + std::string(100, 'a') + "@example.com\",";
  CHECK(problems_of(filled("{\"groups\": {\"group:a\": [", who, "]}}")).empty());
}

TEST_CASE("a policy of 10 MB is refused at once") {
  CHECK_THAT(problems_of("{\"groups\": {}" + std::string(10 << 20, ' ') + "}"),
             Catch::Contains("bytes; at most"));
}

TEST_CASE("lists that multiply are bounded") {
  std::string removes = "\"0.0.0.0/0\"";
  for (int i = 0; i < 6000; ++i) {
    removes +=
        ",\"remove 10." + std::to_string(i / 250 % 250) + "." + std::to_string(i % 250) + ".7\"";
  }
  CHECK_THAT(problems_of("{\"ipsets\": {\"ipset:a\": [" + removes + "]}}"),
             Catch::Contains("the ipsets are too large together"));
  std::string nested;
  for (int i = 0; i < 8; ++i) {
    nested += "\"ipset:" + std::to_string(i) + "\": [";
    for (int k = 0; k < 50; ++k) nested += "\"ipset:" + std::to_string(i + 1) + "\",";
    nested += "],";
  }
  CHECK_THAT(problems_of("{\"ipsets\": {" + nested + "\"ipset:8\": [\"1.2.3.4\"]}}"),
             Catch::Contains("the ipsets are too large together"));
}

TEST_CASE("names match without regard to case, and notes are skipped") {
  CHECK(problems_of(R"({"ACLs": [{"#ha-meta": {"x": 1}, "Action": "accept", "SRC": ["*"],
                        "dst": [" *:* "]}]})")
            .empty());
}

TEST_CASE("a domain that is not the tailnet's is refused") {
  ReadOptions options;
  options.tailnet_domain = "example.com";
  const char* text =
      R"({"tagOwners": {"tag:a": []}, "ssh": [{"action": "accept", "src": ["user:*@example.org"],
          "dst": ["tag:a"], "users": ["localpart:*@example.org", "localpart:*@Example.com"]}]})";
  CHECK_THAT(problems_of(text, options),
             Catch::Contains("[ssh] example.org is not associated with this Tailnet"));
  CHECK(problems_of(text).empty());
}

TEST_CASE("durations read and print as Go's do") {
  using es::policy::duration_text;
  using es::policy::parse_duration;
  const std::pair<const char*, const char*> cases[] = {
      {"1h", "1h0m0s"}, {"90m", "1h30m0s"},   {"1.5h", "1h30m0s"}, {"-45s", "-45s"},
      {"0", "0s"},      {"1h2m3s", "1h2m3s"}, {"1500ms", "1.5s"}};
  for (const auto& [text, expected] : cases) {
    INFO(text);
    const auto parsed = parse_duration(text);
    REQUIRE(std::holds_alternative<std::chrono::nanoseconds>(parsed));
    CHECK(duration_text(std::get<std::chrono::nanoseconds>(parsed)) == expected);
  }
  const std::pair<const char*, const char*> wrong[] = {
      {"", "time: invalid duration \"\""},
      {"h", "time: invalid duration \"h\""},
      {"1", "time: missing unit in duration \"1\""},
      {"1d", "time: unknown unit \"d\" in duration \"1d\""},
      {"1h1", "time: missing unit in duration \"1h1\""},
      {"9999999999h", "time: invalid duration \"9999999999h\""},
      {"..s", "time: invalid duration \"..s\""},
      {"-", "time: invalid duration \"-\""}};
  for (const auto& [text, why] : wrong) {
    INFO(text);
    const auto parsed = parse_duration(text);
    REQUIRE(std::holds_alternative<es::policy::Reason>(parsed));
    CHECK(std::get<es::policy::Reason>(parsed).text == why);
  }
}

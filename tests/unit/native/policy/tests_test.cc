#include "tests/unit/native/policy/tailnet_fixture.h"

using namespace es::policy;
using namespace es::policy::test;

namespace {

std::string outcome(const std::string& test, const char* section = "tests") {
  const std::string text = R"({"groups": {"group:dev": ["alice@example.com", "bob@example.com"]},
    "hosts": {"net": "10.0.0.0/16", "db": "10.0.0.5"}, "tagOwners": {"tag:web": [], "tag:none": []},
    "acls": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:web:80", "db:5432"]},
             {"action": "accept", "proto": "udp", "src": ["*"], "dst": ["tag:web:53"]},
             {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}],
    "ssh": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:web"],
             "users": ["autogroup:nonroot"]},
            {"action": "check", "src": ["bob@example.com"], "dst": ["tag:web"], "users": ["root"]}],
    ")" + std::string(section) +
                           "\": [" + test + "]}";
  Problems problems;
  const auto index = load_policy(text, {}, users(), nodes(), problems);
  CHECK((index == nullptr) == !problems.empty());
  return problems.text();
}

}  // namespace

TEST_CASE("tests that hold let the policy in") {
  for (
      const char* test : {
          R"({"src": "group:dev", "accept": ["tag:web:80", "100.64.0.4:80", "db:5432"]})",
          R"({"src": "alice@example.com", "deny": ["tag:web:22", "10.0.0.6:5432"]})",
          R"({"src": "tag:web", "proto": "udp", "accept": ["tag:web:53"], "deny": ["tag:web:80"]})",
          R"({"src": "alice@example.com", "accept": ["alice@example.com:9"], "deny": ["bob@example.com:9"]})",
          R"({"src": "fd7a:115c:a1e0::3", "accept": ["[fd7a:115c:a1e0::4]:80"]})",
          R"({"src": "8.8.8.8", "deny": ["tag:web:80"]})",
      }) {
    INFO(test);
    CHECK(outcome(test).empty());
  }
}

TEST_CASE("a policy that fails its own tests is refused with every failure") {
  const std::string text = outcome(
      R"({"src": "group:dev", "accept": ["tag:web:22"], "deny": ["tag:web:80"]},
         {"src": "autogroup:member", "accept": ["tag:web:81"]})");
  CHECK_THAT(text,
             Catch::Contains("tests[0]: group:dev -> tag:web:22: expected ALLOWED, got DENIED"));
  CHECK_THAT(text,
             Catch::Contains("tests[0]: group:dev -> tag:web:80: expected DENIED, got ALLOWED"));
  CHECK_THAT(text, Catch::Contains("tests[1]: autogroup:member -> tag:web:81"));
}

TEST_CASE("a test that asks for no single connection fails") {
  for (const char* test : {
           R"({"src": "group:dev"})",
           R"({"accept": ["tag:web:80"]})",
           R"({"src": "tag:none", "accept": ["tag:web:80"]})",
           R"({"src": "tag:no", "accept": ["tag:web:80"]})",
           R"({"src": "ghost@x", "accept": ["tag:web:80"]})",
           R"({"src": "group:dev", "accept": ["tag:web:80,81"]})",
           R"({"src": "group:dev", "accept": ["tag:web:*"]})",
           R"({"src": "group:dev", "accept": ["tag:web"]})",
           R"({"src": "group:dev", "accept": ["net:80"]})",
           R"({"src": "group:dev", "accept": ["100.64.0.4/32:80"]})",
           R"({"src": "group:dev", "accept": ["autogroup:internet:80"]})",
           R"({"src": "group:dev", "proto": "icmp", "accept": ["tag:web:80"]})",
       }) {
    INFO(test);
    CHECK_THAT(outcome(test), Catch::Contains("test(s) failed"));
  }
}

TEST_CASE("SSH tests assert logins") {
  for (
      const char* test : {
          R"({"src": "alice@example.com", "dst": ["tag:web"], "accept": ["me"], "deny": ["root"]})",
          R"({"src": "bob@example.com", "dst": ["100.64.0.4"], "accept": ["root"], "check": ["root"]})",
          R"({"src": "tag:exit", "dst": ["tag:web"], "deny": ["me"]})",
      }) {
    INFO(test);
    const bool known = std::string_view(test).find("tag:exit") == std::string_view::npos;
    CHECK(outcome(test, "sshTests").empty() == known);
  }
  for (const char* test : {
           R"({"src": "alice@example.com", "dst": ["tag:web"], "accept": ["root"]})",
           R"({"src": "alice@example.com", "dst": ["tag:web"], "check": ["me"]})",
           R"({"src": "alice@example.com", "dst": ["tag:web"]})",
           R"({"src": "alice@example.com", "dst": [], "accept": ["me"]})",
           R"({"dst": ["tag:web"], "accept": ["me"]})",
           R"({"src": "alice@example.com", "dst": ["fd7a:115c:a1e0::4"], "accept": ["me"]})",
       }) {
    INFO(test);
    CHECK_THAT(outcome(test, "sshTests"), Catch::Contains("test(s) failed"));
  }
  CHECK_THAT(outcome(R"({"src": "bob@example.com", "dst": ["net"], "accept": ["me"]})", "sshTests"),
             Catch::Contains("SSH tests dst contains disallowed element \"net\""));
}

#include "tests/unit/native/policy/tailnet_fixture.h"

using namespace es::policy;
using namespace es::policy::test;

namespace {

std::string rules_text(const PolicyIndex& index, NodeId id) {
  std::string out;
  es::tailcfg::append_json(out, index.ssh_rules_for(id));
  return out;
}

constexpr const char* kAccept =
    R"({"accept":true,"allowAgentForwarding":true,"allowLocalPortForwarding":true,)"
    R"("allowRemotePortForwarding":true})";

}  // namespace

TEST_CASE("an SSH rule names its sources, the login names and what may be sent") {
  const auto index = index_of(
      R"("ssh": [{"action": "accept", "src": ["bob@example.com"], "dst": ["tag:web"],
                  "users": ["autogroup:nonroot", "ubuntu"], "acceptEnv": ["LC_*"]}])");
  CHECK(rules_text(*index, kWeb) ==
        std::string(R"([{"principals":[{"nodeIP":"100.64.0.3"},{"nodeIP":"fd7a:115c:a1e0::3"}],)") +
            R"("sshUsers":{"*":"=","root":"","ubuntu":"ubuntu"},"action":)" + kAccept +
            R"(,"acceptEnv":["LC_*"]}])");
  CHECK(index->ssh_rules_for(kAlice).empty());
}

TEST_CASE("check rules come first and carry a period") {
  const auto index = index_of(
      R"("ssh": [{"action": "accept", "src": ["bob@example.com"], "dst": ["tag:web"], "users": ["root"]},
                 {"action": "check", "checkPeriod": "2h", "src": ["group:dev"], "dst": ["tag:web"],
                  "users": ["root"]},
                 {"action": "check", "checkPeriod": "always", "src": ["autogroup:member"],
                  "dst": ["autogroup:self"], "users": ["autogroup:nonroot"]}])");
  const auto rules = index->ssh_rules_for(kWeb);
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].action.hold_and_delegate ==
        "https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER");
  CHECK(rules[1].action.accept);
  CHECK(index->ssh_check_period(kBob, kWeb, "root") == std::chrono::hours(2));
  CHECK_FALSE(index->ssh_check_period(kBob, kWeb, "ubuntu"));
  CHECK(index->ssh_check_period(kAlice, kAlice2, "me") == std::chrono::seconds(0));
  CHECK_FALSE(index->ssh_check_period(kAlice, kAlice2, "root"));
  CHECK_FALSE(index->ssh_check_period(kAlice, kBob, "me"));
}

TEST_CASE("a login name from the mail address is the user's own") {
  const auto index = index_of(
      R"("ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"],
                  "users": ["localpart:*@example.com"]}])");
  const auto rules = index->ssh_rules_for(kWeb);
  REQUIRE(rules.size() == 4);
  CHECK(rules[1].ssh_users == std::vector<std::pair<std::string, std::string>>{{"alice", "alice"}});
  CHECK(rules[1].principals->size() == 4);
  CHECK(rules[3].ssh_users == std::vector<std::pair<std::string, std::string>>{{"bob", "bob"}});
}

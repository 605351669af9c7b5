#include "native/tailcfg/packet_filter.h"
#include "native/tailcfg/ssh_policy.h"

#include <catch2/catch.hpp>

using namespace es::tailcfg;

namespace {

template <class T>
std::string json(const T& value) {
  std::string out;
  append_json(out, value);
  return out;
}

}  // namespace

TEST_CASE("a filter rule has the names and the omissions that clients expect") {
  CHECK(json(FilterRule{}) == R"({"SrcIPs":[]})");
  FilterRule rule;
  rule.src_ips =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"*", "100.64.0.1"});
  rule.dst_ports = {{"10.0.0.0/8", {22, 23}}};
  rule.ip_proto = {6, 17};
  CHECK(json(rule) == R"({"SrcIPs":["*","100.64.0.1"],"DstPorts":[{"IP":"10.0.0.0/8",)"
                      R"("Ports":{"First":22,"Last":23}}],"IPProto":[6,17]})");
  FilterRule grant;
  const auto caps =
      std::make_shared<const CapMap>(CapMap{{"a.com/b", {R"({"x":1})", "2"}}, {"a.com/c", {}}});
  grant.cap_grant = {{{"100.64.0.1/32"}, caps}};
  CHECK(json(std::vector{grant}) == R"([{"SrcIPs":[],"CapGrant":[{"Dsts":["100.64.0.1/32"],)"
                                    R"("CapMap":{"a.com/b":[{"x":1},2],"a.com/c":null}}]}])");
}

TEST_CASE("an SSH rule has the names and the omissions that clients expect") {
  CHECK(json(SshRule{}) == R"({"principals":[],"sshUsers":{},"action":{}})");
  SshRule rule;
  rule.principals =
      std::make_shared<const std::vector<SshPrincipal>>(std::vector<SshPrincipal>{{"100.64.0.1"}});
  rule.ssh_users = {{"*", "="}, {"root", ""}};
  rule.action.hold_and_delegate = "https://x/$SRC_NODE_ID";
  rule.accept_env = {"LC_*"};
  CHECK(json(rule) ==
        R"({"principals":[{"nodeIP":"100.64.0.1"}],"sshUsers":{"*":"=","root":""},)"
        R"("action":{"holdAndDelegate":"https://x/$SRC_NODE_ID"},"acceptEnv":["LC_*"]})");
}

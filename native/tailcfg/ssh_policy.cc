#include "native/tailcfg/ssh_policy.h"

#include "common/base/json_text.h"

#include <string_view>

namespace es::tailcfg {
namespace {

void append_flag(std::string& out, std::string_view key, bool value) {
  if (!value) return;
  if (out.back() != '{') out += ',';
  append_json_string(out, key);
  out += ":true";
}

void append_text(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (out.back() != '{') out += ',';
  append_json_string(out, key);
  out += ':';
  append_json_string(out, value);
}

}  // namespace

void append_json(std::string& out, const SshAction& action) {
  out += '{';
  append_text(out, "message", action.message);
  append_flag(out, "reject", action.reject);
  append_flag(out, "accept", action.accept);
  append_flag(out, "allowAgentForwarding", action.allow_agent_forwarding);
  append_flag(out, "allowLocalPortForwarding", action.allow_local_port_forwarding);
  append_flag(out, "allowRemotePortForwarding", action.allow_remote_port_forwarding);
  append_text(out, "holdAndDelegate", action.hold_and_delegate);
  out += '}';
}

void append_json(std::string& out, const SshRule& rule) {
  static const std::vector<SshPrincipal> kNobody;
  out += "{\"principals\":";
  append_json_array(out, rule.principals == nullptr ? kNobody : *rule.principals,
                    [&](const SshPrincipal& principal) {
                      out += "{\"nodeIP\":";
                      append_json_string(out, principal.node_ip);
                      out += '}';
                    });
  out += ",\"sshUsers\":{";
  for (size_t i = 0; i < rule.ssh_users.size(); ++i) {
    if (i != 0) out += ',';
    append_json_string(out, rule.ssh_users[i].first);
    out += ':';
    append_json_string(out, rule.ssh_users[i].second);
  }
  out += "},\"action\":";
  append_json(out, rule.action);
  if (!rule.accept_env.empty()) {
    out += ",\"acceptEnv\":";
    append_json_strings(out, rule.accept_env);
  }
  out += '}';
}

void append_json(std::string& out, const std::vector<SshRule>& rules) {
  append_json_array(out, rules, [&](const SshRule& rule) { append_json(out, rule); });
}

}  // namespace es::tailcfg

// The SSH policy of one node as it receives it: SSHRule, SSHPrincipal, SSHAction; and the SSHAction
// that answers a check.
//
// Source: tailcfg.SSHPolicy, clients 1.80 and later. The first rule that matches wins; none
// matching is a refusal. Only the fields that a compiled policy or an answer sets are here.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace es::tailcfg {

struct SshPrincipal {
  std::string node_ip;  // the source's address

  friend bool operator==(const SshPrincipal&, const SshPrincipal&) = default;
};

// Accept at once, refuse, or hold the session and ask the server at `hold_and_delegate` (a check).
struct SshAction {
  bool accept = false;
  bool reject = false;
  std::string message;  // shown to the person who connects; lines end with CR LF
  bool allow_agent_forwarding = false;
  bool allow_local_port_forwarding = false;
  bool allow_remote_port_forwarding = false;
  std::string hold_and_delegate;

  friend bool operator==(const SshAction&, const SshAction&) = default;
};

struct SshRule {
  std::shared_ptr<const std::vector<SshPrincipal>> principals;
  // Requested user to local user, sorted by the first. "*" to "=" is every user but root under its
  // own name; an empty second refuses that user.
  std::vector<std::pair<std::string, std::string>> ssh_users;
  SshAction action;
  std::vector<std::string> accept_env;
};

// Append the value's JSON to `out`.
void append_json(std::string& out, const SshAction& action);
void append_json(std::string& out, const SshRule& rule);
void append_json(std::string& out, const std::vector<SshRule>& rules);

}  // namespace es::tailcfg

// A policy that has been read and checked: the input of the compiler.
//
// Every name in it is defined, every range is valid. Rules of "acls" and "grants" are both Grants:
// an ACL is one Grant for each of its destinations, since each has ports of its own.
#pragma once

#include "native/policy/alias.h"
#include "native/policy/posture.h"
#include "native/policy/value.h"
#include "native/tailcfg/packet_filter.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::policy {

struct ProtocolPorts {
  std::vector<int> protocols;  // empty: the default set
  std::vector<tailcfg::PortRange> ports;
};

struct Grant {
  Position at;
  bool from_acl = false;
  // ACLs of one rule share their sources: the same list, decoded once.
  std::shared_ptr<const std::vector<Alias>> sources;
  std::vector<std::string> postures;  // one of them must hold for a source; none: no condition
  std::vector<Alias> destinations;
  std::vector<ProtocolPorts> ip;
  std::shared_ptr<const tailcfg::CapMap> app;  // null if the grant has no app
  std::vector<std::string> via;                // tags, with their prefix
};

struct SshPolicyRule {
  Position at;
  bool check = false;                            // ask the user to log in again
  std::chrono::seconds check_period{12 * 3600};  // zero: every time
  std::vector<Alias> sources;
  std::vector<Alias> destinations;
  std::vector<std::string> users;  // login names, autogroup:nonroot, localpart:*@domain
  std::vector<std::string> accept_env;
};

struct NodeAttr {
  Position at;
  std::vector<Alias> targets;
  std::shared_ptr<const tailcfg::CapMap> caps;  // attributes (without values) and app settings
  std::vector<Prefix> ip_pool;
};

// One entry of "tests": from src, each of accept must be reachable and none of deny.
struct Test {
  Position at;
  std::string src;
  std::string proto;
  std::vector<std::string> accept;
  std::vector<std::string> deny;
  Attributes attributes;  // "srcPostureAttrs": what the source is taken to report
};

struct SshTest {
  Position at;
  std::string src;
  std::vector<std::string> dst;
  std::vector<std::string> accept;  // login names
  std::vector<std::string> deny;
  std::vector<std::string> check;
};

struct Policy {
  std::map<std::string, std::vector<std::string>, std::less<>> groups;  // names have no prefix
  std::map<std::string, Range, std::less<>> hosts;
  std::map<std::string, AddressSet, std::less<>> ipsets;
  std::map<std::string, std::vector<Alias>, std::less<>> tag_owners;  // with the prefix tag:
  std::map<std::string, Posture, std::less<>> postures;               // with the prefix posture:
  bool has_rules = false;  // neither "acls" nor "grants" is there: everything is allowed
  std::vector<Grant> grants;
  std::vector<std::pair<Prefix, std::vector<Alias>>> route_approvers;
  std::vector<Alias> exit_node_approvers;
  std::vector<SshPolicyRule> ssh;
  std::vector<NodeAttr> node_attrs;
  std::vector<Test> tests;
  std::vector<SshTest> ssh_tests;
  bool randomize_client_port = false;
};

struct Limits {
  ParseLimits document;
  size_t max_rules = 20000;          // acls, grants, ssh and nodeAttrs together, after expansion
  size_t max_port_entries = 500000;  // destinations times port ranges, over the whole policy
  size_t max_tests = 10000;
};

enum class Format : uint8_t {
  kAuto,  // HuJSON if the first character outside comments is {, else YAML
  kHuJson,
  kYaml
};

// `tailnet_domain` is the mail domain that `user:*@` and `localpart:*@` may name; empty: any.
struct ReadOptions {
  Format format = Format::kAuto;
  std::string tailnet_domain;
  Limits limits;
};

// Reads and checks a whole policy; null if there is any problem, and then `problems` says all of
// them. An empty document is a policy without sections. "tests" are read, not run (see tests.h).
std::shared_ptr<const Policy> read_policy(std::string_view text, const ReadOptions& options,
                                          Problems& problems);

}  // namespace es::policy

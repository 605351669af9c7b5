// How a policy names things: users, groups, tags, hosts, address sets, autogroups; and ports and
// protocols.
//
// Source: the policy file syntax of hosted Tailscale and of Headscale 0.29 (policy/v2).
#pragma once

#include "native/policy/address.h"
#include "native/policy/problem.h"
#include "native/tailcfg/packet_filter.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace es::policy {

// What a user may be in the tailnet; each has an autogroup (`autogroup:admin`, ...). The owner is
// an admin too; everybody is a member.
enum class Role : uint8_t {
  kMember,
  kAuditor,
  kBillingAdmin,
  kItAdmin,
  kNetworkAdmin,
  kAdmin,
  kOwner
};

std::optional<Role> parse_role(std::string_view name);  // "it-admin"

struct Alias {
  enum class Kind : uint8_t {
    kAny,         // *
    kUser,        // someone@example.com, or a Headscale name with @ at its end
    kUserDomain,  // user:*@example.com
    kGroup,       // group:dev
    kTag,         // tag:server
    kHost,        // a name of "hosts"
    kIpSet,       // ipset:prod
    kRange,       // an address, a prefix or first-last
    kMember,      // autogroup:member: devices of users, not tagged
    kTagged,      // autogroup:tagged
    kRole,        // autogroup:admin and the like: untagged devices of users with that role
    kSelf,        // autogroup:self: the source's own user's untagged devices
    kInternet,    // autogroup:internet
    kDangerAll,   // autogroup:danger-all: every address there is
    kShared,      // autogroup:shared: people of other tailnets; nobody, as nodes are not shared
  };

  Kind kind = Kind::kAny;
  std::string text;  // as written, without white space around it
  std::string name;  // user, domain or name without its prefix where it has one of its own
  Range range;       // kRange only
  Role role = Role::kMember;
  Position at;

  bool is(Kind k) const { return kind == k; }
};

// Why there is no value; the text completes `"x": `.
struct Reason {
  std::string text;
};
template <class T>
using Parsed = std::variant<T, Reason>;

// Any text but an autogroup that does not exist or a malformed prefix gives an alias; whether a
// name is defined is for the caller. White space around it is cut off.
Parsed<Alias> parse_alias(std::string_view text, Position at);

// "22", "80,443", "8000-8100", "*".
Parsed<std::vector<tailcfg::PortRange>> parse_ports(std::string_view text);

// A destination with ports: "tag:web:80,443", "10.0.0.0/8:*", "[fd7a::1]:22", "fd7a::/48:22".
struct HostAndPorts {
  std::string host;
  std::string ports;
};
Parsed<HostAndPorts> split_host_ports(std::string_view text);

// Protocol numbers that a name or a number stands for; "" is the default set, which is empty here.
Parsed<std::vector<int>> parse_protocol(std::string_view text);

// TCP, UDP and SCTP have ports; so has the default set.
bool has_ports(const std::vector<int>& protocols);

std::string_view trim(std::string_view text);

}  // namespace es::policy

#include "native/policy/alias.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace es::policy {
namespace {

using Kind = Alias::Kind;

constexpr int kTcp = 6;
constexpr int kUdp = 17;
constexpr int kSctp = 132;

// IANA's numbers of the names that a policy may use.
constexpr std::array<std::pair<std::string_view, int>, 14> kProtocols = {{{"icmp", 1},
                                                                          {"igmp", 2},
                                                                          {"ipv4", 4},
                                                                          {"ip-in-ip", 4},
                                                                          {"tcp", kTcp},
                                                                          {"egp", 8},
                                                                          {"igp", 9},
                                                                          {"udp", kUdp},
                                                                          {"gre", 47},
                                                                          {"esp", 50},
                                                                          {"ah", 51},
                                                                          {"ipv6-icmp", 58},
                                                                          {"sctp", kSctp},
                                                                          {"fc", 133}}};

constexpr std::array<std::pair<std::string_view, Role>, 6> kRoles = {
    {{"owner", Role::kOwner},
     {"admin", Role::kAdmin},
     {"it-admin", Role::kItAdmin},
     {"network-admin", Role::kNetworkAdmin},
     {"billing-admin", Role::kBillingAdmin},
     {"auditor", Role::kAuditor}}};

std::optional<long> parse_int(std::string_view text) {
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Parsed<Alias> parse_autogroup(Alias alias) {
  const std::string_view name = alias.name;
  if (name == "member" || name == "members") {
    alias.kind = Kind::kMember;
  } else if (name == "tagged") {
    alias.kind = Kind::kTagged;
  } else if (name == "self") {
    alias.kind = Kind::kSelf;
  } else if (name == "internet") {
    alias.kind = Kind::kInternet;
  } else if (name == "danger-all") {
    alias.kind = Kind::kDangerAll;
  } else if (name == "shared") {
    alias.kind = Kind::kShared;
  } else if (const auto role = parse_role(name); role && *role != Role::kMember) {
    alias.kind = Kind::kRole;
    alias.role = *role;
  } else {
    return Reason{
        "invalid autogroup; there are autogroup:member, tagged, self, internet, danger-all, "
        "shared, "
        "owner, admin, it-admin, network-admin, billing-admin and auditor"};
  }
  return alias;
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::optional<Role> parse_role(std::string_view name) {
  if (name == "member") return Role::kMember;
  for (const auto& [text, role] : kRoles) {
    if (text == name) return role;
  }
  return std::nullopt;
}

Parsed<Alias> parse_alias(std::string_view raw, Position at) {
  Alias alias;
  alias.text = std::string(trim(raw));
  alias.at = at;
  const std::string_view text = alias.text;
  const auto starts = [&](std::string_view prefix) {
    if (text.substr(0, prefix.size()) != prefix) return false;
    alias.name = std::string(text.substr(prefix.size()));
    return true;
  };
  alias.name = alias.text;
  if (text == "*") return alias;
  if (const auto range = parse_range(text)) {
    alias.kind = Kind::kRange;
    alias.range = *range;
    return alias;
  }
  if (starts("user:*@")) {
    alias.kind = Kind::kUserDomain;
    return alias;
  }
  if (starts("autogroup:")) return parse_autogroup(std::move(alias));
  if (starts("group:")) {
    alias.kind = Kind::kGroup;
    return alias;
  }
  if (starts("tag:")) {
    alias.kind = Kind::kTag;
    return alias;
  }
  if (starts("ipset:")) {
    alias.kind = Kind::kIpSet;
    return alias;
  }
  starts("host:");  // the long form of a host's name, as ipsets write it
  if (text.find('@') != std::string_view::npos) {
    alias.kind = Kind::kUser;
    return alias;
  }
  if (text.empty() || text.find('/') != std::string_view::npos) return Reason{"invalid address"};
  if (alias.name.find(':') != std::string::npos) return Reason{"invalid address"};
  alias.kind = Kind::kHost;
  return alias;
}

Parsed<std::vector<tailcfg::PortRange>> parse_ports(std::string_view text) {
  constexpr size_t kMaxRanges = 1024;
  std::vector<tailcfg::PortRange> out;
  if (text == "*") return std::vector{tailcfg::PortRange{}};
  const auto port = [](std::string_view part, uint16_t& value) -> const char* {
    const auto number = parse_int(part);
    if (!number) return "invalid first integer";
    if (*number < 0 || *number > 65535) return "port number out of range";
    value = static_cast<uint16_t>(*number);
    return nullptr;
  };
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view part = trim(text.substr(0, comma));
    tailcfg::PortRange range;
    const size_t dash = part.find('-');
    if (const char* why = port(trim(part.substr(0, dash)), range.first)) return Reason{why};
    range.last = range.first;
    if (dash != std::string_view::npos) {
      if (const char* why = port(trim(part.substr(dash + 1)), range.last)) return Reason{why};
      if (range.first > range.last) {
        return Reason{"invalid port range: first port is greater than last port"};
      }
    } else if (range.first == 0) {
      return Reason{"first port must be >0, or use '*' for wildcard"};
    }
    out.push_back(range);
    if (out.size() > kMaxRanges) return Reason{"more than 1024 ranges"};
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

Parsed<HostAndPorts> split_host_ports(std::string_view text) {
  std::string joined(text);
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    const auto address =
        close == std::string_view::npos ? std::nullopt : Address::parse(text.substr(1, close - 1));
    if (!address || !address->v6) {
      return Reason{"square brackets are only valid around IPv6 addresses"};
    }
    joined = std::string(text.substr(1, close - 1)) + std::string(text.substr(close + 1));
    if (close + 1 >= text.size() || (text[close + 1] != ':' && text[close + 1] != '/')) {
      return Reason{"a port must follow the brackets, as in [fd7a::1]:22"};
    }
  }
  const size_t colon = joined.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == joined.size()) {
    return Reason{"ports must follow after a colon, as in tag:server:22 or 10.0.0.0/8:*"};
  }
  return HostAndPorts{joined.substr(0, colon), joined.substr(colon + 1)};
}

Parsed<std::vector<int>> parse_protocol(std::string_view raw) {
  std::string text(trim(raw));
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (text.empty()) return std::vector<int>{};
  for (const auto& [name, number] : kProtocols) {
    if (name == text) return std::vector{number};
  }
  const bool digits =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) {
    return Reason{"proto name " + quoted(raw) +
                  " not known; use protocol number 0-255 or protocol name (icmp, tcp, udp, etc.)"};
  }
  if (text[0] == '0') return Reason{"leading 0 not permitted in protocol number: " + quoted(raw)};
  const auto number = parse_int(text);
  if (!number || *number > 255) return Reason{"protocol number out of range (0-255): " + text};
  return std::vector{static_cast<int>(*number)};
}

bool has_ports(const std::vector<int>& protocols) {
  return std::all_of(protocols.begin(), protocols.end(),
                     [](int p) { return p == kTcp || p == kUdp || p == kSctp; });
}

}  // namespace es::policy

// The sections "acls" and "grants".
#include "native/policy/reader.h"

#include <algorithm>
#include <array>

namespace es::policy {
namespace {

// Capabilities of Tailscale's own domain that a policy may grant; others are given by the server.
constexpr std::array<std::string_view, 6> kOwnCapabilities = {
    "tailscale.com/cap/drive",      "tailscale.com/cap/relay", "tailscale.com/cap/webui",
    "tailscale.com/cap/kubernetes", "tailscale.com/cap/tsidp", "tailscale.com/cap/secrets"};

// Empty if a policy may grant it.
std::string capability_problem(std::string_view name) {
  const size_t slash = name.find('/');
  if (name.find("://") != std::string_view::npos || slash == std::string_view::npos || slash == 0 ||
      slash + 1 == name.size()) {
    return "capability name must have the form {domain}/{path}";
  }
  if (name.substr(0, slash) == "tailscale.com" &&
      std::find(kOwnCapabilities.begin(), kOwnCapabilities.end(), name) == kOwnCapabilities.end()) {
    return "capability name must not be in the tailscale.com domain";
  }
  return {};
}

std::string ports_problem(const ProtocolPorts& ip, std::string_view protocol) {
  if (has_ports(ip.protocols)) return {};
  for (const tailcfg::PortRange& range : ip.ports) {
    if (range != tailcfg::PortRange{}) {
      return "protocol does not support specific ports: " + quoted(protocol) +
             ", only \"*\" is allowed";
    }
  }
  return {};
}

}  // namespace

void Reader::count_rule(Position at) {
  if (++rules_ == options_.limits.max_rules + 1) {
    problem(at, "more than " + std::to_string(options_.limits.max_rules) + " rules");
  }
}

void Reader::add_grant(Grant grant) {
  count_rule(grant.at);
  size_t ports = 0;
  for (const ProtocolPorts& ip : grant.ip) ports += ip.ports.size();
  const size_t before = port_entries_;
  port_entries_ += ports * grant.destinations.size();
  const size_t most = options_.limits.max_port_entries;
  if (before <= most && port_entries_ > most) {
    problem(grant.at, "more than " + std::to_string(most) + " destinations with ports");
  }
  if (rules_ <= options_.limits.max_rules) policy_.grants.push_back(std::move(grant));
}

std::vector<std::string> Reader::src_postures(const Value* value) {
  if (value == nullptr) return default_posture_;
  std::vector<std::string> out;
  for (const Text& text : strings(value, "srcPosture")) {
    if (posture_exists(text)) out.push_back(text.text);
  }
  return out;
}

// Tags cannot be "self", so a source that may be a tagged node is refused. An ACL may say * all the
// same: it is narrowed to the user's own devices anyway. A grant may not.
void Reader::check_self(const std::vector<Alias>& sources, const Alias& destination,
                        bool from_acl) {
  using Kind = Alias::Kind;
  if (!destination.is(Kind::kSelf)) return;
  for (const Alias& source : sources) {
    const Kind k = source.kind;
    if (k == Kind::kUser || k == Kind::kUserDomain || k == Kind::kGroup || k == Kind::kMember ||
        k == Kind::kRole || (from_acl && k == Kind::kAny)) {
      continue;
    }
    problem(
        source.at,
        "autogroup:self can only be used with users, groups, or supported autogroups, not with " +
            quoted(source.text));
  }
}

void Reader::acls(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "acls")) return;
  policy_.has_rules = true;
  for (const Value& item : value.items) {
    if (rules_ > options_.limits.max_rules) return;
    acl(item);
  }
}

void Reader::acl(const Value& value) {
  auto f =
      fields(value, "an acl", {"action", "proto", "src", "dst", "srcPosture", "users", "ports"});
  if (!value.is(Value::Kind::kObject)) return;
  // "users" and "ports" are what src and dst were called at first.
  for (const auto& [now, then] : {std::pair<size_t, size_t>{2, 5}, {3, 6}}) {
    if (f[then] == nullptr) continue;
    if (f[now] != nullptr) problem(f[then]->at, "an acl has either src or users, dst or ports");
    f[now] = f[then];
  }
  if (const std::string action = string(f[0], "action"); action != "accept") {
    problem(f[0] == nullptr ? value.at : f[0]->at,
            "action=" + quoted(action) + " is not supported; the only action is \"accept\"");
  }
  const std::string protocol = string(f[1], "proto");
  auto protocols = parse_protocol(protocol);
  if (const Reason* why = std::get_if<Reason>(&protocols)) {
    problem(f[1]->at, why->text);
    protocols = std::vector<int>{};
  }
  const auto sources =
      std::make_shared<const std::vector<Alias>>(aliases(f[2], Side::kSource, "src"));
  const auto postures = src_postures(f[4]);
  bool self_checked = false;  // the sources are the same for every destination
  for (const Text& text : strings(f[3], "dst")) {
    if (rules_ > options_.limits.max_rules) return;
    const std::string lead = "dst=" + quoted(text.text) + ": ";
    const auto split = split_host_ports(trim(text.text));
    if (const Reason* why = std::get_if<Reason>(&split)) {
      problem(text.at, lead + why->text);
      continue;
    }
    const auto& [host, port_text] = std::get<HostAndPorts>(split);
    auto ports = parse_ports(port_text);
    if (const Reason* why = std::get_if<Reason>(&ports)) {
      problem(text.at, lead + "port range " + quoted(port_text) + ": " + why->text);
    }
    auto destination = alias({host, text.at}, Side::kDestination);
    if (!destination || std::holds_alternative<Reason>(ports)) continue;
    if (!self_checked) check_self(*sources, *destination, true);
    self_checked |= destination->is(Alias::Kind::kSelf);
    Grant grant;
    grant.at = text.at;
    grant.from_acl = true;
    grant.sources = sources;
    grant.postures = postures;
    grant.destinations.push_back(std::move(*destination));
    grant.ip.push_back({std::get<std::vector<int>>(protocols),
                        std::move(std::get<std::vector<tailcfg::PortRange>>(ports))});
    if (std::string why = ports_problem(grant.ip[0], protocol); !why.empty()) {
      problem(text.at, std::move(why));
    }
    add_grant(std::move(grant));
  }
}

void Reader::grants(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "grants")) return;
  policy_.has_rules = true;
  for (const Value& item : value.items) {
    if (rules_ > options_.limits.max_rules) return;
    grant(item);
  }
}

void Reader::grant_ip(const Value* value, Grant& grant) {
  for (const Text& text : strings(value, "ip")) {
    const std::string_view whole = trim(text.text);
    const size_t colon = whole.find(':');
    if (colon != std::string_view::npos && whole.find(':', colon + 1) != std::string_view::npos) {
      problem(text.at, quoted(whole) +
                           ": expected only one colon in Internet protocol and port type, as in "
                           "tcp:443");
      continue;
    }
    const std::string_view name =
        colon == std::string_view::npos ? std::string_view{} : whole.substr(0, colon);
    const std::string_view port_text =
        colon == std::string_view::npos ? whole : whole.substr(colon + 1);
    const auto protocols = parse_protocol(name);
    auto ports = parse_ports(port_text);
    if (const Reason* why = std::get_if<Reason>(&protocols)) problem(text.at, why->text);
    if (const Reason* why = std::get_if<Reason>(&ports)) {
      problem(text.at, "port range " + quoted(port_text) + ": " + why->text);
    }
    if (std::holds_alternative<Reason>(protocols) || std::holds_alternative<Reason>(ports))
      continue;
    ProtocolPorts ip{std::get<std::vector<int>>(protocols),
                     std::move(std::get<std::vector<tailcfg::PortRange>>(ports))};
    if (std::string why = ports_problem(ip, name); !why.empty()) problem(text.at, std::move(why));
    grant.ip.push_back(std::move(ip));
  }
}

std::shared_ptr<const tailcfg::CapMap> Reader::app(const Value* value) {
  if (value == nullptr || !expect(*value, Value::Kind::kObject, "app")) return nullptr;
  if (value->members.empty()) return nullptr;
  auto caps = std::make_shared<tailcfg::CapMap>();
  for (const Member& member : value->members) {
    if (std::string why = capability_problem(member.name); !why.empty()) {
      problem(member.at, why + ": " + quoted(member.name));
    }
    tailcfg::Capability cap{member.name, {}};
    if (!member.value.null() && expect(member.value, Value::Kind::kArray, "a value of app")) {
      for (const Value& item : member.value.items) cap.values.push_back(to_json_text(item));
    }
    caps->push_back(std::move(cap));
  }
  return caps;
}

void Reader::grant(const Value& value) {
  const auto f = fields(value, "a grant", {"src", "dst", "ip", "app", "via", "srcPosture"});
  if (!value.is(Value::Kind::kObject)) return;
  Grant grant;
  grant.at = value.at;
  grant.sources = std::make_shared<const std::vector<Alias>>(aliases(f[0], Side::kSource, "src"));
  grant.destinations = aliases(f[1], Side::kDestination, "dst");
  const bool ip_given = f[2] != nullptr && !f[2]->items.empty();
  grant_ip(f[2], grant);
  grant.app = app(f[3]);
  if (!ip_given && grant.app == nullptr) {
    problem(value.at, "ip and app can not both be empty");
  }
  for (const Text& text : strings(f[4], "via")) {
    const std::string tag(trim(text.text));
    if (tag.substr(0, 4) != "tag:") {
      problem(text.at, "via can only be a tag, not " + quoted(tag));
    } else if (!policy_.tag_owners.contains(tag)) {
      problem(text.at, "tag " + quoted(tag) + " not found");
    } else {
      grant.via.push_back(tag);
    }
  }
  grant.postures = src_postures(f[5]);
  bool self_checked = false;
  for (const Alias& destination : grant.destinations) {
    if (!self_checked) check_self(*grant.sources, destination, false);
    self_checked |= destination.is(Alias::Kind::kSelf);
    if (destination.is(Alias::Kind::kInternet) && grant.app != nullptr) {
      problem(destination.at, "cannot use app grants with autogroup:internet");
    }
    if (const auto prefix = Prefix::parse(destination.text); prefix && prefix->is_default()) {
      problem(destination.at, "dst " + quoted(prefix->text()) +
                                  ": to allow all IP addresses, use \"*\" or "
                                  "\"autogroup:internet\"");
    }
  }
  add_grant(std::move(grant));
}

}  // namespace es::policy

#include "native/policy/reader.h"

#include <algorithm>
#include <array>

namespace es::policy {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool looks_like_json(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '{') return true;
    if (c == '/' && text.substr(i, 2) == "//") {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '/' && text.substr(i, 2) == "/*") {
      return true;  // no YAML starts so
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || static_cast<uint8_t>(c) == 0xef ||
               static_cast<uint8_t>(c) == 0xbb || static_cast<uint8_t>(c) == 0xbf) {
      ++i;
    } else {
      return c == '[' || c == '"';
    }
  }
  return true;
}

}  // namespace

std::shared_ptr<const Policy> read_policy(std::string_view text, const ReadOptions& options,
                                          Problems& problems) {
  const bool json = options.format == Format::kHuJson ||
                    (options.format == Format::kAuto && looks_like_json(text));
  Value root;
  if (!trim(text).empty()) {
    root = json ? parse_hujson(text, options.limits.document, problems)
                : parse_yaml(text, options.limits.document, problems);
  }
  if (!problems.empty()) return nullptr;
  auto policy = std::make_shared<Policy>(Reader(options, problems).read(root));
  if (!problems.empty()) return nullptr;
  return policy;
}

std::vector<const Value*> Reader::fields(const Value& object, std::string_view what,
                                         std::initializer_list<std::string_view> names) {
  std::vector<const Value*> out(names.size(), nullptr);
  if (!expect(object, Value::Kind::kObject, what)) return out;
  for (const Member& member : object.members) {
    if (!member.name.empty() && member.name[0] == '#') continue;
    const auto it = std::find_if(names.begin(), names.end(), [&](std::string_view name) {
      return lower(name) == lower(member.name);
    });
    if (it == names.end()) {
      std::string text =
          "unknown field: " + quoted(member.name) + "; " + std::string(what) + " may have";
      for (std::string_view name : names) text += " " + std::string(name);
      problem(member.at, std::move(text));
      continue;
    }
    const Value*& slot = out[static_cast<size_t>(it - names.begin())];
    if (slot != nullptr) {
      problem(member.at, quoted(member.name) + " stands twice in this object");
    } else if (!member.value.null()) {
      slot = &member.value;
    }
  }
  return out;
}

bool Reader::expect(const Value& value, Value::Kind kind, std::string_view what) {
  if (value.is(kind)) return true;
  problem(value.at, std::string(what) + " must be " + std::string(kind_name(kind)) + ", not " +
                        std::string(kind_name(value.kind)));
  return false;
}

std::vector<Reader::Text> Reader::strings(const Value* value, std::string_view what) {
  std::vector<Text> out;
  if (value == nullptr || value->null() || !expect(*value, Value::Kind::kArray, what)) return out;
  for (const Value& item : value->items) {
    if (expect(item, Value::Kind::kString, "an item of " + std::string(what))) {
      out.push_back({item.text, item.at});
    }
  }
  return out;
}

std::string Reader::string(const Value* value, std::string_view what) {
  if (value == nullptr || !expect(*value, Value::Kind::kString, what)) return {};
  return value->text;
}

Policy Reader::read(const Value& root) {
  if (root.null()) return std::move(policy_);
  const auto section =
      fields(root, "a policy",
             {"groups", "hosts", "ipsets", "tagOwners", "postures", "defaultSrcPosture", "acls",
              "grants", "ssh", "nodeAttrs", "autoApprovers", "tests", "sshTests",
              "randomizeClientPort", "disableIPv4"});
  // In this order: rules refer to names.
  constexpr std::array kReaders = {&Reader::groups,
                                   &Reader::hosts,
                                   &Reader::ipsets,
                                   &Reader::tag_owners,
                                   &Reader::postures,
                                   &Reader::default_posture,
                                   &Reader::acls,
                                   &Reader::grants,
                                   &Reader::ssh,
                                   &Reader::node_attrs,
                                   &Reader::auto_approvers,
                                   &Reader::tests,
                                   &Reader::ssh_tests,
                                   &Reader::randomize_client_port,
                                   &Reader::disable_ipv4};
  for (size_t i = 0; i < section.size(); ++i) {
    if (section[i] != nullptr) (this->*kReaders[i])(*section[i]);
  }
  // Grants come before acls in a filter, wherever they stand in the document.
  std::stable_partition(policy_.grants.begin(), policy_.grants.end(),
                        [](const Grant& g) { return !g.from_acl; });
  return std::move(policy_);
}

std::optional<Alias> Reader::alias(const Text& text, Side side) {
  auto parsed = parse_alias(text.text, text.at);
  if (const Reason* why = std::get_if<Reason>(&parsed)) {
    problem(text.at, quoted(trim(text.text)) + ": " + why->text);
    return std::nullopt;
  }
  Alias& alias = std::get<Alias>(parsed);
  if (!allowed(alias, side) || !defined(alias, side)) return std::nullopt;
  return std::move(alias);
}

std::vector<Alias> Reader::aliases(const Value* value, Side side, std::string_view what) {
  std::vector<Alias> out;
  for (const Text& text : strings(value, what)) {
    if (auto one = alias(text, side)) out.push_back(std::move(*one));
  }
  return out;
}

bool Reader::allowed(const Alias& alias, Side side) {
  using Kind = Alias::Kind;
  const Kind k = alias.kind;
  const bool person = k == Kind::kUser || k == Kind::kUserDomain || k == Kind::kGroup ||
                      k == Kind::kMember || k == Kind::kRole;
  const bool node_set = person || k == Kind::kTag || k == Kind::kTagged;
  const std::string name = quoted(alias.text);
  switch (side) {
    case Side::kSource:
      if (k != Kind::kSelf && k != Kind::kInternet) return true;
      problem(alias.at, name + " not valid on the src side of a rule");
      return false;
    case Side::kDestination:
      if (k != Kind::kDangerAll && k != Kind::kShared) return true;
      problem(alias.at, "cannot use " + alias.text + " as a dst");
      return false;
    case Side::kSshSource:
      if (node_set) return true;
      problem(alias.at, "invalid src " + name +
                            ": a source of ssh is a user, a group, a tag, autogroup:member, "
                            "autogroup:tagged or the autogroup of a role");
      return false;
    case Side::kSshDestination:
      if ((node_set && k != Kind::kGroup && k != Kind::kUserDomain) || k == Kind::kSelf)
        return true;
      problem(alias.at,
              "invalid dst " + name +
                  (k == Kind::kAny ? ": wildcard (*) is not supported as SSH destination" : "") +
                  ": a destination of ssh is a tag, a user, autogroup:self, "
                  "autogroup:member, autogroup:tagged or the autogroup of a role");
      return false;
    case Side::kTarget:
      if (k != Kind::kSelf && k != Kind::kInternet && k != Kind::kDangerAll && k != Kind::kShared)
        return true;
      problem(alias.at, "nodeAttrs target does not support this autogroup: " + name);
      return false;
    case Side::kOwner:
      if (person || k == Kind::kTag) return true;
      problem(alias.at, "invalid owner " + name +
                            ": a tag is owned by users, groups, tags, autogroup:member or the "
                            "autogroup of a role");
      return false;
    case Side::kApprover:
      if (node_set) return true;
      problem(alias.at, "invalid approver " + name +
                            ": routes are approved for users, groups, tags, autogroup:member, "
                            "autogroup:tagged or the autogroup of a role");
      return false;
  }
  return false;
}

bool Reader::defined(const Alias& alias, Side side) {
  using Kind = Alias::Kind;
  const std::string name = quoted(alias.text);
  std::string lead;
  if (side == Side::kSource) lead = "src=";
  if (side == Side::kDestination) lead = "dst=" + name + ": ";
  switch (alias.kind) {
    case Kind::kTag:
      if (policy_.tag_owners.contains(alias.text)) return true;
      problem(alias.at, lead + "tag not found: " + name + " is no member of tagOwners");
      return false;
    case Kind::kGroup:
      if (policy_.groups.contains(alias.name)) return true;
      problem(alias.at, lead + "group not defined in policy: " + name);
      return false;
    case Kind::kIpSet:
      if (policy_.ipsets.contains(alias.name)) return true;
      problem(alias.at, lead + "ipset not found: " + name);
      return false;
    case Kind::kHost:
      if (policy_.hosts.contains(alias.name)) return true;
      problem(alias.at, name + ": invalid address, and no name of hosts");
      return false;
    case Kind::kUserDomain:
      if (domain_allowed(alias.name)) return true;
      problem(alias.at, std::string(side == Side::kSshSource ? "[ssh] " : "") + alias.name +
                            " is not associated with this Tailnet and cannot be used in "
                            "user:*@<domain> expressions");
      return false;
    default:
      return true;
  }
}

bool Reader::domain_allowed(std::string_view domain) const {
  if (domain.empty() || domain.find_first_of("*@ ") != std::string_view::npos) return false;
  return options_.tailnet_domain.empty() || lower(domain) == lower(options_.tailnet_domain);
}

void Reader::node_attrs(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "nodeAttrs")) return;
  for (const Value& item : value.items) node_attr(item);
}

void Reader::node_attr(const Value& value) {
  count_rule(value.at);
  const auto f = fields(value, "an entry of nodeAttrs", {"target", "attr", "app", "ipPool"});
  NodeAttr attr;
  attr.at = value.at;
  attr.targets = aliases(f[0], Side::kTarget, "target");
  tailcfg::CapMap caps;
  for (const Text& name : strings(f[1], "attr")) {
    if (name.text.empty()) {
      problem(name.at, "an attribute must have a name");
    } else {
      caps.push_back({name.text, {}});
    }
  }
  if (f[2] != nullptr && expect(*f[2], Value::Kind::kObject, "app")) {
    for (const Member& member : f[2]->members) {
      tailcfg::Capability cap{member.name, {}};
      if (!member.value.null() && expect(member.value, Value::Kind::kArray, "a value of app")) {
        for (const Value& item : member.value.items) cap.values.push_back(to_json_text(item));
      }
      caps.push_back(std::move(cap));
    }
  }
  attr.caps = std::make_shared<const tailcfg::CapMap>(std::move(caps));
  ip_pool(f[3], attr);
  policy_.node_attrs.push_back(std::move(attr));
}

void Reader::ip_pool(const Value* value, NodeAttr& attr) {
  // Used by Tailscale itself: MagicDNS's service addresses, and ChromeOS's virtual machines.
  constexpr std::array<const char*, 2> kReserved = {"100.100.100.0/24", "100.115.92.0/23"};
  const Prefix pool = *Prefix::parse("100.64.0.0/10");
  for (const Text& text : strings(value, "ipPool")) {
    const auto prefix = Prefix::parse(trim(text.text));
    if (!prefix || !pool.contains(*prefix)) {
      problem(text.at, "nodeAttrs ipPool must be within 100.64.0.0/10: " + quoted(text.text));
      continue;
    }
    for (const char* reserved : kReserved) {
      if (Prefix::parse(reserved)->range().overlaps(prefix->range())) {
        problem(text.at, "nodeAttrs ipPool must not overlap reserved Tailscale ranges: " +
                             quoted(text.text) + " overlaps " + reserved);
      }
    }
    attr.ip_pool.push_back(*prefix);
  }
}

void Reader::auto_approvers(const Value& value) {
  const auto f = fields(value, "autoApprovers", {"routes", "exitNode"});
  if (f[0] != nullptr && expect(*f[0], Value::Kind::kObject, "routes")) {
    for (const Member& member : f[0]->members) {
      const auto prefix = Prefix::parse(trim(member.name));
      if (!prefix) problem(member.at, "invalid prefix: " + quoted(member.name));
      auto approvers = aliases(&member.value, Side::kApprover, "the approvers of a route");
      if (prefix) policy_.route_approvers.emplace_back(*prefix, std::move(approvers));
    }
  }
  policy_.exit_node_approvers = aliases(f[1], Side::kApprover, "exitNode");
}

void Reader::tests(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "tests")) return;
  if (value.items.size() > options_.limits.max_tests) {
    return problem(value.at, "more than " + std::to_string(options_.limits.max_tests) + " tests");
  }
  const auto texts = [&](const Value* list, std::string_view what) {
    std::vector<std::string> out;
    for (Text& text : strings(list, what)) out.push_back(std::move(text.text));
    return out;
  };
  for (const Value& item : value.items) {
    const auto f =
        fields(item, "a test", {"src", "proto", "accept", "deny", "srcPostureAttrs", "allow"});
    Test test;
    test.at = item.at;
    test.src = string(f[0], "src");
    test.proto = string(f[1], "proto");
    test.accept = texts(f[2], "accept");
    test.deny = texts(f[3], "deny");
    for (std::string& more : texts(f[5], "allow")) test.accept.push_back(std::move(more));
    if (f[4] != nullptr && expect(*f[4], Value::Kind::kObject, "srcPostureAttrs")) {
      for (const Member& member : f[4]->members) {
        const Value& v = member.value;
        test.attributes[member.name] =
            v.is(Value::Kind::kBool) ? (v.boolean ? "true" : "false") : v.text;
      }
    }
    policy_.tests.push_back(std::move(test));
  }
}

void Reader::ssh_tests(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "sshTests")) return;
  if (value.items.size() > options_.limits.max_tests) {
    return problem(value.at, "more than " + std::to_string(options_.limits.max_tests) + " tests");
  }
  const auto texts = [&](const Value* list, std::string_view what) {
    std::vector<std::string> out;
    for (const Text& text : strings(list, what)) out.emplace_back(trim(text.text));
    return out;
  };
  for (const Value& item : value.items) {
    const auto f = fields(item, "an SSH test", {"src", "dst", "accept", "deny", "check"});
    SshTest test;
    test.at = item.at;
    test.src = std::string(trim(string(f[0], "src")));
    test.dst = texts(f[1], "dst");
    test.accept = texts(f[2], "accept");
    test.deny = texts(f[3], "deny");
    test.check = texts(f[4], "check");
    policy_.ssh_tests.push_back(std::move(test));
  }
}

void Reader::randomize_client_port(const Value& value) {
  if (expect(value, Value::Kind::kBool, "randomizeClientPort")) {
    policy_.randomize_client_port = value.boolean;
  }
}

// The attribute disable-ipv4 for everybody.
void Reader::disable_ipv4(const Value& value) {
  if (!expect(value, Value::Kind::kBool, "disableIPv4") || !value.boolean) return;
  NodeAttr attr;
  attr.at = value.at;
  attr.targets.push_back(std::get<Alias>(parse_alias("*", value.at)));
  attr.caps = std::make_shared<const tailcfg::CapMap>(tailcfg::CapMap{{"disable-ipv4", {}}});
  policy_.node_attrs.push_back(std::move(attr));
}

}  // namespace es::policy

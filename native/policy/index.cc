#include "native/policy/index.h"

#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {
namespace {

using Kind = Alias::Kind;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Alias tag_alias(const std::string& tag) {
  Alias alias;
  alias.kind = Kind::kTag;
  alias.text = tag;
  alias.name = tag.substr(4);
  return alias;
}

Grant make_allow_all() {
  Grant grant;
  Alias any;
  any.text = "*";
  grant.sources = std::make_shared<const std::vector<Alias>>(std::vector{any});
  grant.destinations = *grant.sources;
  grant.ip.push_back({{}, {tailcfg::PortRange{}}});
  return grant;
}

}  // namespace

IndexState::IndexState(std::shared_ptr<const Policy> p, std::vector<User> u, IndexOptions o)
    : policy(std::move(p)), options(std::move(o)), allow_all(make_allow_all()) {
  add_users(std::move(u));
  compile_rules();
  compile_users();
}

void IndexState::add_users(std::vector<User> list) {
  users.reserve(list.size());
  for (User& user : list) {
    UserEntry entry{std::move(user), {}, {}, {}, {}};
    if (const size_t sign = entry.user.email.rfind('@'); sign != std::string::npos) {
      entry.localpart = entry.user.email.substr(0, sign);
      entry.domain = lower(std::string_view(entry.user.email).substr(sign + 1));
    }
    user_at[entry.user.id] = users.size();
    users.push_back(std::move(entry));
  }
}

uint32_t IndexState::intern_selector(const Alias& alias) {
  // Two spellings of one thing may make two selectors; that costs memory and nothing else.
  const auto [it, fresh] =
      selector_ids.try_emplace(alias.text, static_cast<uint32_t>(selectors.size()));
  if (!fresh) return it->second;
  Selector selector;
  selector.alias = alias;
  switch (alias.kind) {
    case Kind::kAny:
    case Kind::kDangerAll:
      any_selectors.push_back(it->second);
      break;
    case Kind::kTag:
      selector.identity = true;
      tag_selectors[alias.text] = it->second;
      break;
    case Kind::kTagged:
      selector.identity = true;
      tagged_selectors.push_back(it->second);
      break;
    case Kind::kMember:
      selector.identity = true;
      member_selectors.push_back(it->second);
      break;
    case Kind::kUser:
    case Kind::kUserDomain:
    case Kind::kGroup:
    case Kind::kRole:
    case Kind::kShared:
      selector.identity = true;  // through UserEntry::selectors
      break;
    case Kind::kRange:
      selector.addresses.add(alias.range);
      break;
    case Kind::kHost:
      if (const auto host = policy->hosts.find(alias.name); host != policy->hosts.end()) {
        selector.addresses.add(host->second);
      }
      break;
    case Kind::kIpSet:
      if (const auto set = policy->ipsets.find(alias.name); set != policy->ipsets.end()) {
        selector.addresses.add(set->second);
      }
      break;
    case Kind::kInternet:
      selector.addresses.add(internet_addresses());
      break;
    case Kind::kSelf:
      break;  // never interned: it means something else for every node
  }
  selectors.push_back(std::move(selector));
  return it->second;
}

uint32_t IndexState::intern(const std::vector<Alias>& aliases,
                            const std::vector<std::string>& postures) {
  std::string key;
  for (const Alias& alias : aliases) {
    if (!alias.is(Kind::kSelf)) key += alias.text + '\n';
  }
  for (const std::string& posture : postures) key += '\r' + posture;
  const auto [it, fresh] = set_ids.try_emplace(key, static_cast<uint32_t>(sets.size()));
  if (!fresh) return it->second;
  const uint32_t id = it->second;
  SelectorSet set;
  for (const Alias& alias : aliases) {
    if (alias.is(Kind::kSelf)) continue;
    const uint32_t selector = intern_selector(alias);
    set.selectors.push_back(selector);
    auto& back = selectors[selector].sets;
    if (back.empty() || back.back() != id) back.push_back(id);
    set.any |= alias.is(Kind::kAny);
    set.lists |= selectors[selector].identity || !postures.empty();
    set.everything |= alias.is(Kind::kDangerAll);
    set.internet |= alias.is(Kind::kAny) || alias.is(Kind::kInternet);
    for (const Range& range : selectors[selector].addresses.ranges()) {
      set.public_range |= internet_addresses().overlaps(range);
      set.internet |= range == Range{Prefix{{false, 0, 0}, 0}.range()} ||
                      range == Range{Prefix{{true, 0, 0}, 0}.range()};
    }
  }
  for (const std::string& name : postures) {
    const auto posture = policy->postures.find(name);
    if (posture != policy->postures.end()) set.postures.push_back(&posture->second);
  }
  sets.push_back(std::move(set));
  return id;
}

uint32_t IndexState::intern_tags(const std::vector<std::string>& tags) {
  std::vector<Alias> aliases;
  for (const std::string& tag : tags) aliases.push_back(tag_alias(tag));
  return intern(aliases, {});
}

void IndexState::compile_rules() {
  const auto has_self = [](const std::vector<Alias>& list) {
    return std::any_of(list.begin(), list.end(), [](const Alias& a) { return a.is(Kind::kSelf); });
  };
  // The destinations of one ACL share a list of sources, which may be long.
  std::unordered_map<const std::vector<Alias>*, uint32_t> sources_seen;
  const auto add_rule = [&](const Grant& grant) {
    // Without sources or destinations there is nothing to allow; a via needs something to steer.
    if (grant.sources->empty() || grant.destinations.empty()) return;
    Rule rule;
    rule.grant = &grant;
    rule.steered = !grant.via.empty();
    if (rule.steered && grant.ip.empty()) return;
    rule.self = !rule.steered && has_self(grant.destinations);
    const auto [seen, fresh] = sources_seen.try_emplace(grant.sources.get(), 0);
    if (fresh) seen->second = intern(*grant.sources, grant.postures);
    rule.src = seen->second;
    rule.dst = intern(grant.destinations, {});
    if (rule.steered) rule.via = intern_tags(grant.via);
    rules.push_back(rule);
  };
  if (!policy->has_rules) add_rule(allow_all);
  for (const Grant& grant : policy->grants) add_rule(grant);
  for (const SshPolicyRule& rule : policy->ssh) {
    SshEntry entry;
    entry.rule = &rule;
    entry.src = intern(rule.sources, {});
    entry.dst = intern(rule.destinations, {});
    entry.self = has_self(rule.destinations);
    constexpr std::string_view kLocalpart = "localpart:*@";
    std::map<std::string, std::string> logins{{"root", ""}};
    for (const std::string& user : rule.users) {
      if (user == "autogroup:nonroot") {
        logins["*"] = "=";
      } else if (user.size() > kLocalpart.size() &&
                 user.substr(0, kLocalpart.size()) == kLocalpart) {
        entry.localpart_domains.push_back(lower(user.substr(kLocalpart.size())));
      } else {
        logins[user] = user;
      }
    }
    entry.users.assign(logins.begin(), logins.end());
    ssh.push_back(std::move(entry));
  }
  for (const NodeAttr& attr : policy->node_attrs) {
    const uint32_t set = intern(attr.targets, {});
    attributes.emplace_back(&attr, set);
    if (std::any_of(attr.caps->begin(), attr.caps->end(),
                    [](const auto& cap) { return cap.name == "disable-ipv4"; })) {
      ipv4_disabled.push_back(set);
    }
  }
  for (const auto& [prefix, approvers] : policy->route_approvers) {
    route_approvers.emplace_back(prefix, intern(approvers, {}));
  }
  exit_approvers = intern(policy->exit_node_approvers, {});
  std::vector<RangeIndex::Entry> entries;
  for (uint32_t i = 0; i < selectors.size(); ++i) {
    for (const Range& range : selectors[i].addresses.ranges()) entries.push_back({range, i});
  }
  ranges = RangeIndex(std::move(entries));
}

const UserEntry* IndexState::find_user(std::string_view name) const {
  if (name.size() > 1 && name.back() == '@') name.remove_suffix(1);
  const UserEntry* found = nullptr;
  for (const UserEntry& entry : users) {
    if (!entry.user.provider_id.empty() && entry.user.provider_id == name) return &entry;
    if (found == nullptr && (entry.user.email == name || entry.user.name == name)) found = &entry;
  }
  return found;
}

bool IndexState::user_matches(const UserEntry& user, const Alias& alias) const {
  switch (alias.kind) {
    case Kind::kMember:
      return true;
    case Kind::kRole:
      return user.user.role == alias.role ||
             (alias.role == Role::kAdmin && user.user.role == Role::kOwner);
    case Kind::kUserDomain:
      return user.domain == lower(alias.name);
    default:
      return false;
  }
}

// Names are looked up once for all users: a policy with many groups names many of them.
void IndexState::compile_users() {
  std::unordered_map<std::string_view, std::vector<size_t>> by_name;
  for (size_t i = 0; i < users.size(); ++i) {
    const User& user = users[i].user;
    by_name[user.provider_id].push_back(i);
    by_name[user.email].push_back(i);
    if (user.name != user.email) by_name[user.name].push_back(i);
  }
  const auto join = [&](std::string_view name, uint32_t selector) {
    std::string_view stem = name;
    if (stem.size() > 1 && stem.back() == '@') stem.remove_suffix(1);
    const auto it = by_name.find(stem);
    if (stem.empty() || it == by_name.end()) return;
    const UserEntry* one = it->second.size() == 1 ? &users[it->second[0]] : find_user(name);
    auto& list = users[static_cast<size_t>(one - users.data())].selectors;
    if (list.empty() || list.back() != selector) list.push_back(selector);
  };
  for (uint32_t i = 0; i < selectors.size(); ++i) {
    const Alias& alias = selectors[i].alias;
    if (alias.is(Kind::kUser)) {
      join(alias.text, i);
    } else if (alias.is(Kind::kGroup)) {
      const auto group = policy->groups.find(alias.name);
      if (group == policy->groups.end()) continue;
      for (const std::string& member : group->second) join(member, i);
    } else if (alias.is(Kind::kRole) || alias.is(Kind::kUserDomain)) {
      for (UserEntry& user : users) {
        if (user_matches(user, alias)) user.selectors.push_back(i);
      }
    }
  }
}

PolicyIndex::PolicyIndex(std::shared_ptr<const Policy> policy, std::vector<User> users,
                         const std::vector<Node>& nodes, IndexOptions options)
    : state_(
          std::make_unique<IndexState>(std::move(policy), std::move(users), std::move(options))) {
  state_->slots_by_id.reserve(nodes.size());
  state_->slots_by_address.reserve(nodes.size() * 2);
  for (Selector& selector : state_->selectors) selector.own.reserve(nodes.size());
  state_->filling = true;
  Slot known = 0;
  for (const Node& node : nodes) {
    if (state_->find(node.id, known) == nullptr) state_->add(node);
  }
  state_->fill_sets();
}

PolicyIndex::~PolicyIndex() = default;
PolicyIndex::PolicyIndex(PolicyIndex&&) noexcept = default;
PolicyIndex& PolicyIndex::operator=(PolicyIndex&&) noexcept = default;

std::unique_ptr<PolicyIndex> load_policy(std::string_view text, const ReadOptions& read,
                                         std::vector<User> users, const std::vector<Node>& nodes,
                                         Problems& problems, IndexOptions options) {
  auto policy = read_policy(text, read, problems);
  if (policy == nullptr) return nullptr;
  auto index =
      std::make_unique<PolicyIndex>(std::move(policy), std::move(users), nodes, std::move(options));
  index->run_tests(problems);
  if (!problems.empty()) return nullptr;
  return index;
}

bool PolicyIndex::approves_route(NodeId id, const Prefix& route) const {
  Slot slot = 0;
  if (state_->find(id, slot) == nullptr) return false;
  // An approver of 0.0.0.0/0 approves every subnet, but only exitNode approves exit nodes.
  if (route.is_default()) return state_->sets[state_->exit_approvers].own.test(slot);
  return std::any_of(
      state_->route_approvers.begin(), state_->route_approvers.end(), [&](const auto& entry) {
        return entry.first.contains(route) && state_->sets[entry.second].own.test(slot);
      });
}

bool PolicyIndex::tag_exists(std::string_view tag) const {
  return state_->policy->tag_owners.contains(tag);
}

bool PolicyIndex::user_may_tag(UserId user, std::string_view tag) const {
  const auto at = state_->user_at.find(user);
  if (at == state_->user_at.end()) return false;
  const UserEntry& entry = state_->users[at->second];
  // Tags own tags: walk the owners, each tag once, so that circles end.
  std::vector<std::string> queue{std::string(tag)};
  std::vector<std::string> seen = queue;
  while (!queue.empty()) {
    const auto owners = state_->policy->tag_owners.find(queue.back());
    queue.pop_back();
    if (owners == state_->policy->tag_owners.end()) continue;
    for (const Alias& owner : owners->second) {
      if (owner.is(Kind::kTag)) {
        if (std::find(seen.begin(), seen.end(), owner.text) == seen.end()) {
          seen.push_back(owner.text);
          queue.push_back(owner.text);
        }
      } else if (owner.is(Kind::kUser)) {
        if (state_->find_user(owner.text) == &entry) return true;
      } else if (owner.is(Kind::kGroup)) {
        const auto group = state_->policy->groups.find(owner.name);
        if (group != state_->policy->groups.end() &&
            std::any_of(group->second.begin(), group->second.end(),
                        [&](const auto& m) { return state_->find_user(m) == &entry; })) {
          return true;
        }
      } else if (state_->user_matches(entry, owner)) {
        return true;
      }
    }
  }
  return false;
}

tailcfg::CapMap PolicyIndex::attributes_of(NodeId id) const {
  Slot slot = 0;
  if (state_->find(id, slot) == nullptr) return {};
  std::map<std::string, tailcfg::Capability> out;
  if (state_->policy->randomize_client_port) {
    out["randomize-client-port"].name = "randomize-client-port";
  }
  for (const auto& [attr, set] : state_->attributes) {
    if (!state_->sets[set].own.test(slot)) continue;
    for (const tailcfg::Capability& cap : *attr->caps) {
      tailcfg::Capability& mine = out[cap.name];
      mine.name = cap.name;
      mine.values.insert(mine.values.end(), cap.values.begin(), cap.values.end());
    }
  }
  tailcfg::CapMap list;
  for (auto& [name, cap] : out) list.push_back(std::move(cap));
  return list;
}

size_t PolicyIndex::num_nodes() const { return state_->slots_by_id.size(); }

}  // namespace es::policy

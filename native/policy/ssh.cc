// The SSH rules of one node.
//
// Rules name their sources by address. With localpart:*@domain every user has a login name of its
// own, so each user's devices get rules of their own. Check rules stand before accept rules: the
// first that matches wins, and the stricter must.
#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {
namespace {

using Kind = Alias::Kind;
using tailcfg::SshPrincipal;
using tailcfg::SshRule;
using Principals = std::shared_ptr<const std::vector<SshPrincipal>>;

tailcfg::SshAction action_of(const SshEntry& entry, const std::string& base) {
  tailcfg::SshAction action;
  if (entry.rule->check) {
    // The client replaces the names; node ids as decimal numbers.
    action.hold_and_delegate =
        base + "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER";
    return action;
  }
  action.accept = true;
  action.allow_agent_forwarding = true;
  action.allow_local_port_forwarding = true;
  action.allow_remote_port_forwarding = true;
  return action;
}

class SshBuilder {
 public:
  SshBuilder(const IndexState& state, Slot slot) : s_(state), slot_(slot) {}

  std::vector<SshRule> build() {
    for (const SshEntry& entry : s_.ssh) add(entry);
    std::stable_partition(rules_.begin(), rules_.end(),
                          [](const SshRule& r) { return !r.action.accept; });
    return std::move(rules_);
  }

 private:
  // A tagged source stands in the list once for each tag that brought it there, as the hosted
  // service writes it.
  size_t times(const SshEntry& entry, Slot source) const {
    if (!s_.at(source).tagged) return 1;
    size_t n = 0;
    for (const uint32_t id : s_.sets[entry.src].selectors) {
      const Selector& selector = s_.selectors[id];
      if (selector.alias.is(Kind::kTagged)) return s_.at(source).node.tags.size();
      if (selector.own.test(source)) ++n;
    }
    return std::max<size_t>(n, 1);
  }

  void append(const SshEntry& entry, Slot source, std::vector<SshPrincipal>& list) const {
    for (size_t n = times(entry, source); n > 0; --n) {
      for (const Address& a : s_.at(source).node.addresses) list.push_back({a.text()});
    }
  }

  void add_rule(const SshEntry& entry, std::vector<SshPrincipal> list,
                const std::string* localpart) {
    if (list.empty()) return;
    const auto principals = std::make_shared<const std::vector<SshPrincipal>>(std::move(list));
    const auto action = action_of(entry, s_.options.ssh_check_base);
    rules_.push_back({principals, entry.users, action, entry.rule->accept_env});
    if (localpart != nullptr) {
      rules_.push_back({principals, {{*localpart, *localpart}}, action, entry.rule->accept_env});
    }
  }

  // Rules for each user's devices, then for tagged ones.
  void add_by_user(const SshEntry& entry, const Bits& sources) {
    std::map<UserId, std::vector<Slot>> by_user;
    std::vector<SshPrincipal> rest;
    sources.for_each([&](Slot source) {
      const NodeEntry& node = s_.at(source);
      if (!node.tagged && node.node.user) {
        by_user[*node.node.user].push_back(source);
      } else if (node.tagged) {
        append(entry, source, rest);
      }
    });
    for (const auto& [user, slots] : by_user) {
      std::vector<SshPrincipal> list;
      for (const Slot source : slots) append(entry, source, list);
      add_rule(entry, std::move(list), s_.localpart_of(entry, s_.at(slots.front())));
    }
    add_rule(entry, std::move(rest), nullptr);
  }

  void add(const SshEntry& entry) {
    if (s_.sets[entry.src].own.none()) return;
    if (entry.self) {
      const Bits own = s_.ssh_own_sources(entry, slot_);
      if (!own.none()) add_by_user(entry, own);
    }
    const Bits sources = s_.ssh_sources(entry, slot_);
    if (sources.none()) return;
    if (!entry.localpart_domains.empty()) return add_by_user(entry, sources);
    std::vector<SshPrincipal> list;
    sources.for_each([&](Slot source) {
      if (!s_.at(source).tagged && s_.at(source).node.user) append(entry, source, list);
    });
    sources.for_each([&](Slot source) {
      if (s_.at(source).tagged) append(entry, source, list);
    });
    add_rule(entry, std::move(list), nullptr);
  }

  const IndexState& s_;
  Slot slot_;
  std::vector<SshRule> rules_;
};

}  // namespace

// autogroup:self: the node's own user's devices, as far as the rule's sources hold them.
Bits IndexState::ssh_own_sources(const SshEntry& entry, Slot slot) const {
  Bits out;
  for (const Slot source : own_devices(nodes[slot])) {
    if (sets[entry.src].own.test(source)) out.set(source);
  }
  return out;
}

// By the other destinations. A rule with localpart:*@ reaches a source's own devices too, even when
// they are no destination: the hosted service sends it that way.
Bits IndexState::ssh_sources(const SshEntry& entry, Slot slot) const {
  const SelectorSet& src = sets[entry.src];
  if (sets[entry.dst].selectors.empty()) return {};
  if (sets[entry.dst].own.test(slot)) return src.own;
  Bits out;
  if (entry.localpart_domains.empty() || !src.own.test(slot)) return out;
  if (nodes[slot].tagged) {
    out.set(slot);
    return out;
  }
  return ssh_own_sources(entry, slot);
}

const std::string* IndexState::localpart_of(const SshEntry& entry, const NodeEntry& source) const {
  if (source.tagged || !source.node.user) return nullptr;
  const auto at = user_at.find(*source.node.user);
  if (at == user_at.end() || users[at->second].localpart.empty()) return nullptr;
  const auto& domains = entry.localpart_domains;
  const bool named =
      std::find(domains.begin(), domains.end(), users[at->second].domain) != domains.end();
  return named ? &users[at->second].localpart : nullptr;
}

bool IndexState::ssh_user_allowed(const SshEntry& entry, Slot source,
                                  std::string_view login) const {
  if (login.empty()) return false;
  const std::string* localpart = localpart_of(entry, nodes[source]);
  if (localpart != nullptr && *localpart == login) return true;
  bool any = false;
  for (const auto& [requested, local] : entry.users) {
    if (requested == login) return !local.empty();
    any |= requested == "*";
  }
  return any;  // root always has an entry of its own
}

std::vector<SshRule> PolicyIndex::ssh_rules_for(NodeId id) const {
  Slot slot = 0;
  if (state_->find(id, slot) == nullptr) return {};
  return SshBuilder(*state_, slot).build();
}

std::optional<std::chrono::seconds> PolicyIndex::ssh_check_period(NodeId src, NodeId dst,
                                                                  std::string_view user) const {
  const IndexState& s = *state_;
  Slot from = 0;
  Slot to = 0;
  if (s.find(src, from) == nullptr || s.find(dst, to) == nullptr) return std::nullopt;
  for (const SshEntry& entry : s.ssh) {
    if (!entry.rule->check) continue;
    const bool reached = (entry.self && s.ssh_own_sources(entry, to).test(from)) ||
                         s.ssh_sources(entry, to).test(from);
    if (reached && s.ssh_user_allowed(entry, from, user)) return entry.rule->check_period;
  }
  return std::nullopt;
}

}  // namespace es::policy

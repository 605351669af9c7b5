// What a change of nodes changes for others: found by comparing what others read of a node before
// and after, not by compiling them again.
#include "native/policy/index_state.h"

#include <algorithm>
#include <iterator>

namespace es::policy {
namespace {

using Sets = std::vector<uint32_t>;

Sets either(const Sets& a, const Sets& b) {
  Sets out;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}
Sets only_one(const Sets& a, const Sets& b) {
  Sets out;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

void set_all(const std::vector<Slot>& slots, Bits& out) {
  for (const Slot slot : slots) out.set(slot);
}

void sort_unique(Sets& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

// The sets whose text lists a node otherwise before and after.
Sets relisted(const Footprint& before, const Footprint& after) {
  const bool same = before.node.addresses == after.node.addresses;
  Sets out = same ? only_one(before.listed, after.listed) : either(before.listed, after.listed);
  for (uint32_t& entry : out) entry /= 2;
  sort_unique(out);
  return either(out, only_one(before.full, after.full));
}

}  // namespace

void Impact::add(const Impact& other) {
  filters.add(other.filters);
  ssh.add(other.ssh);
  routers.add(other.routers);
  nodes.add(other.nodes);
}

Footprint IndexState::footprint(Slot slot) const {
  const NodeEntry& entry = nodes[slot];
  Footprint out;
  out.there = true;
  out.slot = slot;
  out.node = entry.node;
  for (const uint32_t id : entry.selectors) {
    for (const uint32_t set : selectors[id].sets) {
      if (!sets[set].own.test(slot)) continue;
      out.sets.push_back(set);
      const bool whole = selectors[id].identity;
      if (whole || !sets[set].postures.empty()) out.listed.push_back(2 * set + (whole ? 1 : 0));
    }
  }
  sort_unique(out.sets);
  sort_unique(out.listed);
  for (const uint32_t set : out.sets) {
    if (sets[set].lists && sets[set].own.count() > kMaxListedNodes) out.full.push_back(set);
  }
  out.devices = own_devices(entry);
  if (!entry.tagged && entry.node.user) {
    if (const auto at = user_at.find(*entry.node.user); at != user_at.end()) {
      out.login = users[at->second].localpart + "@" + users[at->second].domain;
    }
  }
  if (!entry.node.routes.empty()) out.routers.push_back(slot);
  for (const uint32_t number : entry.routes) {
    const auto& others = routes[number].routers;
    out.routers.insert(out.routers.end(), others.begin(), others.end());
  }
  return out;
}

void IndexState::add_filter_readers(const Sets& changed, Bits& out) const {
  if (changed.empty()) return;
  std::vector<bool> is_changed(sets.size());
  for (const uint32_t set : changed) is_changed[set] = true;
  for (const Rule& rule : rules) {
    if (is_changed[rule.src]) add_receivers(rule, out);
    // Some capabilities give the other direction one too, from the destinations.
    if (rule.grant->app != nullptr && is_changed[rule.dst]) {
      out.add(sets[rule.src].own);
      out.add(sets[rule.src].routed);
    }
  }
}

void IndexState::add_ssh_readers(const Footprint& node, const Sets& of_sets, Bits& out) const {
  for (const SshEntry& entry : ssh) {
    if (!std::binary_search(of_sets.begin(), of_sets.end(), entry.src)) continue;
    out.add(sets[entry.dst].own);
    if (entry.self || !entry.localpart_domains.empty()) set_all(node.devices, out);
  }
}

Impact IndexState::impact_of(const Footprint& before, const Footprint& after) const {
  Impact out;
  const bool same_addresses = before.node.addresses == after.node.addresses;
  const bool same_person = before.there == after.there && same_addresses &&
                           before.node.user == after.node.user &&
                           before.node.tags == after.node.tags && before.login == after.login;
  const bool same_routes = before.node.routes == after.node.routes;
  const Sets moved = only_one(before.sets, after.sets);
  if (!same_routes || !before.node.routes.empty() || !after.node.routes.empty()) {
    set_all(before.routers, out.routers);
    set_all(after.routers, out.routers);
  }
  if (same_person && same_routes && moved.empty()) return out;

  Sets changed = relisted(before, after);
  if (!same_routes) {
    // As a source * stands for the subnet routes too.
    for (uint32_t set = 0; set < sets.size(); ++set) {
      if (sets[set].any && sets[set].postures.empty()) changed.push_back(set);
    }
    sort_unique(changed);
  }
  add_filter_readers(changed, out.filters);
  const bool has_self =
      std::any_of(rules.begin(), rules.end(), [](const Rule& rule) { return rule.self; });
  if (has_self) {
    set_all(before.devices, out.filters);
    set_all(after.devices, out.filters);
  }
  const Sets ssh_sets = same_person ? moved : either(before.sets, after.sets);
  add_ssh_readers(before, ssh_sets, out.ssh);
  add_ssh_readers(after, ssh_sets, out.ssh);

  for (Bits* bits : {&out.filters, &out.ssh, &out.nodes}) {
    if (after.there) {
      bits->set(after.slot);
    } else {
      bits->clear(before.slot);
    }
  }
  if (!after.there) out.routers.clear(before.slot);
  return out;
}

Impact PolicyIndex::put_node(Node node) {
  IndexState& s = *state_;
  Footprint before;
  Slot slot = 0;
  std::vector<std::pair<uint32_t, SelectorSet>> texts;
  if (s.find(node.id, slot) != nullptr) {
    Node& known = s.nodes[slot].node;
    const bool serving = std::exchange(known.serving, node.serving);
    if (known == node) {
      Impact out;
      if (serving != node.serving) set_all(s.footprint(slot).routers, out.routers);
      return out;
    }
    before = s.footprint(slot);
    for (const uint32_t set : before.sets) {
      SelectorSet& from = s.sets[set];
      if (from.text == nullptr) continue;
      SelectorSet kept;
      kept.text = from.text;
      kept.text_hash = from.text_hash;
      kept.text_routes = from.text_routes;
      texts.emplace_back(set, std::move(kept));
    }
    s.remove(slot);
  }
  const NodeId id = node.id;
  s.add(std::move(node));
  s.find(id, slot);
  const Footprint after = s.footprint(slot);
  // Lists that read as before need not be rendered again.
  if (before.there && before.node.addresses == after.node.addresses) {
    const Sets changed = relisted(before, after);
    for (auto& [set, kept] : texts) {
      if (std::binary_search(changed.begin(), changed.end(), set)) continue;
      if (!std::binary_search(after.sets.begin(), after.sets.end(), set)) continue;
      s.sets[set].text = std::move(kept.text);
      s.sets[set].text_hash = kept.text_hash;
      s.sets[set].text_routes = kept.text_routes;
    }
  }
  return s.impact_of(before, after);
}

Impact PolicyIndex::remove_node(NodeId id) {
  IndexState& s = *state_;
  Slot slot = 0;
  if (s.find(id, slot) == nullptr) return {};
  const Footprint before = s.footprint(slot);
  // A change of the node keeps this: put_node() takes its routes away and gives them back.
  for (Route& route : s.routes) {
    if (route.preferred == slot) route.preferred = kAnySlot;
  }
  s.remove(slot);
  return s.impact_of(before, {});
}

// Swaps the user tables and their selectors for those of `other`.
void IndexState::swap_users(UserTable& other) {
  std::swap(users, other.users);
  std::swap(user_at, other.at);
}

// The nodes of users whom the policy's names mean otherwise with `fresh` in place of what is there.
// The nodes of all others are entered there.
std::vector<Slot> IndexState::nodes_of_changed_users(UserTable& fresh) const {
  std::vector<Slot> out;
  for (Slot slot = 0; slot < nodes.size(); ++slot) {
    const NodeEntry& entry = nodes[slot];
    if (!entry.used || entry.tagged || !entry.node.user) continue;
    const auto was = user_at.find(*entry.node.user);
    const auto is = fresh.at.find(*entry.node.user);
    if (was == user_at.end() && is == fresh.at.end()) continue;
    if (was == user_at.end() || is == fresh.at.end()) {
      out.push_back(slot);
      continue;
    }
    const UserEntry& a = users[was->second];
    UserEntry& b = fresh.users[is->second];
    if (a.selectors == b.selectors && a.localpart == b.localpart && a.domain == b.domain) {
      b.nodes.push_back(slot);
    } else {
      out.push_back(slot);
    }
  }
  return out;
}

Impact PolicyIndex::set_users(std::vector<User> users) {
  IndexState& s = *state_;
  UserTable table;
  s.swap_users(table);
  s.add_users(std::move(users));
  s.compile_users();
  s.swap_users(table);
  const std::vector<Slot> affected = s.nodes_of_changed_users(table);
  std::vector<Footprint> before;
  before.reserve(affected.size());
  for (const Slot slot : affected) before.push_back(s.footprint(slot));
  for (const Slot slot : affected) s.remove(slot);
  s.swap_users(table);
  for (const Footprint& was : before) s.add(was.node);
  Impact out;
  for (const Footprint& was : before) {
    Slot slot = 0;
    s.find(was.node.id, slot);
    out.add(s.impact_of(was, s.footprint(slot)));
  }
  return out;
}

}  // namespace es::policy

// Nodes coming, changing and going: the bits that this sets, and nothing else.
#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {

uint64_t hash_texts(const Texts& texts) {
  uint64_t h = 0xcbf29ce484222325;  // FNV-1a; a filter's lists are compared in full when it agrees
  for (const std::string& text : texts) {
    for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    h = (h ^ 0xff) * 0x100000001b3;
  }
  return h;
}

Texts address_texts(const std::vector<Address>& addresses) {
  Texts out;
  out.reserve(addresses.size());
  for (const Address& a : addresses) out.push_back(a.text());
  return out;
}

const NodeEntry* IndexState::find(NodeId id, Slot& slot) const {
  const Slot found =
      slots_by_id.find(hash_of(id), [&](Slot other) { return nodes[other].node.id == id; });
  if (found == kAnySlot) return nullptr;
  slot = found;
  return &nodes[slot];
}

Slot IndexState::owner_of(const Address& a) const {
  return slots_by_address.find(hash_of(a), [&](Slot slot) {
    const auto& own = nodes[slot].node.addresses;
    return std::find(own.begin(), own.end(), a) != own.end();
  });
}

const std::vector<Slot>& IndexState::own_devices(const NodeEntry& node) const {
  static const std::vector<Slot> kNone;
  if (node.tagged || !node.node.user) return kNone;
  const auto it = user_at.find(*node.node.user);
  return it == user_at.end() ? kNone : users[it->second].nodes;
}

bool IndexState::posture_holds(const SelectorSet& set, const Node& node) const {
  if (set.postures.empty()) return true;
  return std::any_of(set.postures.begin(), set.postures.end(),
                     [&](const Posture* p) { return p->holds(node.attributes); });
}

void IndexState::join_set(Slot slot, uint32_t set) {
  SelectorSet& s = sets[set];
  if (posture_holds(s, nodes[slot].node) && s.own.set(slot)) s.text.reset();
}

void IndexState::join_selector(Slot slot, uint32_t selector) {
  if (!selectors[selector].own.set(slot)) return;
  nodes[slot].selectors.push_back(selector);
  if (filling) return;
  for (const uint32_t set : selectors[selector].sets) join_set(slot, set);
}

// After many nodes at once: set by set, which touches memory in order, and each word once.
void IndexState::fill_sets() {
  filling = false;
  for (SelectorSet& set : sets) {
    for (const uint32_t selector : set.selectors) set.own.add(selectors[selector].own);
    if (set.postures.empty()) continue;
    Bits holding;
    set.own.for_each([&](Slot slot) {
      if (posture_holds(set, nodes[slot].node)) holding.set(slot);
    });
    set.own = std::move(holding);
  }
}

uint32_t IndexState::route_number(const Prefix& prefix) {
  if (const auto it = route_ids.find(prefix); it != route_ids.end()) return it->second;
  uint32_t number = static_cast<uint32_t>(routes.size());
  if (free_routes.empty()) {
    routes.emplace_back();
  } else {
    number = free_routes.back();
    free_routes.pop_back();
  }
  Route& route = routes[number];
  route = {prefix, {}, kAnySlot, {}};
  ranges.overlapping(prefix.range(), [&](uint32_t selector) {
    for (const uint32_t set : selectors[selector].sets) {
      // With a posture it is a device that must satisfy it, and nothing behind a router can.
      if (sets[set].postures.empty() && sets[set].routes.set(number)) route.sets.push_back(set);
    }
  });
  route_ids[prefix] = number;
  ++routes_version;
  return number;
}

void IndexState::join_routes(Slot slot) {
  NodeEntry& entry = nodes[slot];
  for (const Prefix& prefix : entry.node.routes) {
    if (prefix.is_default()) {
      entry.exit = true;
      continue;
    }
    const uint32_t number = route_number(prefix);
    if (std::find(entry.routes.begin(), entry.routes.end(), number) != entry.routes.end()) continue;
    entry.routes.push_back(number);
    auto& routers = routes[number].routers;
    const auto before = [&](Slot a, Slot b) { return nodes[a].node.id < nodes[b].node.id; };
    routers.insert(std::upper_bound(routers.begin(), routers.end(), slot, before), slot);
    for (const uint32_t set : routes[number].sets) sets[set].routed.set(slot);
  }
  if (entry.exit) exits.set(slot);
}

void IndexState::leave_routes(Slot slot) {
  NodeEntry& entry = nodes[slot];
  for (const uint32_t number : entry.routes) {
    Route& route = routes[number];
    for (const uint32_t set : route.sets) sets[set].routed.clear(slot);
    std::erase(route.routers, slot);
    if (!route.routers.empty()) continue;
    for (const uint32_t set : route.sets) sets[set].routes.clear(number);
    route_ids.erase(route.prefix);
    route = {};
    free_routes.push_back(number);
    ++routes_version;
  }
  entry.routes.clear();
  exits.clear(slot);
}

void IndexState::add(Node node) {
  Slot slot = node.slot != kAnySlot ? node.slot : static_cast<Slot>(nodes.size());
  if (node.slot != kAnySlot) {
    if (nodes.size() <= slot) nodes.resize(slot + 1);
  } else if (free_slots.empty()) {
    nodes.emplace_back();
  } else {
    slot = free_slots.back();
    free_slots.pop_back();
  }
  NodeEntry& entry = nodes[slot];
  entry = {};
  entry.node = std::move(node);
  entry.used = true;
  entry.tagged = !entry.node.tags.empty();
  for (const Address& a : entry.node.addresses) {
    slots_by_address.set(hash_of(a), slot, [&](Slot other) {
      const auto& own = nodes[other].node.addresses;
      return std::find(own.begin(), own.end(), a) != own.end();
    });
  }
  const NodeId id = entry.node.id;
  slots_by_id.set(hash_of(id), slot, [&](Slot other) { return nodes[other].node.id == id; });

  const auto owner =
      !entry.tagged && entry.node.user ? user_at.find(*entry.node.user) : user_at.end();
  const size_t by_user = owner == user_at.end() ? 0 : users[owner->second].selectors.size();
  entry.selectors.reserve(any_selectors.size() + by_user + 2);
  for (const uint32_t selector : any_selectors) join_selector(slot, selector);
  if (entry.tagged) {
    for (const uint32_t selector : tagged_selectors) join_selector(slot, selector);
    for (const std::string& tag : entry.node.tags) {
      if (const auto it = tag_selectors.find(tag); it != tag_selectors.end()) {
        join_selector(slot, it->second);
      }
    }
  } else {
    for (const uint32_t selector : member_selectors) join_selector(slot, selector);
    if (owner != user_at.end()) {
      users[owner->second].nodes.push_back(slot);
      for (const uint32_t selector : users[owner->second].selectors) join_selector(slot, selector);
    }
  }
  for (const Address& a : entry.node.addresses) {
    ranges.overlapping({a, a}, [&](uint32_t selector) { join_selector(slot, selector); });
  }
  join_routes(slot);
}

void IndexState::remove(Slot slot) {
  leave_routes(slot);
  NodeEntry& entry = nodes[slot];
  for (const uint32_t selector : entry.selectors) {
    selectors[selector].own.clear(slot);
    for (const uint32_t set : selectors[selector].sets) {
      if (sets[set].own.clear(slot)) sets[set].text.reset();
    }
  }
  if (!entry.tagged && entry.node.user) {
    if (const auto it = user_at.find(*entry.node.user); it != user_at.end()) {
      std::erase(users[it->second].nodes, slot);
    }
  }
  for (const Address& a : entry.node.addresses) slots_by_address.erase(hash_of(a), slot);
  slots_by_id.erase(hash_of(entry.node.id), slot);
  if (entry.node.slot == kAnySlot) free_slots.push_back(slot);
  entry = {};
}

size_t PolicyIndex::memory_bytes() const {
  const IndexState& s = *state_;
  size_t n = 0;
  for (const Selector& x : s.selectors) {
    n += sizeof(x) + x.own.memory() + x.sets.capacity() * sizeof(uint32_t) +
         x.addresses.ranges().capacity() * sizeof(Range) + x.alias.text.capacity() +
         x.alias.name.capacity();
  }
  for (const SelectorSet& x : s.sets) {
    n += sizeof(x) + x.own.memory() + x.routed.memory() + x.routes.memory() +
         x.selectors.capacity() * sizeof(uint32_t);
    if (x.text == nullptr) continue;
    for (const std::string& t : *x.text) n += sizeof(t) + (t.capacity() > 15 ? t.capacity() : 0);
  }
  for (const NodeEntry& x : s.nodes) {
    n += sizeof(x) + x.selectors.capacity() * sizeof(uint32_t) +
         x.routes.capacity() * sizeof(uint32_t) + x.node.addresses.capacity() * sizeof(Address) +
         x.node.routes.capacity() * sizeof(Prefix);
    for (const std::string& t : x.node.tags) n += sizeof(t) + t.capacity();
  }
  for (const Route& x : s.routes) {
    n += sizeof(x) + x.routers.capacity() * sizeof(Slot) + x.sets.capacity() * sizeof(uint32_t);
  }
  return n + s.slots_by_id.memory() + s.slots_by_address.memory() +
         s.rules.capacity() * sizeof(Rule);
}

}  // namespace es::policy

// Who sees whom, and by which router.
//
// Two nodes see each other exactly when the filter of one has, as a source, an address of the other
// or an address that the other routes.
#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {
namespace {

// What rules say about one viewer's way to subnet routes, as sets of route numbers.
struct Reach {
  Bits forward;   // it may send there, by rules without via
  Bits backward;  // may send to it, so that answers must find the way back
  bool all_forward = false;
  bool all_backward = false;
  bool internet = false;

  bool forward_to(uint32_t route) const { return all_forward || forward.test(route); }
  bool any(uint32_t route) const {
    return forward_to(route) || all_backward || backward.test(route);
  }
};

}  // namespace

bool IndexState::receives(const Rule& rule, Slot slot) const {
  const SelectorSet& dst = sets[rule.dst];
  if (rule.steered) {
    if (!sets[rule.via].own.test(slot)) return false;
    return dst.routed.test(slot) || (dst.any && !nodes[slot].routes.empty()) ||
           (dst.internet && exits.test(slot));
  }
  return dst.own.test(slot) || dst.routed.test(slot) ||
         (dst.public_range && !rule.grant->ip.empty() && exits.test(slot));
}

void IndexState::add_receivers(const Rule& rule, Bits& out) const {
  const SelectorSet& dst = sets[rule.dst];
  if (!rule.steered) {
    out.add(dst.own);
    out.add(dst.routed);
    if (dst.public_range && !rule.grant->ip.empty()) out.add(exits);
    return;
  }
  sets[rule.via].own.for_each([&](Slot slot) {
    if (receives(rule, slot)) out.set(slot);
  });
}

Bits PolicyIndex::peer_slots(NodeId id) const {
  const IndexState& s = *state_;
  Slot slot = 0;
  const NodeEntry* node = s.find(id, slot);
  Bits seen;
  if (node == nullptr) return seen;
  for (const Rule& rule : s.rules) {
    const SelectorSet& src = s.sets[rule.src];
    if (s.receives(rule, slot)) {
      seen.add(src.own);
      seen.add(src.routed);
    }
    if (s.sends(rule, slot)) s.add_receivers(rule, seen);
    if (!rule.self) continue;
    for (const Slot other : s.own_devices(*node)) {
      if (src.own.test(other) || src.own.test(slot)) seen.set(other);
    }
  }
  seen.clear(slot);
  return seen;
}

std::vector<NodeId> PolicyIndex::peers_of(NodeId id) const {
  const Bits seen = peer_slots(id);
  std::vector<NodeId> out;
  out.reserve(seen.count());
  seen.for_each([&](Slot other) { out.push_back(state_->at(other).node.id); });
  std::sort(out.begin(), out.end());
  return out;
}

bool PolicyIndex::visible(NodeId a, NodeId b) const {
  const IndexState& s = *state_;
  Slot x = 0;
  Slot y = 0;
  const NodeEntry* first = s.find(a, x);
  if (first == nullptr || s.find(b, y) == nullptr || x == y) return false;
  const auto& own = s.own_devices(*first);
  const bool same_user = std::find(own.begin(), own.end(), y) != own.end();
  return std::any_of(s.rules.begin(), s.rules.end(), [&](const Rule& rule) {
    const SelectorSet& src = s.sets[rule.src];
    return (s.receives(rule, x) && s.sends(rule, y)) || (s.receives(rule, y) && s.sends(rule, x)) ||
           (rule.self && same_user && (src.own.test(x) || src.own.test(y)));
  });
}

std::vector<Address> PolicyIndex::addresses_seen_by(NodeId viewer, NodeId peer) const {
  const IndexState& s = *state_;
  Slot from = 0;
  Slot to = 0;
  const NodeEntry* node = s.find(peer, to);
  if (node == nullptr || s.find(viewer, from) == nullptr) return {};
  const bool v6_only = ipv4_disabled(viewer) || ipv4_disabled(peer);
  std::vector<Address> out;
  for (const Address& a : node->node.addresses) {
    if (a.v6 || !v6_only) out.push_back(a);
  }
  return out;
}

bool PolicyIndex::ipv4_disabled(NodeId id) const {
  const IndexState& s = *state_;
  Slot slot = 0;
  return s.find(id, slot) != nullptr &&
         std::any_of(s.ipv4_disabled.begin(), s.ipv4_disabled.end(),
                     [&](uint32_t set) { return s.sets[set].own.test(slot); });
}

void PolicyIndex::prefer_router(const Prefix& prefix, NodeId id) {
  IndexState& s = *state_;
  Slot slot = 0;
  const auto it = s.route_ids.find(prefix);
  if (it != s.route_ids.end() && s.find(id, slot) != nullptr) s.routes[it->second].preferred = slot;
}

namespace {

Reach reach_of(const IndexState& s, Slot viewer) {
  Reach reach;
  for (const Rule& rule : s.rules) {
    const SelectorSet& src = s.sets[rule.src];
    const SelectorSet& dst = s.sets[rule.dst];
    if (!rule.steered && s.sends(rule, viewer)) {
      reach.forward.add(dst.routes);
      reach.all_forward |= dst.all_routes();
      reach.internet |= dst.internet && !rule.grant->ip.empty();
    }
    if (s.receives(rule, viewer)) {
      reach.backward.add(src.routes);
      reach.all_backward |= src.all_routes();
    }
  }
  return reach;
}

// The router that serves the prefix: the preferred one while it is up, else the oldest that is up;
// the oldest if none is.
Slot primary(const IndexState& s, const std::vector<Slot>& routers, Slot preferred) {
  if (preferred != kAnySlot && s.at(preferred).node.serving &&
      std::find(routers.begin(), routers.end(), preferred) != routers.end()) {
    return preferred;
  }
  for (const Slot slot : routers) {
    if (s.at(slot).node.serving) return slot;
  }
  return routers.front();
}

}  // namespace

// A via rule takes the viewer to the routers with its tags, unless another rule leads to the same
// prefix without via: then the primary router that everybody has is good enough.
std::vector<SeenRoute> PolicyIndex::routes_seen_by(NodeId viewer) const {
  const IndexState& s = *state_;
  Slot slot = 0;
  const NodeEntry* node = s.find(viewer, slot);
  if (node == nullptr) return {};
  const Reach reach = reach_of(s, slot);
  std::vector<const Rule*> steering;
  for (const Rule& rule : s.rules) {
    if (rule.steered && s.sends(rule, slot)) steering.push_back(&rule);
  }
  std::vector<SeenRoute> out;
  for (const auto& [prefix, number] : s.route_ids) {
    const Route& route = s.routes[number];
    std::vector<Slot> steered;
    bool by_via = false;
    for (const Rule* rule : steering) {
      if (reach.forward_to(number) || !s.sets[rule->dst].covers_route(number)) continue;
      by_via = true;
      for (const Slot router : route.routers) {
        if (s.sets[rule->via].own.test(router)) steered.push_back(router);
      }
    }
    Slot holder = slot;
    if (by_via) {
      if (steered.empty()) continue;
      std::sort(steered.begin(), steered.end(),
                [&](Slot a, Slot b) { return s.at(a).node.id < s.at(b).node.id; });
      holder = primary(s, steered, route.preferred);
    } else {
      // Routers of one prefix must know which of them is the primary.
      const bool co_router =
          std::find(route.routers.begin(), route.routers.end(), slot) != route.routers.end();
      if (!reach.any(number) && !co_router) continue;
      holder = primary(s, route.routers, route.preferred);
    }
    if (holder != slot) out.push_back({s.at(holder).node.id, prefix});
  }
  s.exits.for_each([&](Slot exit) {
    bool usable = reach.internet;
    for (const Rule* rule : steering) {
      usable |= s.sets[rule->dst].internet && s.sets[rule->via].own.test(exit);
    }
    if (!usable || exit == slot) return;
    for (const Prefix& prefix : s.at(exit).node.routes) {
      if (prefix.is_default()) out.push_back({s.at(exit).node.id, prefix});
    }
  });
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace es::policy

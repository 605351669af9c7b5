// Whether one address may open a connection to another, and by which rule.
#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {
namespace {

using Kind = Alias::Kind;

// What an empty list of protocols stands for on a client: ICMP, TCP, UDP, ICMPv6.
constexpr int kDefaultProtocols[] = {1, 6, 17, 58};

bool is_default(int protocol) {
  return std::find(std::begin(kDefaultProtocols), std::end(kDefaultProtocols), protocol) !=
         std::end(kDefaultProtocols);
}

}  // namespace

bool protocol_matches(const ProtocolPorts& ip, int protocol) {
  if (ip.protocols.empty()) return protocol == 0 || is_default(protocol);
  return std::any_of(ip.protocols.begin(), ip.protocols.end(),
                     [&](int p) { return protocol == 0 ? is_default(p) : p == protocol; });
}

bool port_matches(const ProtocolPorts& ip, uint16_t port) {
  return std::any_of(ip.ports.begin(), ip.ports.end(),
                     [&](const auto& r) { return r.first <= port && port <= r.last; });
}

// Whether the set has the address: as a node's, within a range, or, for * as a source, behind a
// subnet router.
bool IndexState::named(const SelectorSet& set, const Address& a, bool as_source) const {
  const Slot owner = owner_of(a);
  const bool node = owner != kAnySlot;
  if (!set.postures.empty() && (!node || !set.own.test(owner))) return false;
  for (const uint32_t id : set.selectors) {
    const Selector& selector = selectors[id];
    if (selector.alias.is(Kind::kDangerAll)) return true;
    if (selector.alias.is(Kind::kAny)) {
      if (node || !as_source || tailnet_addresses().contains(a)) return true;
      const bool routed = std::any_of(routes.begin(), routes.end(), [&](const Route& r) {
        return !r.routers.empty() && r.prefix.range().contains(a);
      });
      if (routed) return true;
    } else if (selector.identity) {
      if (node && selector.own.test(owner)) return true;
    } else if (selector.addresses.contains(a)) {
      return true;
    }
  }
  return false;
}

// Whether the rule leads to the address, for some source. autogroup:self needs to know the source.
bool IndexState::leads_to(const Rule& rule, const Address& dst) const {
  if (!rule.steered) return named(sets[rule.dst], dst, false);
  // Only what lies behind a router with the tag is reached, never a node.
  bool on_subnet = false;
  bool by_exit = false;
  sets[rule.via].own.for_each([&](Slot slot) {
    by_exit |= nodes[slot].exit;
    for (const uint32_t number : nodes[slot].routes) {
      on_subnet |= routes[number].prefix.range().contains(dst);
    }
  });
  by_exit &= internet_addresses().contains(dst);
  const auto& list = sets[rule.dst].selectors;
  return std::any_of(list.begin(), list.end(), [&](uint32_t id) {
    const Selector& to = selectors[id];
    if (to.alias.is(Kind::kAny)) return on_subnet || by_exit;
    if (to.identity || !to.addresses.contains(dst)) return false;
    return on_subnet || (by_exit && to.alias.is(Kind::kInternet));
  });
}

bool IndexState::same_owner(const Address& a, const Address& b) const {
  const Slot from = owner_of(a);
  const Slot to = owner_of(b);
  if (from == kAnySlot || to == kAnySlot) return false;
  const auto& own = own_devices(nodes[from]);
  return std::find(own.begin(), own.end(), to) != own.end();
}

Verdict PolicyIndex::check(const Address& src, const Address& dst, int protocol,
                           uint16_t port) const {
  for (const Rule& rule : state_->rules) {
    const bool fits =
        std::any_of(rule.grant->ip.begin(), rule.grant->ip.end(), [&](const ProtocolPorts& ip) {
          return protocol_matches(ip, protocol) && port_matches(ip, port);
        });
    if (!fits || !state_->named(state_->sets[rule.src], src, true)) continue;
    if (state_->leads_to(rule, dst) || (rule.self && state_->same_owner(src, dst))) {
      return {true, rule.grant->at};
    }
  }
  return {};
}

}  // namespace es::policy

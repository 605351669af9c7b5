// Sources in wire form.
//
// The form follows what the hosted control plane sends: the addresses of the nodes that are named,
// address ranges as ranges, and for * the tailnet's ranges, then the approved subnet routes, then
// what was named beside the *.
#include "native/policy/index_state.h"

#include <algorithm>
#include <unordered_set>

namespace es::policy {
namespace {

using Kind = Alias::Kind;

}  // namespace

// What the set names, without the routes that * stands for.
Texts IndexState::texts_of(const SelectorSet& set) const {
  const bool narrowed = !set.postures.empty();
  AddressSet fixed;
  std::vector<Address> listed;
  const auto list_if = [&](const Bits& who, auto&& wanted) {
    who.for_each([&](Slot slot) {
      if (!set.own.test(slot)) return;
      for (const Address& a : nodes[slot].node.addresses) {
        if (wanted(a)) listed.push_back(a);
      }
    });
  };
  for (const uint32_t id : set.selectors) {
    const Selector& selector = selectors[id];
    const bool any = selector.alias.is(Kind::kAny) || selector.alias.is(Kind::kDangerAll);
    if (selector.identity || (any && narrowed)) {
      list_if(selector.own, [](const Address&) { return true; });
    } else if (any) {
      fixed.add(tailnet_addresses());
    } else if (narrowed) {
      list_if(selector.own, [&](const Address& a) { return selector.addresses.contains(a); });
    } else {
      fixed.add(selector.addresses);
    }
  }
  std::sort(listed.begin(), listed.end());
  listed.erase(std::unique(listed.begin(), listed.end()), listed.end());
  if (set.own.count() > kMaxListedNodes) {
    for (const Address& a : listed) fixed.add(Range{a, a});
    listed.clear();
  }
  Texts out;
  for (const Range& range : fixed.ranges()) out.push_back(range_text(range));
  for (const Address& a : listed) {
    if (!fixed.contains(a)) out.push_back(a.text());
  }
  return out;
}

const std::shared_ptr<const Texts>& IndexState::source_text(const SelectorSet& set) const {
  const bool with_routes = set.any && set.postures.empty();
  if (set.text != nullptr && (!with_routes || set.text_routes == routes_version)) return set.text;
  Texts out;
  if (set.everything && set.postures.empty()) {
    out.emplace_back("*");
  } else {
    out = texts_of(set);
  }
  if (with_routes && !set.everything) {
    std::unordered_set<std::string> seen(out.begin(), out.end());
    const auto append = [&](std::string text) {
      if (seen.insert(text).second) out.push_back(std::move(text));
    };
    for (const auto& [prefix, number] : route_ids) append(range_text(prefix.range()));
    SelectorSet beside;
    for (const uint32_t id : set.selectors) {
      if (selectors[id].alias.is(Kind::kAny)) continue;
      beside.selectors.push_back(id);
      beside.own.add(selectors[id].own);
    }
    for (std::string& text : texts_of(beside)) append(std::move(text));
  }
  set.text_hash = hash_texts(out);
  set.text_routes = routes_version;
  set.text = std::make_shared<const Texts>(std::move(out));
  return set.text;
}

bool IndexState::routes_overlap(const NodeEntry& node, const Range& range) const {
  return std::any_of(node.routes.begin(), node.routes.end(), [&](uint32_t number) {
    return routes[number].prefix.range().overlaps(range);
  });
}

}  // namespace es::policy

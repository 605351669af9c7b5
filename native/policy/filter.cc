// The packet filter of one node. Rules for ports with the same sources and protocols are one rule,
// as the hosted control plane sends them; capability grants stay apart.
#include "native/policy/index_state.h"

#include <algorithm>
#include <array>

namespace es::policy {
namespace {

using Kind = Alias::Kind;
using tailcfg::CapGrant;
using tailcfg::FilterRule;
using tailcfg::NetPortRange;
using SharedCaps = std::shared_ptr<const tailcfg::CapMap>;
using SharedTexts = std::shared_ptr<const Texts>;

// Granting the first gives the other direction the second, so that a source lists its targets.
struct Companion {
  std::string_view granted;
  std::string_view given;
};
constexpr std::array<Companion, 2> kCompanions = {
    {{"tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"},
     {"tailscale.com/cap/relay", "tailscale.com/cap/relay-target"}}};

// The fewest prefixes that cover exactly this range.
std::vector<Prefix> prefixes_of(const Range& range) {
  std::vector<Prefix> out;
  Address first = range.first;
  while (true) {
    Prefix prefix = Prefix::of(first);
    while (prefix.length > 0) {
      const Prefix wider = prefix.parent();
      if (wider.address != first || wider.range().last > range.last) break;
      prefix = wider;
    }
    out.push_back(prefix);
    first = prefix.range().last;
    if (!(first < range.last)) return out;
    if (++first.lo == 0) ++first.hi;
  }
}

class FilterBuilder {
 public:
  FilterBuilder(const IndexState& state, Slot slot)
      : s_(state), slot_(slot), node_(state.at(slot)), own_(address_texts(node_.node.addresses)) {}

  std::vector<FilterRule> build() {
    for (const Rule& rule : s_.rules) {
      if (!rule.grant->ip.empty()) ports(rule);
      if (rule.self) own_devices(rule);
      if (rule.grant->app != nullptr && !rule.steered) apps(rule);
    }
    return std::move(out_);
  }

 private:
  void add_ports(const SharedTexts& src, uint64_t hash, const ProtocolPorts& ip,
                 std::vector<NetPortRange> ports) {
    if (ports.empty() || src->empty()) return;
    for (const size_t i : by_hash_[hash]) {
      FilterRule& rule = out_[i];
      if (rule.ip_proto == ip.protocols && (rule.src_ips == src || *rule.src_ips == *src)) {
        rule.dst_ports.insert(rule.dst_ports.end(), std::make_move_iterator(ports.begin()),
                              std::make_move_iterator(ports.end()));
        return;
      }
    }
    by_hash_[hash].push_back(out_.size());
    out_.push_back({src, std::move(ports), ip.protocols, {}});
  }

  void ports(const Rule& rule) {
    if (!s_.receives(rule, slot_)) return;
    const SelectorSet& src = s_.sets[rule.src];
    const SharedTexts& text = s_.source_text(src);
    for (const ProtocolPorts& ip : rule.grant->ip) {
      std::vector<NetPortRange> list;
      for (const uint32_t id : s_.sets[rule.dst].selectors) {
        append_ports(rule, s_.selectors[id], ip, list);
      }
      add_ports(text, src.text_hash, ip, std::move(list));
    }
  }

  void append_ports(const Rule& rule, const Selector& selector, const ProtocolPorts& ip,
                    std::vector<NetPortRange>& list) const {
    const auto append = [&](const std::string& text) {
      for (const tailcfg::PortRange& ports : ip.ports) list.push_back({text, ports});
    };
    if (selector.alias.is(Kind::kAny)) {
      if (!rule.steered) return append("*");
      for (const uint32_t number : node_.routes) append(s_.routes[number].prefix.text());
      if (node_.exit) append_internet(append);
      return;
    }
    if (selector.identity) {
      // A via rule leads to what lies behind the router, never to nodes.
      if (rule.steered || !selector.own.test(slot_)) return;
      for (const std::string& text : own_) append(text);
      return;
    }
    for (const Range& range : selector.addresses.ranges()) {
      const auto& mine = node_.node.addresses;
      const bool own =
          !rule.steered && std::any_of(mine.begin(), mine.end(),
                                       [&](const Address& a) { return range.contains(a); });
      const bool exit = node_.exit && (rule.steered ? selector.alias.is(Kind::kInternet)
                                                    : internet_addresses().overlaps(range));
      if (!own && !exit && !s_.routes_overlap(node_, range)) continue;
      append(selector.alias.is(Kind::kInternet) ? range.first.text() + "-" + range.last.text()
                                                : range_text(range));
    }
  }

  // Its ranges are written first-last even where a prefix would do.
  template <class F>
  static void append_internet(const F& append) {
    for (const Range& r : internet_addresses().ranges()) {
      append(r.first.text() + "-" + r.last.text());
    }
  }

  // autogroup:self: between the devices of one user, as far as the rule's sources hold them.
  void own_devices(const Rule& rule) {
    Texts src;
    Texts all;
    bool self_is_source = false;
    for (const Slot slot : s_.own_devices(node_)) {
      const Texts texts = slot == slot_ ? own_ : address_texts(s_.at(slot).node.addresses);
      all.insert(all.end(), texts.begin(), texts.end());
      if (!s_.sets[rule.src].own.test(slot)) continue;
      src.insert(src.end(), texts.begin(), texts.end());
      self_is_source |= slot == slot_;
    }
    if (src.empty()) return;
    std::sort(src.begin(), src.end());
    std::sort(all.begin(), all.end());
    const auto shared = std::make_shared<const Texts>(std::move(src));
    const uint64_t hash = hash_texts(*shared);
    for (const ProtocolPorts& ip : rule.grant->ip) {
      std::vector<NetPortRange> list;
      for (const std::string& text : own_) {
        for (const tailcfg::PortRange& ports : ip.ports) list.push_back({text, ports});
      }
      add_ports(shared, hash, ip, std::move(list));
    }
    if (rule.grant->app == nullptr) return;
    out_.push_back({shared, {}, {}, {{host_prefixes(), rule.grant->app}}});
    if (self_is_source) {
      companions(*rule.grant->app, std::make_shared<const Texts>(std::move(all)), host_prefixes());
    }
  }

  void apps(const Rule& rule) {
    const SelectorSet& src = s_.sets[rule.src];
    const SelectorSet& dst = s_.sets[rule.dst];
    if (dst.selectors.empty()) return;
    FilterRule granted{s_.source_text(src), {}, {}, {}};
    Texts targets;
    for (const uint32_t id : dst.selectors) {
      Texts dsts = prefixes(s_.selectors[id], dst);
      if (!dsts.empty()) granted.cap_grant.push_back({std::move(dsts), rule.grant->app});
    }
    if (!granted.cap_grant.empty()) out_.push_back(std::move(granted));

    const bool has_companion =
        std::any_of(kCompanions.begin(), kCompanions.end(),
                    [&](const Companion& c) { return grants(*rule.grant->app, c.granted); });
    if (!has_companion) return;
    Texts mine;
    for (const uint32_t id : src.selectors) {
      for (std::string& text : prefixes(s_.selectors[id], src)) mine.push_back(std::move(text));
    }
    std::sort(mine.begin(), mine.end());
    mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
    companions(*rule.grant->app, s_.source_text(dst), mine);
  }

  static bool grants(const tailcfg::CapMap& caps, std::string_view name) {
    return std::any_of(caps.begin(), caps.end(), [&](const auto& c) { return c.name == name; });
  }

  void companions(const tailcfg::CapMap& caps, const SharedTexts& src, const Texts& dsts) {
    if (dsts.empty()) return;
    for (const Companion& c : kCompanions) {
      if (!grants(caps, c.granted)) continue;
      const SharedCaps given =
          std::make_shared<const tailcfg::CapMap>(tailcfg::CapMap{{std::string(c.given), {}}});
      out_.push_back({src, {}, {}, {{dsts, given}}});
    }
  }

  Texts host_prefixes() const {
    Texts out;
    for (const Address& a : node_.node.addresses) out.push_back(Prefix::of(a).text());
    return out;
  }

  // What a capability grant to or from the selector means here: the node's own addresses where the
  // selector holds them, and the selector's prefixes where the node routes to them.
  Texts prefixes(const Selector& selector, const SelectorSet& set) const {
    if (selector.identity || selector.alias.is(Kind::kAny)) {
      const bool in = selector.own.test(slot_) && set.own.test(slot_);
      return in ? host_prefixes() : Texts{};
    }
    Texts out;
    for (const Range& range : selector.addresses.ranges()) {
      for (const Address& a : node_.node.addresses) {
        if (range.contains(a) && set.own.test(slot_)) out.push_back(Prefix::of(a).text());
      }
      if (!set.postures.empty() || !s_.routes_overlap(node_, range)) continue;
      for (const Prefix& prefix : prefixes_of(range)) {
        if (s_.routes_overlap(node_, prefix.range())) out.push_back(prefix.text());
      }
    }
    // An address of the node's own may be a prefix to which it routes, too.
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  const IndexState& s_;
  Slot slot_;
  const NodeEntry& node_;
  Texts own_;  // its addresses
  std::vector<FilterRule> out_;
  std::unordered_map<uint64_t, std::vector<size_t>> by_hash_;  // of out_, rules for ports only
};

}  // namespace

std::vector<FilterRule> PolicyIndex::filter_for(NodeId id) const {
  Slot slot = 0;
  if (state_->find(id, slot) == nullptr) return {};
  return FilterBuilder(*state_, slot).build();
}

}  // namespace es::policy

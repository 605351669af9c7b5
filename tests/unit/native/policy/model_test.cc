// The index against a slow, obvious model: each rule read as it stands, each node looked at.
#include "native/policy/index.h"
#include "tests/unit/native/policy/random_policy.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <set>

using namespace es::policy;
using namespace es::policy::test;
using Kind = Alias::Kind;

namespace {

constexpr uint64_t kSeed = 20261122;

// What the model knows: an address is in an alias or it is not.
class Model {
 public:
  explicit Model(const World& world) : w_(world) {}

  bool allowed(const Address& src, const Node& at, const Address& dst, int protocol,
               uint16_t port) const {
    if (!w_.policy->has_rules) return in_tailnet(src);
    return std::any_of(w_.policy->grants.begin(), w_.policy->grants.end(), [&](const Grant& g) {
      return std::any_of(g.ip.begin(), g.ip.end(), [&](const ProtocolPorts& ip) {
        return fits(ip, protocol, port) && leads(g, src, at, dst);
      });
    });
  }

 private:
  static bool fits(const ProtocolPorts& ip, int protocol, uint16_t port) {
    const std::vector<int> usual{1, 6, 17, 58};
    const auto& list = ip.protocols.empty() ? usual : ip.protocols;
    return std::find(list.begin(), list.end(), protocol) != list.end() &&
           std::any_of(ip.ports.begin(), ip.ports.end(),
                       [&](const auto& p) { return p.first <= port && port <= p.last; });
  }

  bool leads(const Grant& g, const Address& src, const Node& at, const Address& dst) const {
    if (!is_source(g, src)) return false;
    const bool tagged_via = std::any_of(g.via.begin(), g.via.end(), [&](const std::string& tag) {
      return std::find(at.tags.begin(), at.tags.end(), tag) != at.tags.end();
    });
    const bool own = std::find(at.addresses.begin(), at.addresses.end(), dst) != at.addresses.end();
    for (const Alias& alias : g.destinations) {
      if (alias.is(Kind::kSelf)) {
        const Node* from = owner(src);
        if (g.via.empty() && own && from != nullptr && from->tags.empty() && at.tags.empty() &&
            user_of(at) != nullptr && from->user == at.user) {
          return true;
        }
      } else if (!g.via.empty()) {
        if (tagged_via && !own && has(alias, dst) && routes(at, dst)) return true;
      } else if (has(alias, dst)) {
        return true;
      }
    }
    return false;
  }

  bool is_source(const Grant& g, const Address& src) const {
    if (!g.postures.empty()) {
      const Node* from = owner(src);
      if (from == nullptr) return false;
      const bool fit = std::any_of(g.postures.begin(), g.postures.end(), [&](const auto& name) {
        return w_.policy->postures.at(name).holds(from->attributes);
      });
      if (!fit) return false;
    }
    return std::any_of(g.sources->begin(), g.sources->end(), [&](const Alias& a) {
      return a.is(Kind::kAny) ? in_tailnet(src) || (g.postures.empty() && routed(src))
                              : has(a, src);
    });
  }

  bool in_tailnet(const Address& a) const { return tailnet_addresses().contains(a); }

  bool routed(const Address& a) const {
    return std::any_of(w_.nodes.begin(), w_.nodes.end(), [&](const Node& n) {
      return std::any_of(n.routes.begin(), n.routes.end(),
                         [&](const Prefix& p) { return !p.is_default() && p.range().contains(a); });
    });
  }

  static bool routes(const Node& n, const Address& a) {
    return std::any_of(n.routes.begin(), n.routes.end(),
                       [&](const Prefix& p) { return p.range().contains(a); });
  }

  const Node* owner(const Address& a) const {
    for (const Node& n : w_.nodes) {
      if (std::find(n.addresses.begin(), n.addresses.end(), a) != n.addresses.end()) return &n;
    }
    return nullptr;
  }

  const User* user_of(const Node& n) const {
    for (const User& u : w_.users) {
      if (n.tags.empty() && n.user == u.id) return &u;
    }
    return nullptr;
  }

  bool has(const Alias& alias, const Address& a) const {
    if (alias.is(Kind::kAny)) return true;
    if (alias.is(Kind::kRange)) return alias.range.contains(a);
    if (alias.is(Kind::kHost)) return w_.policy->hosts.at(alias.name).contains(a);
    if (alias.is(Kind::kIpSet)) return w_.policy->ipsets.at(alias.name).contains(a);
    if (alias.is(Kind::kInternet)) return internet_addresses().contains(a);
    if (alias.is(Kind::kDangerAll)) return true;
    const Node* n = owner(a);
    if (n == nullptr) return false;
    if (alias.is(Kind::kTagged)) return !n->tags.empty();
    if (alias.is(Kind::kTag)) {
      return std::find(n->tags.begin(), n->tags.end(), alias.text) != n->tags.end();
    }
    const User* user = user_of(*n);
    if (alias.is(Kind::kMember)) return n->tags.empty();
    if (user == nullptr) return false;
    if (alias.is(Kind::kUser)) return user->email == alias.text;
    if (alias.is(Kind::kRole)) return user->role == alias.role;
    const auto& group = w_.policy->groups.at(alias.name);
    return std::find(group.begin(), group.end(), user->email) != group.end();
  }

  const World& w_;
};

// A filter as a client would apply it.
bool filter_allows(const std::vector<es::tailcfg::FilterRule>& filter, const Address& src,
                   const Address& dst, int protocol, uint16_t port) {
  const auto in = [](const std::string& text, const Address& a) {
    return text == "*" || parse_range(text)->contains(a);
  };
  const std::vector<int> usual{1, 6, 17, 58};
  for (const auto& rule : filter) {
    const auto& list = rule.ip_proto.empty() ? usual : rule.ip_proto;
    if (std::find(list.begin(), list.end(), protocol) == list.end()) continue;
    const bool from = std::any_of(rule.src_ips->begin(), rule.src_ips->end(),
                                  [&](const std::string& t) { return in(t, src); });
    const bool to =
        std::any_of(rule.dst_ports.begin(), rule.dst_ports.end(), [&](const auto& entry) {
          return in(entry.ip, dst) && entry.ports.first <= port && port <= entry.ports.last;
        });
    if (from && to) return true;
  }
  return false;
}

// The rule of visibility, from the filters alone.
bool filter_names(const std::vector<es::tailcfg::FilterRule>& filter, const Node& other) {
  for (const auto& rule : filter) {
    for (const std::string& text : *rule.src_ips) {
      if (text == "*") return true;
      const Range range = *parse_range(text);
      for (const Address& a : other.addresses) {
        if (range.contains(a)) return true;
      }
      for (const Prefix& p : other.routes) {
        if (!p.is_default() && p.range().overlaps(range)) return true;
      }
    }
  }
  return false;
}

std::vector<Address> addresses(std::initializer_list<const char*> texts) {
  std::vector<Address> out;
  for (const char* text : texts) out.push_back(*Address::parse(text));
  return out;
}

std::string everything(const PolicyIndex& index, const World& w) {
  std::string out;
  for (const Node& n : w.nodes) {
    std::set<std::string> rules;
    for (const auto& rule : index.filter_for(n.id)) {
      std::string text;
      auto sorted = rule;
      auto src = *rule.src_ips;
      std::sort(src.begin(), src.end());
      sorted.src_ips = std::make_shared<const std::vector<std::string>>(src);
      es::tailcfg::append_json(text, sorted);
      rules.insert(text);
    }
    for (const std::string& rule : rules) out += rule + "\n";
    for (const NodeId peer : index.peers_of(n.id)) out += std::to_string(peer) + " ";
    for (const SeenRoute& r : index.routes_seen_by(n.id)) {
      out += std::to_string(r.peer) + "=" + r.prefix.text() + " ";
    }
    out += "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("filters allow what the rules say, and nodes see whom their filters name") {
  const auto outside = addresses({"10.1.0.7", "10.1.2.9", "192.168.0.1", "8.8.8.8", "10.9.0.1"});
  for (uint64_t round = 0; round < 50; ++round) {
    Generator generate(kSeed + round);
    const World w = generate.world();
    INFO("seed " << kSeed + round << ": " << generate.text());
    const PolicyIndex index(w.policy, w.users, w.nodes);
    const Model model(w);
    std::vector<Address> sources = outside;
    for (const Node& n : w.nodes)
      sources.insert(sources.end(), n.addresses.begin(), n.addresses.end());
    for (const Node& at : w.nodes) {
      const auto filter = index.filter_for(at.id);
      std::vector<Address> targets = at.addresses;
      for (const Address& a : outside) {
        for (const Prefix& p : at.routes) {
          // Traffic to the internet is for exit nodes; private space behind a /0 is not.
          const bool exit = p.is_default() && internet_addresses().contains(a);
          if (exit || (!p.is_default() && p.range().contains(a))) targets.push_back(a);
        }
      }
      for (const Address& dst : targets) {
        for (const Address& src : sources) {
          for (const auto& [protocol, port] :
               {std::pair<int, uint16_t>{6, 22}, {6, 443}, {17, 53}}) {
            INFO(src.text() << " -> " << dst.text() << " at " << at.id << " " << protocol << "/"
                            << port);
            REQUIRE(filter_allows(filter, src, dst, protocol, port) ==
                    model.allowed(src, at, dst, protocol, port));
          }
        }
      }
    }
    for (const Node& a : w.nodes) {
      const auto peers = index.peers_of(a.id);
      for (const Node& b : w.nodes) {
        if (a.id == b.id) continue;
        INFO(a.id << " and " << b.id);
        const bool seen =
            filter_names(index.filter_for(a.id), b) || filter_names(index.filter_for(b.id), a);
        REQUIRE(index.visible(a.id, b.id) == seen);
        REQUIRE(std::binary_search(peers.begin(), peers.end(), b.id) == seen);
      }
    }
  }
}

TEST_CASE("nodes that come, change and go leave the index as if built at once") {
  for (uint64_t round = 0; round < 60; ++round) {
    Generator generate(kSeed + 1000 + round);
    World w = generate.world();
    INFO("seed " << kSeed + 1000 + round << ": " << generate.text());
    PolicyIndex index(w.policy, w.users, w.nodes);
    for (int step = 0; step < 20; ++step) {
      const NodeId id = 1 + generate.below(9);
      const auto at =
          std::find_if(w.nodes.begin(), w.nodes.end(), [&](const Node& n) { return n.id == id; });
      (void)index.filter_for(id);  // fills caches that the change must empty
      if (at != w.nodes.end() && generate.below(3) == 0) {
        w.nodes.erase(at);
        index.remove_node(id);
        continue;
      }
      Node node = generate.node(id);
      if (at != w.nodes.end()) {
        *at = node;
      } else {
        w.nodes.push_back(node);
      }
      index.put_node(node);
    }
    const PolicyIndex fresh(w.policy, w.users, w.nodes);
    REQUIRE(everything(index, w) == everything(fresh, w));
  }
}

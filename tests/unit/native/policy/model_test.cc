// The index against a slow, obvious model: each rule read as it stands, each node looked at.
#include "native/policy/index.h"
#include "tests/unit/native/policy/random_policy.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
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

  // Whether src gets the capability at the node when it asks for dst.
  bool capable(std::string_view cap, const Address& src, const Node& at, const Address& dst) const {
    return std::any_of(w_.policy->grants.begin(), w_.policy->grants.end(), [&](const Grant& g) {
      return grants_app(g, cap) && is_source(g, src) &&
             std::any_of(g.destinations.begin(), g.destinations.end(), [&](const Alias& alias) {
               if (alias.is(Kind::kSelf)) return is_own(at, dst) && same_person(owner(src), at);
               if (is_own(at, dst)) return has(alias, dst);
               return !is_node(alias) && !alias.is(Kind::kAny) && has(alias, dst) &&
                      serves(at, dst);
             });
    });
  }

  // Whether from, a target of "drive", may tell the node, a source, that it shares.
  bool sharer(const Address& from, const Node& at, const Address& dst) const {
    return std::any_of(w_.policy->grants.begin(), w_.policy->grants.end(), [&](const Grant& g) {
      return grants_app(g, "tailscale.com/cap/drive") && is_source(g, dst) &&
             std::any_of(g.destinations.begin(), g.destinations.end(), [&](const Alias& alias) {
               if (alias.is(Kind::kSelf)) return same_person(owner(from), at);
               if (alias.is(Kind::kAny)) return in_tailnet(from) || routed(from);
               return has(alias, from);
             });
    });
  }

  // "tests": every source must reach one of the destinations.
  bool connects(const std::vector<Address>& sources, const std::vector<Address>& destinations,
                int protocol, uint16_t port) const {
    const std::vector<int> protocols =
        protocol == 0 ? std::vector{1, 6, 17, 58} : std::vector{protocol};
    return std::all_of(sources.begin(), sources.end(), [&](const Address& src) {
      return std::any_of(destinations.begin(), destinations.end(), [&](const Address& dst) {
        return std::any_of(protocols.begin(), protocols.end(), [&](int p) {
          if (const Node* at = owner(dst); at != nullptr && allowed(src, *at, dst, p, port))
            return true;
          if (owner(dst) == nullptr && allowed(src, Node{}, dst, p, port)) return true;
          return std::any_of(w_.nodes.begin(), w_.nodes.end(), [&](const Node& router) {
            return !is_own(router, dst) && !router.routes.empty() &&
                   allowed(src, router, dst, p, port);
          });
        });
      });
    });
  }

  // What a test tries for an alias: its nodes' addresses, or an address itself.
  std::vector<Address> samples(const Alias& alias) const {
    if (alias.is(Kind::kRange)) return {alias.range.first};
    if (alias.is(Kind::kHost)) return {w_.policy->hosts.at(alias.name).first};
    std::vector<Address> out;
    for (const Node& n : w_.nodes) {
      for (const Address& a : n.addresses) {
        if (has(alias, a)) out.push_back(a);
      }
    }
    return out;
  }

  static bool is_own(const Node& at, const Address& a) {
    return std::find(at.addresses.begin(), at.addresses.end(), a) != at.addresses.end();
  }

  static bool serves(const Node& n, const Address& a) {
    return std::any_of(n.routes.begin(), n.routes.end(),
                       [&](const Prefix& p) { return !p.is_default() && p.range().contains(a); });
  }

 private:
  static bool grants_app(const Grant& g, std::string_view cap) {
    return g.via.empty() && g.app != nullptr &&
           std::any_of(g.app->begin(), g.app->end(), [&](const auto& c) { return c.name == cap; });
  }

  static bool fits(const ProtocolPorts& ip, int protocol, uint16_t port) {
    static const std::vector<int> usual{1, 6, 17, 58};
    const auto& list = ip.protocols.empty() ? usual : ip.protocols;
    return std::find(list.begin(), list.end(), protocol) != list.end() &&
           std::any_of(ip.ports.begin(), ip.ports.end(),
                       [&](const auto& p) { return p.first <= port && port <= p.last; });
  }

  bool leads(const Grant& g, const Address& src, const Node& at, const Address& dst) const {
    return is_source(g, src) &&
           std::any_of(g.destinations.begin(), g.destinations.end(), [&](const Alias& alias) {
             if (!g.via.empty()) return steers(g, alias, at, dst);
             if (alias.is(Kind::kSelf)) return is_own(at, dst) && same_person(owner(src), at);
             return has(alias, dst);
           });
  }

  // Through a router with the tag to what it serves; to the internet only where that is said.
  bool steers(const Grant& g, const Alias& alias, const Node& at, const Address& dst) const {
    const bool tagged = std::any_of(g.via.begin(), g.via.end(), [&](const std::string& tag) {
      return std::find(at.tags.begin(), at.tags.end(), tag) != at.tags.end();
    });
    if (!tagged || is_node(alias) || !has(alias, dst)) return false;
    return std::any_of(at.routes.begin(), at.routes.end(), [&](const Prefix& p) {
      if (!p.is_default()) return p.range().contains(dst);
      return (alias.is(Kind::kAny) || alias.is(Kind::kInternet)) &&
             internet_addresses().contains(dst);
    });
  }

  bool same_person(const Node* a, const Node& b) const {
    return a != nullptr && a->tags.empty() && b.tags.empty() && user_of(b) != nullptr &&
           a->user == b.user;
  }

  // It names nodes, not addresses.
  static bool is_node(const Alias& alias) {
    static const std::set<Kind> addresses{Kind::kAny,   Kind::kRange,    Kind::kHost,
                                          Kind::kIpSet, Kind::kInternet, Kind::kDangerAll};
    return !addresses.contains(alias.kind);
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
    return std::any_of(w_.nodes.begin(), w_.nodes.end(),
                       [&](const Node& n) { return serves(n, a); });
  }

  const Node* owner(const Address& a) const {
    for (const Node& n : w_.nodes) {
      if (is_own(n, a)) return &n;
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
    if (alias.is(Kind::kUserDomain)) return true;  // all of them are of x.com
    const auto& group = w_.policy->groups.at(alias.name);
    return std::find(group.begin(), group.end(), user->email) != group.end();
  }

  const World& w_;
};

// A filter as a client would apply it: texts are read once, there are many questions.
class Filter {
 public:
  explicit Filter(const std::vector<es::tailcfg::FilterRule>& rules) {
    for (const auto& rule : rules) {
      Parsed out;
      for (const std::string& text : *rule.src_ips) out.sources.push_back(place(text));
      const std::vector<int> usual{1, 6, 17, 58};
      out.protocols = rule.ip_proto.empty() ? usual : rule.ip_proto;
      for (const auto& entry : rule.dst_ports) out.ports.emplace_back(place(entry.ip), entry.ports);
      for (const auto& grant : rule.cap_grant) {
        std::vector<Place> dsts;
        for (const std::string& text : grant.dsts) dsts.push_back(place(text));
        out.caps.emplace_back(std::move(dsts), grant.cap_map);
      }
      rules_.push_back(std::move(out));
    }
  }

  bool allows(const Address& src, const Address& dst, int protocol, uint16_t port) const {
    return std::any_of(rules_.begin(), rules_.end(), [&](const Parsed& rule) {
      return any_in(rule.sources, src) &&
             std::find(rule.protocols.begin(), rule.protocols.end(), protocol) !=
                 rule.protocols.end() &&
             std::any_of(rule.ports.begin(), rule.ports.end(), [&](const auto& entry) {
               return in(entry.first, dst) && entry.second.first <= port &&
                      port <= entry.second.last;
             });
    });
  }

  bool grants(std::string_view cap, const Address& src, const Address& dst) const {
    return std::any_of(rules_.begin(), rules_.end(), [&](const Parsed& rule) {
      return any_in(rule.sources, src) &&
             std::any_of(rule.caps.begin(), rule.caps.end(), [&](const auto& grant) {
               return any_in(grant.first, dst) &&
                      std::any_of(grant.second->begin(), grant.second->end(),
                                  [&](const auto& c) { return c.name == cap; });
             });
    });
  }

 private:
  using Place = std::optional<Range>;  // none: anywhere
  static Place place(const std::string& text) {
    return text == "*" ? std::nullopt : Place(parse_range(text).value());
  }
  static bool in(const Place& p, const Address& a) { return !p || p->contains(a); }
  static bool any_in(const std::vector<Place>& list, const Address& a) {
    return std::any_of(list.begin(), list.end(), [&](const Place& p) { return in(p, a); });
  }

  struct Parsed {
    std::vector<Place> sources;
    std::vector<int> protocols;
    std::vector<std::pair<Place, es::tailcfg::PortRange>> ports;
    std::vector<std::pair<std::vector<Place>, std::shared_ptr<const es::tailcfg::CapMap>>> caps;
  };
  std::vector<Parsed> rules_;
};

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

// Says something only about what differs: there are a million questions.
void compare(const Filter& filter, const Model& model, const Address& src, const Node& at,
             const Address& dst) {
  const auto same = [&](bool got, bool want, const char* cap, int protocol, uint16_t port) {
    if (got == want) return;
    INFO(src.text() << " -> " << dst.text() << " at " << at.id << ": " << cap << protocol << "/"
                    << port);
    REQUIRE(got == want);
  };
  for (const auto& [protocol, port] : {std::pair<int, uint16_t>{6, 22}, {6, 443}, {17, 53}}) {
    same(filter.allows(src, dst, protocol, port), model.allowed(src, at, dst, protocol, port), "",
         protocol, port);
  }
  // A grant's prefix is given whole to who routes part of it: only what is served counts.
  if (!Model::is_own(at, dst) && !Model::serves(at, dst)) return;
  for (const char* cap : {"example.com/cap/x", "tailscale.com/cap/drive"}) {
    same(filter.grants(cap, src, dst), model.capable(cap, src, at, dst), cap, 0, 0);
  }
  if (!Model::is_own(at, dst)) return;
  constexpr const char* kSharer = "tailscale.com/cap/drive-sharer";
  same(filter.grants(kSharer, src, dst), model.sharer(src, at, dst), kSharer, 0, 0);
}

}  // namespace

TEST_CASE("filters allow what the rules say, and nodes see whom their filters name") {
  const auto outside =
      addresses({"10.1.0.7", "10.1.2.9", "192.168.0.1", "8.8.8.8", "9.9.9.9", "10.9.0.1",
                 "fd00:1::9", "fd7a:115c:a1e0:b1a:0:7:10.1.0.7", "2001:db8::1", "2600::1"});
  for (uint64_t round = 0; round < 30; ++round) {
    Generator generate(kSeed + round);
    const World w = generate.world();
    INFO("seed " << kSeed + round << ": " << generate.text());
    const PolicyIndex index(w.policy, w.users, w.nodes);
    const Model model(w);
    std::vector<Address> sources = outside;
    for (const Node& n : w.nodes)
      sources.insert(sources.end(), n.addresses.begin(), n.addresses.end());
    std::map<NodeId, std::vector<es::tailcfg::FilterRule>> filters;
    for (const Node& at : w.nodes) {
      const auto& rules = filters[at.id] = index.filter_for(at.id);
      const Filter filter(rules);
      std::vector<Address> targets = at.addresses;
      for (const Address& a : outside) {
        for (const Prefix& p : at.routes) {
          // Traffic to the internet is for exit nodes; private space behind a /0 is not.
          const bool exit = p.is_default() && internet_addresses().contains(a);
          if (exit || (!p.is_default() && p.range().contains(a))) targets.push_back(a);
        }
      }
      for (const Address& dst : targets) {
        for (const Address& src : sources) compare(filter, model, src, at, dst);
      }
    }
    for (const Node& a : w.nodes) {
      const auto peers = index.peers_of(a.id);
      for (const Node& b : w.nodes) {
        if (a.id == b.id) continue;
        INFO(a.id << " and " << b.id);
        const bool seen = filter_names(filters.at(a.id), b) || filter_names(filters.at(b.id), a);
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

TEST_CASE("a policy's tests pass exactly when the model lets the connection through") {
  size_t failed = 0;
  size_t passed = 0;
  for (uint64_t round = 0; round < 300; ++round) {
    Generator generate(kSeed + 2000 + round);
    const World w = generate.world(",\"tests\":[" + generate.policy_test() + "]");
    INFO("seed " << kSeed + 2000 + round << ": " << generate.text());
    const Model model(w);
    const Test& test = w.policy->tests.at(0);
    const bool want = !test.accept.empty();
    const auto split =
        std::get<HostAndPorts>(split_host_ports(want ? test.accept[0] : test.deny[0]));
    const auto source = std::get<Alias>(parse_alias(test.src, {}));
    const auto destination = std::get<Alias>(parse_alias(split.host, {}));
    const auto port = static_cast<uint16_t>(std::stoi(split.ports));
    const auto sources = model.samples(source);
    const auto destinations = model.samples(destination);
    const auto protocols = std::get<std::vector<int>>(parse_protocol(test.proto));
    const int protocol = protocols.empty() ? 0 : protocols[0];
    const bool good = !sources.empty() && !destinations.empty() &&
                      model.connects(sources, destinations, protocol, port) == want;
    Problems problems;
    PolicyIndex(w.policy, w.users, w.nodes).run_tests(problems);
    INFO(problems.text());
    REQUIRE(problems.empty() == good);
    (good ? passed : failed) += 1;
  }
  // Neither answer is the only one.
  CHECK(passed > 30);
  CHECK(failed > 30);
}

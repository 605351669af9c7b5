// The index against a slow, obvious model: each rule read as it stands, each node looked at.
#include "native/policy/index.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <set>

using namespace es::policy;
using Kind = Alias::Kind;

namespace {

constexpr uint64_t kSeed = 20261122;

struct World {
  std::shared_ptr<const Policy> policy;
  std::vector<User> users;
  std::vector<Node> nodes;
};

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

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
  template <class T>
  const T& pick(const std::vector<T>& list) {
    return list[below(list.size())];
  }

  std::string list(const std::vector<std::string>& from) {
    std::string out = "[";
    for (size_t n = 1 + below(3); n > 0; --n) out += "\"" + pick(from) + "\"" + (n > 1 ? "," : "");
    return out + "]";
  }

  std::string policy() {
    const std::vector<std::string> people{"u0@x.com",       "u1@x.com", "u2@x.com",
                                          "group:a",        "group:b",  "autogroup:member",
                                          "autogroup:admin"};
    std::vector<std::string> sources{"*",
                                     "tag:a",
                                     "tag:b",
                                     "tag:c",
                                     "net",
                                     "one",
                                     "ipset:s",
                                     "100.64.0.3",
                                     "100.64.0.0/30",
                                     "fd7a:115c:a1e0::2",
                                     "10.1.0.0-10.1.0.99",
                                     "autogroup:tagged"};
    sources.insert(sources.end(), people.begin(), people.end());
    std::vector<std::string> destinations = sources;
    destinations.emplace_back("autogroup:internet");
    sources.emplace_back("autogroup:danger-all");
    const std::vector<std::string> ports{"*", "22", "80,443", "100-200"};
    const std::vector<std::string> ips{"*", "22", "tcp:80-443", "udp:53", "icmp:*"};
    std::string grants;
    for (size_t n = below(6); n > 0; --n) {
      const bool self = below(6) == 0;
      const bool via = !self && below(4) == 0;
      grants += "{\"src\":" + list(self ? people : sources) +
                ",\"dst\":" + (self ? "[\"autogroup:self\"]" : list(destinations)) +
                ",\"ip\":" + list(ips) + (via ? ",\"via\":[\"tag:" + tag() + "\"]" : "") +
                (below(5) == 0 ? ",\"srcPosture\":[\"posture:p\"]" : "") + "},";
    }
    std::string acls;
    for (size_t n = below(5); n > 0; --n) {
      const std::string proto = below(4) == 0 ? "\"proto\":\"tcp\"," : "";
      acls += "{\"action\":\"accept\"," + proto + "\"src\":" + list(sources) + ",\"dst\":[\"" +
              pick(destinations) + ":" + pick(ports) + "\",\"" + pick(destinations) + ":*\"]},";
    }
    return R"({"groups":{"group:a":["u0@x.com","u1@x.com"],"group:b":["u2@x.com"]},
      "hosts":{"net":"10.1.0.0/16","one":"100.64.0.5"},
      "ipsets":{"ipset:s":["10.0.0.0/8","remove 10.1.2.0/24","add 100.64.0.6"]},
      "tagOwners":{"tag:a":[],"tag:b":[],"tag:c":[]},"postures":{"posture:p":["node:os=='x'"]},
      "grants":[)" +
           grants + "],\"acls\":[" + acls + "]}";
  }

  Node node(NodeId id) {
    Node n;
    n.id = id;
    n.addresses = {*Address::parse("100.64.0." + std::to_string(id)),
                   *Address::parse("fd7a:115c:a1e0::" + std::to_string(id))};
    if (below(2) == 0) {
      for (size_t k = 1 + below(2); k > 0; --k) n.tags.push_back("tag:" + tag());
      std::sort(n.tags.begin(), n.tags.end());
      n.tags.erase(std::unique(n.tags.begin(), n.tags.end()), n.tags.end());
    } else {
      n.user = below(4);  // the last is no user
    }
    const std::vector<std::string> routes{"10.1.0.0/16", "10.1.2.0/24", "192.168.0.0/24",
                                          "0.0.0.0/0"};
    if (below(3) == 0) n.routes.push_back(*Prefix::parse(pick(routes)));
    if (below(2) == 0) n.attributes["node:os"] = "x";
    n.serving = below(4) != 0;
    return n;
  }

  World world() {
    World w;
    Problems problems;
    text_ = policy();
    w.policy = read_policy(text_, {}, problems);
    INFO(text_);
    INFO(problems.text());
    REQUIRE(w.policy != nullptr);
    for (UserId i = 0; i < 3; ++i) {
      const std::string name = "u" + std::to_string(i);
      w.users.push_back({i, name, name + "@x.com", "", i == 0 ? Role::kAdmin : Role::kMember});
    }
    for (NodeId id = 1; id <= 9; ++id) w.nodes.push_back(node(id));
    return w;
  }

  const std::string& text() const { return text_; }

 private:
  std::string tag() { return std::string(1, static_cast<char>('a' + below(3))); }

  std::mt19937_64 random_;
  std::string text_;
};

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

// Random policies and small tailnets that exercise every part of a policy against each other.
#pragma once

#include "native/policy/index.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace es::policy::test {

struct World {
  std::shared_ptr<const Policy> policy;
  std::vector<User> users;
  std::vector<Node> nodes;
};

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

  // `more` follows the other sections, with a comma first.
  std::string policy(const std::string& more = "") {
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
           grants + "],\"acls\":[" + acls + "]" + more + "}";
  }

  // Sections that the model does not know: SSH, attributes, capabilities, approvers.
  std::string sections() {
    const std::vector<std::string> people{"u0@x.com", "group:a", "group:b", "autogroup:member"};
    std::string ssh;
    for (size_t n = below(4); n > 0; --n) {
      const bool self = below(2) == 0;
      const std::string src = self || below(2) == 0 ? pick(people) : "tag:" + tag();
      const std::string users = below(3) == 0 ? "localpart:*@x.com" : "autogroup:nonroot";
      ssh += std::string("{\"action\":\"") + (below(3) == 0 ? "check" : "accept") +
             "\",\"src\":[\"" + src + "\"],\"dst\":[\"" +
             (self ? std::string("autogroup:self") : "tag:" + tag()) + "\"],\"users\":[\"" + users +
             "\"]},";
    }
    std::string attrs = "{\"target\":[\"tag:" + tag() + "\"],\"attr\":[\"funnel\"]},";
    if (below(3) == 0) attrs += R"({"target":["u2@x.com"],"attr":["disable-ipv4"]},)";
    return ",\"ssh\":[" + ssh + "],\"nodeAttrs\":[" + attrs +
           R"(],"autoApprovers":{"routes":{"10.1.0.0/16":["tag:)" + tag() +
           R"("]},"exitNode":["u1@x.com"]})";
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

  World world(const std::string& more = "") {
    World w;
    Problems problems;
    text_ = policy(more);
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

}  // namespace es::policy::test

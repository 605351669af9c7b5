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
    std::vector<std::string> items;
    for (size_t n = 1 + below(3); n > 0; --n) items.push_back("\"" + pick(from) + "\"");
    return "[" + joined(items) + "]";
  }

  // `more` follows the other sections, with a comma first.
  std::string policy(const std::string& more = "") {
    std::vector<std::string> grants;
    for (size_t n = below(6); n > 0; --n) grants.push_back(grant());
    std::vector<std::string> acls;
    for (size_t n = below(5); n > 0; --n) acls.push_back(acl());
    return R"({"groups":{"group:a":["u0@x.com","u1@x.com"],"group:b":["u2@x.com"]},
      "hosts":{"net":"10.1.0.0/16","one":"100.64.0.5","six":"fd00:1::/64","via6":"fd7a:115c:a1e0:b1a:0:7:a01:0/112"},
      "ipsets":{"ipset:s":["10.0.0.0/8","remove 10.1.2.0/24","add 100.64.0.6","six"],
                "ipset:t":["ipset:s","remove six","fd7a:115c:a1e0::4-fd7a:115c:a1e0::7"]},
      "tagOwners":{"tag:a":[],"tag:b":[],"tag:c":[]},
      "postures":{"posture:p":["node:os=='x'"],"posture:q":["node:os NOT SET"]},
      "grants":[)" +
           joined(grants) + "],\"acls\":[" + joined(acls) + "]" +
           (below(8) == 0 ? R"(,"defaultSrcPosture":["posture:p","posture:q"])" : "") + more + "}";
  }

  // One of "tests"; whether it passes is for the model to say.
  std::string policy_test() {
    const std::vector<std::string> sources{"*",
                                           "tag:a",
                                           "u0@x.com",
                                           "group:a",
                                           "one",
                                           "100.64.0.3",
                                           "autogroup:member",
                                           "10.1.0.7",
                                           "autogroup:tagged"};
    const std::vector<std::string> destinations{
        "tag:b:22",       "u1@x.com:80", "one:443",
        "10.1.0.7:22",    "10.1.2.9:80", "8.8.8.8:53",
        "*:150",          "group:b:22",  "[fd7a:115c:a1e0::2]:22",
        "[fd00:1::9]:443"};
    const std::vector<std::string> protocols{"", "tcp", "udp", "6"};
    return R"({"src":")" + pick(sources) + R"(","proto":")" + pick(protocols) + "\",\"" +
           (below(2) == 0 ? "accept" : "deny") + R"(":[")" + pick(destinations) + "\"]}";
  }

  // Sections that the model does not know: SSH, attributes, capabilities, approvers.
  std::string sections() {
    const std::vector<std::string> people{"u0@x.com", "group:a", "group:b", "autogroup:member"};
    std::vector<std::string> ssh;
    for (size_t n = below(4); n > 0; --n) {
      const bool self = below(2) == 0;
      const std::string src = self || below(2) == 0 ? pick(people) : "tag:" + tag();
      const std::string users = below(3) == 0 ? "localpart:*@x.com" : "autogroup:nonroot";
      ssh.push_back(std::string("{\"action\":\"") + (below(3) == 0 ? "check" : "accept") +
                    "\",\"src\":[\"" + src + "\"],\"dst\":[\"" +
                    (self ? std::string("autogroup:self") : "tag:" + tag()) + "\"],\"users\":[\"" +
                    users + "\"]}");
    }
    std::string attrs = "{\"target\":[\"tag:" + tag() + "\"],\"attr\":[\"funnel\"]}";
    if (below(3) == 0) attrs += R"(,{"target":["u2@x.com"],"attr":["disable-ipv4"]})";
    return ",\"ssh\":[" + joined(ssh) + "],\"nodeAttrs\":[" + attrs +
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
    const std::vector<std::string> routes{"10.1.0.0/16",    "10.1.2.0/24",
                                          "192.168.0.0/24", "8.8.0.0/16",
                                          "fd00:1::/64",    "fd7a:115c:a1e0:b1a:0:7:a01:0/112"};
    if (below(3) == 0) n.routes.push_back(*Prefix::parse(pick(routes)));
    if (below(6) == 0) {
      n.routes.push_back(*Prefix::parse("0.0.0.0/0"));
      n.routes.push_back(*Prefix::parse("::/0"));
    }
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
  static std::string joined(const std::vector<std::string>& items) {
    std::string out;
    for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
    return out;
  }

  const std::vector<std::string> people_{"u0@x.com",        "u1@x.com",    "u2@x.com",
                                         "group:a",         "group:b",     "autogroup:member",
                                         "autogroup:admin", "user:*@x.com"};

  std::vector<std::string> sources() {
    std::vector<std::string> out = places();
    out.emplace_back("autogroup:danger-all");
    return out;
  }
  std::vector<std::string> destinations() {
    std::vector<std::string> out = places();
    out.insert(out.end(), {"autogroup:internet", "8.8.8.8", "8.0.0.0/6", "2000::/4"});
    return out;
  }
  std::vector<std::string> places() {
    std::vector<std::string> out{"*",
                                 "tag:a",
                                 "tag:b",
                                 "tag:c",
                                 "net",
                                 "one",
                                 "six",
                                 "via6",
                                 "ipset:s",
                                 "ipset:t",
                                 "100.64.0.3",
                                 "100.64.0.0/30",
                                 "100.64.0.4-100.64.0.7",
                                 "fd7a:115c:a1e0::2",
                                 "fd7a:115c:a1e0::/125",
                                 "10.1.0.0-10.1.0.99",
                                 "autogroup:tagged"};
    out.insert(out.end(), people_.begin(), people_.end());
    return out;
  }

  std::string posture() {
    const std::vector<std::string> names{"posture:p", "posture:q"};
    return below(5) == 0 ? ",\"srcPosture\":" + list(names) : "";
  }

  std::string grant() {
    const std::vector<std::string> ips{"*", "22", "tcp:80-443", "udp:53", "icmp:*", "6:22,80"};
    const std::vector<std::string> apps{
        R"({"example.com/cap/x":[{"v":1}]})",
        R"({"tailscale.com/cap/drive":[{"shares":["*"]}],"example.com/cap/x":[]})"};
    const bool self = below(6) == 0;
    const bool via = !self && below(4) == 0;
    const std::string src = list(self ? people_ : sources());
    std::string dst = self ? "[\"autogroup:self\"]" : list(destinations());
    if (self && below(3) == 0) dst = "[\"autogroup:self\",\"tag:" + tag() + "\"]";
    // An app has no meaning on the internet.
    const bool app = dst.find("internet") == std::string::npos && below(3) == 0;
    return "{\"src\":" + src + ",\"dst\":" + dst +
           (!app || below(2) == 0 ? ",\"ip\":" + list(ips) : "") +
           (app ? ",\"app\":" + pick(apps) : "") + (via ? ",\"via\":[\"tag:" + tag() + "\"]" : "") +
           posture() + "}";
  }

  std::string acl() {
    const std::vector<std::string> ports{"*", "22", "80,443", "100-200"};
    const std::string proto = below(4) == 0 ? "\"proto\":\"tcp\"," : "";
    const bool self = below(6) == 0;
    const auto destination = [&] {
      const std::string host = pick(destinations());
      const bool bare = host.find("::") != std::string::npos && host.find('/') == std::string::npos;
      return "\"" + (bare ? "[" + host + "]" : host) + ":" + pick(ports) + "\"";
    };
    const std::string first = destination();
    return "{\"action\":\"accept\"," + proto + "\"src\":" + list(self ? people_ : sources()) +
           ",\"dst\":[" + first + "," + (self ? "\"autogroup:self:*\"" : destination()) + "]" +
           posture() + "}";
  }

  std::string tag() { return std::string(1, static_cast<char>('a' + below(3))); }

  std::mt19937_64 random_;
  std::string text_;
};

}  // namespace es::policy::test

// Policies that say the same in other words give the same answers. Where the hosted service makes a
// difference between two such ways of writing, a capture shows it and the pair is not here.
#include "native/policy/index.h"
#include "tests/unit/native/policy/random_policy.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <set>

using namespace es::policy;
using namespace es::policy::test;
using nlohmann::json;

namespace {

constexpr uint64_t kSeed = 4;
constexpr uint64_t kRounds = 8;

std::string sorted_filter(const PolicyIndex& index, NodeId id) {
  std::multiset<std::string> rules;
  for (const auto& rule : index.filter_for(id)) {
    std::string text;
    es::tailcfg::append_json(text, rule);
    json out = json::parse(text);
    for (const char* key : {"SrcIPs", "DstPorts"}) {
      if (out.contains(key)) std::sort(out[key].begin(), out[key].end());
    }
    for (json& grant : out.value("CapGrant", json::array())) {
      std::sort(grant["Dsts"].begin(), grant["Dsts"].end());
    }
    rules.insert(out.dump());
  }
  std::string all;
  for (const std::string& rule : rules) all += rule + "\n";
  return all;
}

// All that a node gets, in one fixed order.
std::string answers(const PolicyIndex& index, NodeId id) {
  std::string out = sorted_filter(index, id);
  es::tailcfg::append_json(out, index.ssh_rules_for(id));
  es::tailcfg::append_json(out, index.attributes_of(id));
  for (const NodeId peer : index.peers_of(id)) out += " " + std::to_string(peer);
  for (const SeenRoute& r : index.routes_seen_by(id)) {
    out += " " + std::to_string(r.peer) + "=" + r.prefix.text();
  }
  return out;
}

PolicyIndex compile(const std::string& text, const World& w, Format format = Format::kAuto) {
  Problems problems;
  ReadOptions options;
  options.format = format;
  auto policy = read_policy(text, options, problems);
  INFO(text);
  INFO(problems.text());
  REQUIRE(policy != nullptr);
  return PolicyIndex(std::move(policy), w.users, w.nodes);
}

// A random policy, and what it gives each node.
struct Base {
  World world;
  std::string text;
  std::map<NodeId, std::string> answers;
};

// Each is made once for all relations.
const Base& base(uint64_t round) {
  static std::map<uint64_t, Base> made;
  const auto [at, fresh] = made.try_emplace(round);
  Base& b = at->second;
  if (!fresh) return b;
  Generator generate(kSeed + round);
  b.world = generate.world(generate.sections());
  b.text = generate.text();
  const PolicyIndex index = compile(b.text, b.world);
  for (const Node& n : b.world.nodes) b.answers[n.id] = answers(index, n.id);
  return b;
}

// For random policies: what `other` makes of one gives every node the same.
void same_answers(const std::function<void(json&)>& other) {
  size_t changed = 0;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const Base& a = base(round);
    const json original = json::parse(a.text);
    json policy = original;
    other(policy);
    const std::string text = policy.dump();
    INFO("seed " << kSeed + round << ": " << a.text << "\nbecame " << text);
    changed += policy != original ? 1 : 0;
    const PolicyIndex b = compile(text, a.world);
    for (const Node& n : a.world.nodes) {
      INFO("node " << n.id);
      REQUIRE(a.answers.at(n.id) == answers(b, n.id));
    }
  }
  CHECK(changed > kRounds / 3);  // else the test says nothing
}

void each_rule(json& policy, const std::function<void(json&)>& f) {
  for (const char* section : {"grants", "acls"}) {
    for (json& rule : policy[section]) f(rule);
  }
}

// In every list of names of the rules, `name` becomes `others`, once: a name may stand in a list
// beside what it stands for.
void replace(json& policy, const std::string& name, const std::vector<std::string>& others) {
  const auto in_list = [&](json& list, const std::string& tail) {
    json out = json::array();
    for (const json& item : list) {
      const std::string text = item;
      const std::string end = text.substr(0, name.size()) == name ? text.substr(name.size()) : "-";
      const bool hit = tail.empty() ? text == name : end.substr(0, 1) == tail;
      if (!hit) out.push_back(item);
      for (const std::string& one : others) {
        // With a port behind it an IPv6 address stands in brackets.
        const bool bare = one.find(':') != std::string::npos &&
                          one.find("::") != std::string::npos && one.find('/') == std::string::npos;
        if (hit) out.push_back(tail.empty() ? one : (bare ? "[" + one + "]" : one) + end);
      }
    }
    list = out;
  };
  for (json& grant : policy["grants"]) {
    in_list(grant["src"], "");
    in_list(grant["dst"], "");
  }
  for (json& acl : policy["acls"]) {
    in_list(acl["src"], "");
    in_list(acl["dst"], ":");
  }
}

// The parts of "host:ports", where the host may have colons too.
std::pair<std::string, std::string> split(const std::string& destination) {
  const auto parts = std::get<HostAndPorts>(split_host_ports(destination));
  return {parts.host, parts.ports};
}

}  // namespace

TEST_CASE("an acl means what the grants say that have one of its destinations each") {
  same_answers([](json& policy) {
    for (const json& acl : policy["acls"]) {
      const std::string proto = acl.value("proto", "");
      for (const std::string destination : acl["dst"]) {
        const auto [host, ports] = split(destination);
        json ip = json::array();
        size_t from = 0;
        while (from <= ports.size()) {
          const size_t comma = std::min(ports.find(',', from), ports.size());
          ip.push_back((proto.empty() ? "" : proto + ":") + ports.substr(from, comma - from));
          from = comma + 1;
        }
        json grant{{"src", acl["src"]}, {"dst", {host}}, {"ip", ip}};
        if (acl.contains("srcPosture")) grant["srcPosture"] = acl["srcPosture"];
        policy["grants"].push_back(grant);
      }
    }
    policy["acls"] = json::array();
  });
}

TEST_CASE("a rule means what two rules say that share out its destinations or its ports") {
  same_answers([](json& policy) {
    json acls = json::array();
    for (const json& acl : policy["acls"]) {
      for (const json& destination : acl["dst"]) {
        acls.push_back(acl);
        acls.back()["dst"] = {destination};
      }
    }
    policy["acls"] = acls;
    json grants = json::array();
    for (const json& grant : policy["grants"]) {
      // Beside an app each destination would make a rule of its own: the form of the filter is
      // another, not what it allows.
      if (grant.contains("app")) {
        grants.push_back(grant);
        continue;
      }
      for (const json& ip : grant["ip"]) {
        grants.push_back(grant);
        grants.back()["ip"] = {ip};
      }
    }
    policy["grants"] = grants;
  });
}

TEST_CASE("the order of names within a rule says nothing") {
  same_answers([](json& policy) {
    each_rule(policy, [](json& rule) {
      std::reverse(rule["src"].begin(), rule["src"].end());
      if (!rule.contains("app")) std::reverse(rule["dst"].begin(), rule["dst"].end());
      if (rule.contains("ip")) std::reverse(rule["ip"].begin(), rule["ip"].end());
    });
  });
}

TEST_CASE("the order of rules and of sections says nothing but for SSH") {
  same_answers([](json& policy) {
    for (const char* section : {"grants", "acls", "nodeAttrs"}) {
      std::reverse(policy[section].begin(), policy[section].end());
    }
  });
}

TEST_CASE("a name that stands twice in the sources of a rule adds nothing") {
  same_answers([](json& policy) {
    each_rule(policy, [](json& rule) { rule["src"].push_back(rule["src"][0]); });
  });
}

TEST_CASE("a group is its members") {
  same_answers([](json& policy) {
    replace(policy, "group:b", {"u2@x.com"});
    for (json& grant : policy["grants"]) {
      json src = json::array();
      for (const json& item : grant["src"]) {
        if (item != "group:a") src.push_back(item);
        if (item == "group:a") src.insert(src.end(), {"u0@x.com", "u1@x.com"});
      }
      grant["src"] = src;
    }
  });
}

TEST_CASE("a host is its address, an ipset of one prefix is that prefix") {
  same_answers([](json& policy) {
    replace(policy, "net", {"10.1.0.0/16"});
    replace(policy, "one", {"ipset:one"});
    replace(policy, "six", {"host:six"});
    replace(policy, "via6", {"fd7a:115c:a1e0:b1a::7:10.1.0.0/112"});
    policy["ipsets"]["ipset:one"] = {"one"};
  });
}

TEST_CASE("a user may be called by name and @, by mail, or as everybody of the domain") {
  same_answers([](json& policy) {
    replace(policy, "u1@x.com", {"u1@"});
    replace(policy, "user:*@x.com", {"u0@x.com", "u1@x.com", "u2@x.com"});
  });
}

TEST_CASE("an address may be written with host bits, in capitals, as a range, with spaces around") {
  same_answers([](json& policy) {
    replace(policy, "100.64.0.0/30", {"100.64.0.3/30"});
    replace(policy, "100.64.0.4-100.64.0.7", {"100.64.0.4/30"});
    replace(policy, "fd7a:115c:a1e0::/125", {"FD7A:115C:A1E0:0:0:0:0:7/125"});
    replace(policy, "8.0.0.0/6", {"8.0.0.0-11.255.255.255"});
    each_rule(policy, [](json& rule) {
      for (json& item : rule["src"]) item = " " + item.get<std::string>() + "\t";
    });
  });
}

TEST_CASE("a protocol may be given by its name in any case or by its number") {
  same_answers([](json& policy) {
    for (json& acl : policy["acls"]) {
      if (acl.contains("proto")) acl["proto"] = "6";
    }
    for (json& grant : policy["grants"]) {
      if (!grant.contains("ip")) continue;
      for (json& ip : grant["ip"]) {
        const std::string text = ip;
        if (text == "tcp:80-443") ip = "6:80-443";
        if (text == "udp:53") ip = "UDP:53";
        if (text == "icmp:*") ip = "1:*";
        if (text == "6:22,80") ip = "Tcp: 22, 80";
      }
    }
  });
}

TEST_CASE("fields that are null or empty are fields that are not there, in any case of letters") {
  same_answers([](json& policy) {
    json out{{"TESTS", nullptr}, {"sshtests", json::array()}, {"RandomizeClientPort", false}};
    for (const auto& [key, value] : policy.items()) {
      std::string upper = key;
      for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
      out[upper] = value;
    }
    for (json& grant : out["GRANTS"]) {
      for (const char* key : {"via", "ip", "app"}) {
        if (!grant.contains(key)) grant[key] = nullptr;
      }
      if (!grant.contains("srcPosture")) grant["SRCPOSTURE"] = nullptr;
    }
    for (json& acl : out["ACLS"]) acl["#ha-meta"] = {{"open", true}};
    policy = out;
  });
}

TEST_CASE("a policy says the same as YAML") {
  for (uint64_t round = 0; round < kRounds; ++round) {
    Generator generate(kSeed + round);
    const World w = generate.world(generate.sections());
    INFO("seed " << kSeed + round << ": " << generate.text());
    const PolicyIndex a = compile(generate.text(), w, Format::kHuJson);
    const PolicyIndex b = compile(json::parse(generate.text()).dump(), w, Format::kYaml);
    for (const Node& n : w.nodes) REQUIRE(answers(a, n.id) == answers(b, n.id));
  }
}

TEST_CASE("a node that no rule names changes no filter") {
  for (uint64_t round = 0; round < kRounds; ++round) {
    Generator generate(kSeed + round);
    World w = generate.world(generate.sections());
    INFO("seed " << kSeed + round << ": " << generate.text());
    // Not by its tags, and autogroup:tagged is named by nobody.
    json policy = json::parse(generate.text());
    replace(policy, "autogroup:tagged", {"tag:a"});
    const PolicyIndex before = compile(policy.dump(), w);
    Node stranger;
    stranger.id = 1000;
    stranger.tags = {"tag:other"};
    stranger.addresses = {*Address::parse("100.99.0.1"), *Address::parse("fd7a:115c:a1e0::9:1")};
    stranger.attributes["node:os"] = "y";  // fits no posture
    PolicyIndex after = compile(policy.dump(), w);
    const Impact impact = after.put_node(stranger);
    CHECK(impact.filters.count() <= 1);
    for (const Node& n : w.nodes) {
      REQUIRE(sorted_filter(before, n.id) == sorted_filter(after, n.id));
      CHECK(before.routes_seen_by(n.id) == after.routes_seen_by(n.id));
    }
  }
}

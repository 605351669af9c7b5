// A small tailnet for tests: two people's laptops, servers, two routers of one subnet, an exit
// node.
#pragma once

#include "native/policy/index.h"

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

namespace es::policy::test {

inline constexpr NodeId kAlice = 1;
inline constexpr NodeId kAlice2 = 2;
inline constexpr NodeId kBob = 3;
inline constexpr NodeId kWeb = 4;
inline constexpr NodeId kRouterA = 5;  // 10.0.0.0/16
inline constexpr NodeId kRouterB = 6;  // 10.0.0.0/16 too
inline constexpr NodeId kExit = 7;

inline Node node(NodeId id, std::optional<UserId> user, std::vector<std::string> tags,
                 std::vector<std::string> routes = {}) {
  Node n;
  n.id = id;
  n.user = user;
  n.tags = std::move(tags);
  n.addresses = {*Address::parse("100.64.0." + std::to_string(id)),
                 *Address::parse("fd7a:115c:a1e0::" + std::to_string(id))};
  for (const std::string& r : routes) n.routes.push_back(*Prefix::parse(r));
  return n;
}

inline std::vector<User> users() {
  return {{10, "alice", "alice@example.com", "", Role::kAdmin},
          {20, "bob", "bob@example.com", "", Role::kMember}};
}

inline std::vector<Node> nodes() {
  return {node(kAlice, 10, {}),
          node(kAlice2, 10, {}),
          node(kBob, 20, {}),
          node(kWeb, {}, {"tag:web"}),
          node(kRouterA, {}, {"tag:router", "tag:a"}, {"10.0.0.0/16"}),
          node(kRouterB, {}, {"tag:router", "tag:b"}, {"10.0.0.0/16"}),
          node(kExit, {}, {"tag:exit"}, {"0.0.0.0/0", "::/0"})};
}

// The policy with names for all of this and the given sections; fails the test if it is refused.
inline std::unique_ptr<PolicyIndex> index_of(const std::string& sections,
                                             std::vector<Node> who = nodes()) {
  Problems problems;
  const std::string text = R"({"groups": {"group:dev": ["alice@example.com", "bob@example.com"]},
    "hosts": {"net": "10.0.0.0/16"}, "tagOwners": {"tag:web": ["bob@"], "tag:router": ["tag:web"],
    "tag:a": ["autogroup:admin"], "tag:b": [], "tag:exit": ["group:dev"]},)" +
                           sections + "}";
  auto index = load_policy(text, {}, users(), who, problems);
  INFO(problems.text());
  REQUIRE(index != nullptr);
  return index;
}

inline std::string filter_text(const PolicyIndex& index, NodeId id) {
  std::string out;
  tailcfg::append_json(out, index.filter_for(id));
  return out;
}

}  // namespace es::policy::test

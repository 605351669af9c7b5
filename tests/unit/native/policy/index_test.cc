#include "native/policy/index.h"

#include "tests/unit/native/policy/tailnet_fixture.h"

using namespace es::policy;
using namespace es::policy::test;

namespace {

std::vector<std::string> routes_of(const PolicyIndex& index, NodeId viewer) {
  std::vector<std::string> out;
  for (const SeenRoute& r : index.routes_seen_by(viewer)) {
    out.push_back(std::to_string(r.peer) + " " + r.prefix.text());
  }
  return out;
}

using List = std::vector<std::string>;
using Ids = std::vector<NodeId>;

}  // namespace

TEST_CASE("a router that serves a shared route keeps it when something else about it changes") {
  auto index = index_of(R"("grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}])");
  const Prefix route = *Prefix::parse("10.0.0.0/16");
  const auto holder = [&] {
    for (const SeenRoute& r : index->routes_seen_by(kAlice)) {
      if (r.prefix == route) return r.peer;
    }
    return NodeId{0};
  };
  CHECK(holder() == kRouterA);
  index->prefer_router(route, kRouterB);
  CHECK(holder() == kRouterB);
  Node b = nodes()[5];
  b.tags = {"tag:router"};
  (void)index->put_node(b);
  CHECK(holder() == kRouterB);
  // Gone, it is preferred no more; nor is who comes after it in its place.
  (void)index->remove_node(kRouterB);
  b.id = 60;
  (void)index->put_node(b);
  CHECK(holder() == kRouterA);
}

TEST_CASE("without rules everything is allowed, with an empty list nothing is") {
  CHECK(index_of("")->peers_of(kAlice).size() == 6);
  const auto closed = index_of(R"("acls": [])");
  CHECK(closed->peers_of(kAlice).empty());
  CHECK(closed->filter_for(kAlice).empty());
}

TEST_CASE("a filter has what concerns its node, and both ends see each other") {
  const auto index =
      index_of(R"("acls": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:web:80,443"]},
                           {"action": "accept", "proto": "tcp", "src": ["bob@example.com"],
                            "dst": ["tag:web:22"]}])");
  CHECK(filter_text(*index, kWeb) ==
        R"([{"SrcIPs":["100.64.0.1","100.64.0.2","100.64.0.3","fd7a:115c:a1e0::1",)"
        R"("fd7a:115c:a1e0::2","fd7a:115c:a1e0::3"],"DstPorts":[)"
        R"({"IP":"100.64.0.4","Ports":{"First":80,"Last":80}},)"
        R"({"IP":"100.64.0.4","Ports":{"First":443,"Last":443}},)"
        R"({"IP":"fd7a:115c:a1e0::4","Ports":{"First":80,"Last":80}},)"
        R"({"IP":"fd7a:115c:a1e0::4","Ports":{"First":443,"Last":443}}]},)"
        R"({"SrcIPs":["100.64.0.3","fd7a:115c:a1e0::3"],"DstPorts":[)"
        R"({"IP":"100.64.0.4","Ports":{"First":22,"Last":22}},)"
        R"({"IP":"fd7a:115c:a1e0::4","Ports":{"First":22,"Last":22}}],"IPProto":[6]}])");
  CHECK(index->filter_for(kAlice).empty());
  CHECK(index->peers_of(kWeb) == Ids{kAlice, kAlice2, kBob});
  CHECK(index->peers_of(kAlice) == Ids{kWeb});
  CHECK(index->visible(kBob, kWeb));
  CHECK_FALSE(index->visible(kAlice, kBob));
}

TEST_CASE("autogroup:self stays within one user's untagged devices") {
  const auto index = index_of(
      R"("grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]}])");
  CHECK(index->peers_of(kAlice) == Ids{kAlice2});
  CHECK(index->peers_of(kBob).empty());
  CHECK(index->peers_of(kWeb).empty());
}

TEST_CASE("of two routers of one prefix the older serves it, until it is down") {
  const char* rules = R"("grants": [{"src": ["group:dev"], "dst": ["net"], "ip": ["*"]}])";
  auto index = index_of(rules);
  CHECK(routes_of(*index, kAlice) == List{"5 10.0.0.0/16"});
  CHECK(index->peers_of(kAlice) == Ids{kRouterA, kRouterB});
  CHECK(routes_of(*index, kRouterB) == List{"5 10.0.0.0/16"});
  CHECK(routes_of(*index, kWeb).empty());
  Node down = nodes()[4];
  down.serving = false;
  index->put_node(down);
  CHECK(routes_of(*index, kAlice) == List{"6 10.0.0.0/16"});
  index->remove_node(kRouterB);
  CHECK(routes_of(*index, kAlice) == List{"5 10.0.0.0/16"});
}

TEST_CASE("via leads each source through routers of its own, unless another rule leads there too") {
  const std::string via = R"({"src": ["alice@example.com"], "dst": ["10.0.5.0/24"], "ip": ["*"],
                              "via": ["tag:b"]})";
  auto index = index_of("\"grants\": [" + via +
                        R"(, {"src": ["bob@example.com"], "dst": ["net"], "ip": ["*"]}])");
  CHECK(routes_of(*index, kAlice) == List{"6 10.0.0.0/16"});
  CHECK(routes_of(*index, kBob) == List{"5 10.0.0.0/16"});
  CHECK_THAT(filter_text(*index, kRouterB), Catch::Contains("10.0.5.0/24"));
  CHECK_THAT(filter_text(*index, kRouterA), !Catch::Contains("10.0.5.0/24"));
  index = index_of("\"grants\": [" + via +
                   R"(, {"src": ["alice@example.com"], "dst": ["net"], "ip": ["*"]}])");
  CHECK(routes_of(*index, kAlice) == List{"5 10.0.0.0/16"});
}

TEST_CASE("exit nodes are for those who may reach the internet") {
  const auto index = index_of(
      R"("acls": [{"action": "accept", "src": ["bob@example.com"], "dst": ["autogroup:internet:*"]}])");
  CHECK(routes_of(*index, kBob) == List{"7 0.0.0.0/0", "7 ::/0"});
  CHECK(routes_of(*index, kAlice).empty());
  CHECK_THAT(filter_text(*index, kExit), Catch::Contains("\"0.0.0.0-9.255.255.255\""));
}

TEST_CASE("a posture takes nodes in and out as they report") {
  const std::string rules = R"("postures": {"posture:linux": ["node:os == 'linux'"]},
    "grants": [{"src": ["*"], "dst": ["tag:web"], "ip": ["*"], "srcPosture": ["posture:linux"]}])";
  auto index = index_of(rules);
  CHECK(index->peers_of(kWeb).empty());
  Node alice = nodes()[0];
  alice.attributes["node:os"] = "linux";
  index->put_node(alice);
  CHECK(index->peers_of(kWeb) == Ids{kAlice});
  CHECK_THAT(filter_text(*index, kWeb),
             Catch::StartsWith(R"([{"SrcIPs":["100.64.0.1","fd7a:115c:a1e0::1"],)"));
}

TEST_CASE("attributes, approved routes and owners of tags") {
  const auto index = index_of(
      R"("nodeAttrs": [{"target": ["autogroup:member"], "attr": ["x", "y"]},
                       {"target": ["bob@example.com"], "attr": ["disable-ipv4"]},
                       {"target": ["tag:web"], "app": {"a.com/b": [{"k": 1}]}}],
         "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:router"], "0.0.0.0/0": ["tag:exit"]},
                           "exitNode": ["tag:a"]}, "randomizeClientPort": true)");
  std::string text;
  es::tailcfg::append_json(text, index->attributes_of(kAlice));
  CHECK(text == R"({"randomize-client-port":null,"x":null,"y":null})");
  text.clear();
  es::tailcfg::append_json(text, index->attributes_of(kWeb));
  CHECK(text == R"({"a.com/b":[{"k":1}],"randomize-client-port":null})");

  CHECK(index->addresses_seen_by(kAlice, kBob).size() == 1);
  CHECK(index->addresses_seen_by(kBob, kAlice).size() == 1);
  CHECK(index->addresses_seen_by(kAlice, kWeb).size() == 2);

  CHECK(index->approves_route(kRouterA, *Prefix::parse("10.1.0.0/16")));
  CHECK_FALSE(index->approves_route(kRouterA, *Prefix::parse("11.0.0.0/8")));
  CHECK_FALSE(index->approves_route(kExit, *Prefix::parse("0.0.0.0/0")));
  CHECK(index->approves_route(kExit, *Prefix::parse("192.168.0.0/16")));
  CHECK(index->approves_route(kRouterA, *Prefix::parse("::/0")));

  CHECK(index->user_may_tag(20, "tag:web"));
  CHECK_FALSE(index->user_may_tag(10, "tag:web"));
  CHECK(index->user_may_tag(20, "tag:router"));  // tag:web owns it, and bob owns tag:web
  CHECK(index->user_may_tag(10, "tag:a"));       // an admin
  CHECK_FALSE(index->user_may_tag(20, "tag:a"));
  CHECK_FALSE(index->user_may_tag(10, "tag:b"));
  CHECK(index->user_may_tag(10, "tag:exit"));
  CHECK_FALSE(index->user_may_tag(99, "tag:exit"));
  CHECK_FALSE(index->tag_exists("tag:none"));
}

TEST_CASE("unknown ids have empty answers") {
  const auto index = index_of("");
  CHECK(index->filter_for(99).empty());
  CHECK(index->peers_of(99).empty());
  CHECK(index->routes_seen_by(99).empty());
  CHECK(index->ssh_rules_for(99).empty());
  CHECK(index->attributes_of(99).empty());
  CHECK_FALSE(index->visible(1, 99));
  index->remove_node(99);
  CHECK(index->num_nodes() == 7);
}

TEST_CASE("a check names the rule that decides") {
  const auto index = index_of(
      "\"acls\": [\n{\"action\": \"accept\", \"src\": [\"group:dev\"],\n"
      "\"dst\": [\"tag:web:80\", \"net:22\"]}]");
  const auto address = [](const char* text) { return *Address::parse(text); };
  const Verdict yes = index->check(address("100.64.0.1"), address("100.64.0.4"), 6, 80);
  CHECK(yes.allowed);
  CHECK(yes.rule.line != 0);
  CHECK(index->check(address("100.64.0.1"), address("10.0.3.3"), 6, 22).allowed);
  CHECK_FALSE(index->check(address("100.64.0.1"), address("100.64.0.4"), 6, 81).allowed);
  CHECK_FALSE(index->check(address("100.64.0.4"), address("100.64.0.1"), 6, 80).allowed);
}

TEST_CASE("long lists of nodes are written as ranges") {
  std::vector<Node> many;
  for (NodeId id = 1; id <= 100; ++id) {
    Node n = node(1, 20, {});
    n.id = id;
    n.addresses = {Address::v4(0x64400000 + static_cast<uint32_t>(id))};
    many.push_back(n);
  }
  many.push_back(node(200, {}, {"tag:web"}));
  const auto index = index_of(
      R"("grants": [{"src": ["bob@example.com"], "dst": ["tag:web"], "ip": ["*"]}])", many);
  CHECK_THAT(filter_text(*index, 200),
             Catch::StartsWith(R"([{"SrcIPs":["100.64.0.1-100.64.0.100"],)"));
}

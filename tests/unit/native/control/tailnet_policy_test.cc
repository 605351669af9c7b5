// The tailnet under policies: who sees whom, who is told what, and that what a client has put
// together from deltas is what a new stream would give it.
#include "tests/unit/native/control/map_client.h"
#include "tests/unit/native/control/tailnet_net.h"
#include "tests/unit/native/policy/random_policy.h"

#include <array>

namespace es::control {
namespace {

// A tailnet whose nodes are connected, each with its client.
class Clients {
 public:
  void connect(uint8_t n) {
    sessions_[n] = net.listen(n);
    client(n) = {};
    pull(n);
  }
  void disconnect(uint8_t n) {
    sessions_.at(n)->close(net.now);
    sessions_.erase(n);
  }
  // Takes what the session has; false when that is nothing.
  bool pull(uint8_t n) {
    last[n] = nullptr;
    bool any = false;
    while (const auto payload = sessions_.at(n)->take(net.now)) {
      last[n] = decode(*payload);
      client(n).apply(last[n]);
      any = true;
    }
    net.wakes[n] = 0;
    return any;
  }
  void pull_all() {
    for (const auto& [n, session] : sessions_) pull(n);
  }
  MapClient& client(uint8_t n) { return clients_[n]; }
  bool connected(uint8_t n) const { return sessions_.contains(n); }
  std::vector<uint8_t> all() const {
    std::vector<uint8_t> out;
    for (const auto& [n, session] : sessions_) out.push_back(n);
    return out;
  }

  void install(const std::string& text) {
    policy::Problems problems;
    auto compiled = net.tailnet().compile_policy(text, problems);
    INFO(text);
    INFO(problems.text());
    REQUIRE(compiled != nullptr);
    net.tailnet().install_policy(std::move(compiled));
  }

  Net net;
  std::map<uint8_t, json> last;

 private:
  std::map<uint8_t, std::shared_ptr<MapSession>> sessions_;
  std::map<uint8_t, MapClient> clients_;
};

std::string key_with_tag(Net& net, const std::string& tag) {
  NewPreAuthKey request;
  request.tags = {tag};
  request.reusable = true;
  return net.key(request);
}

constexpr std::array<uint8_t, 4> kFour{1, 2, 3, 4};

// Nodes 1 and 2 are ann's, 3 is tag:web, 4 is tag:db.
void join_four(Clients& c) {
  const std::string key = c.net.reusable_key();
  c.net.join(1, key);
  c.net.join(2, key);
  c.net.join(3, key_with_tag(c.net, "tag:web"));
  c.net.join(4, key_with_tag(c.net, "tag:db"));
  for (const uint8_t n : kFour) c.connect(n);
  c.pull_all();
}

constexpr const char* kOwners = R"("tagOwners":{"tag:web":["ann@"],"tag:db":[]},)";

std::string policy_of(const std::string& sections) {
  return std::string("{") + kOwners + sections + "}";
}

using Ids = std::set<uint64_t>;

constexpr const char* kAnnToWeb =
    R"("acls":[{"action":"accept","src":["ann@"],"dst":["tag:web:80"]}])";

}  // namespace

TEST_CASE("a policy takes away the peers and ports that it does not allow") {
  Clients c;
  join_four(c);
  CHECK(c.client(1).peer_ids() == Ids{2, 3, 4});
  CHECK(c.client(4).filters.contains("base"));
  c.install(policy_of(kAnnToWeb));
  c.pull_all();
  CHECK(c.client(1).peer_ids() == Ids{3});
  CHECK(c.client(2).peer_ids() == Ids{3});
  CHECK(c.client(3).peer_ids() == Ids{1, 2});
  CHECK(c.client(4).peer_ids().empty());
  CHECK(c.client(1).rules().empty());
  CHECK(c.client(3).rules().size() == 1);
  // What the first message says to one who comes now is the same.
  for (const uint8_t n : kFour) {
    const auto rules = c.client(n).rules();
    const auto peers = c.client(n).peers;
    c.connect(n);
    CHECK(c.client(n).rules() == rules);
    CHECK(c.client(n).peers == peers);
  }
}

TEST_CASE("the map of a node can be looked at under a policy, connected or not") {
  Clients c;
  join_four(c);
  c.install(policy_of(kAnnToWeb));
  c.pull_all();
  const auto looked_at = [&](uint64_t id) {
    const auto map = c.net.tailnet().full_map(id, c.net.now);
    REQUIRE(map.has_value());
    const json message = json::parse(*map);
    CHECK(message.at("Node").at("ID") == id);
    Ids peers;
    if (message.contains("Peers")) {
      for (const json& peer : message.at("Peers")) peers.insert(peer.at("ID").get<uint64_t>());
    }
    return peers;
  };
  const auto check_all = [&] {
    CHECK(looked_at(1) == Ids{3});
    CHECK(looked_at(3) == Ids{1, 2});
    CHECK(looked_at(4).empty());
  };
  check_all();
  // Looking changes nothing: there is nothing new for the sessions, and changes still arrive.
  for (const uint8_t n : kFour) CHECK_FALSE(c.pull(n));
  c.disconnect(1);
  check_all();
  must(wait<NodePtr>([&](auto answer) { c.net.tailnet().rename(3, "web", answer); }));
  c.pull_all();
  CHECK(c.client(2).peer_ids() == Ids{3});
  CHECK_FALSE(c.net.tailnet().full_map(9, c.net.now).has_value());
}

TEST_CASE("a new policy wakes those for whom it changes something and tells them that") {
  Clients c;
  join_four(c);
  c.install(policy_of(kAnnToWeb));
  c.pull_all();
  SECTION("the same again is no news") {
    c.install(policy_of(std::string(kAnnToWeb) + "/* as before */"));
    for (const uint8_t n : kFour) CHECK(c.net.wakes[n] == 0);
  }
  SECTION("another port is news for the one that it is on") {
    c.install(policy_of(R"("acls":[{"action":"accept","src":["ann@"],"dst":["tag:web:443"]}])"));
    for (const uint8_t n : {kFour[0], kFour[1], kFour[3]}) CHECK(c.net.wakes[n] == 0);
    CHECK(c.net.wakes[3] == 1);
    REQUIRE(c.pull(3));
    CHECK(c.last[3].contains("PacketFilters"));
    for (const char* other : {"Node", "Peers", "PeersChanged", "PeersRemoved", "SSHPolicy"}) {
      CHECK_FALSE(c.last[3].contains(other));
    }
    CHECK(c.client(3).rules().begin()->find("443") != std::string::npos);
  }
  SECTION("a rule for others is no news for the rest") {
    c.install(policy_of(R"("acls":[{"action":"accept","src":["ann@"],"dst":["tag:web:80"]},
        {"action":"accept","src":["tag:web"],"dst":["tag:db:5432"]}])"));
    CHECK(c.net.wakes[1] == 0);
    CHECK(c.net.wakes[2] == 0);
    REQUIRE(c.pull(3));
    REQUIRE(c.pull(4));
    CHECK(ids(c.last[3].at("PeersChanged")) == std::vector<uint64_t>{4});
    CHECK_FALSE(c.last[3].contains("PacketFilters"));  // it is the source
    CHECK(ids(c.last[4].at("PeersChanged")) == std::vector<uint64_t>{3});
    CHECK(c.client(4).rules().size() == 1);
  }
  SECTION("SSH rules and attributes go to their nodes alone") {
    c.install(policy_of(std::string(kAnnToWeb) + R"(,"ssh":[{"action":"accept","src":["ann@"],
        "dst":["tag:web"],"users":["autogroup:nonroot"]}],
        "nodeAttrs":[{"target":["tag:db"],"attr":["funnel"]}])"));
    CHECK(c.net.wakes[1] == 0);
    REQUIRE(c.pull(3));
    CHECK(c.last[3].at("SSHPolicy").at("rules").size() == 1);
    CHECK_FALSE(c.last[3].contains("PacketFilters"));
    CHECK_FALSE(c.last[3].contains("Node"));
    REQUIRE(c.pull(4));
    CHECK(c.last[4].at("Node").at("CapMap").contains("funnel"));
    CHECK_FALSE(c.last[4].contains("SSHPolicy"));
  }
}

TEST_CASE("a change of tags moves a node between rules") {
  Clients c;
  join_four(c);
  c.install(policy_of(kAnnToWeb));
  c.pull_all();
  must(wait<NodePtr>([&](auto answer) { c.net.tailnet().set_tags(4, {"tag:web"}, answer); }));
  CHECK(c.net.wakes[3] == 0);
  REQUIRE(c.pull(1));
  CHECK(ids(c.last[1].at("PeersChanged")) == std::vector<uint64_t>{4});
  REQUIRE(c.pull(4));
  CHECK(c.client(4).peer_ids() == Ids{1, 2});
  CHECK(c.client(4).rules().size() == 1);
  const auto unknown =
      wait<NodePtr>([&](auto answer) { c.net.tailnet().set_tags(4, {"tag:none"}, answer); });
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().text.find("tag:none") != std::string::npos);
  must(wait<NodePtr>([&](auto answer) { c.net.tailnet().set_tags(3, {"tag:db"}, answer); }));
  REQUIRE(c.pull(1));
  CHECK(c.last[1].at("PeersRemoved") == json({3}));
  CHECK_FALSE(c.last[1].contains("PeersChanged"));
  REQUIRE(c.pull(3));
  CHECK(c.client(3).peer_ids().empty());
  CHECK(c.client(3).rules().empty());
}

TEST_CASE("a role group holds the devices of users with that role, as soon as they have it") {
  Clients c;
  join_four(c);
  c.install(policy_of(R"("acls":[{"action":"accept","src":["autogroup:admin"],"dst":["tag:web:22"]},
      {"action":"accept","src":["autogroup:auditor"],"dst":["tag:db:80"]}])"));
  c.pull_all();
  CHECK(c.client(1).peer_ids().empty());
  const auto set = [&](const char* role) {
    must(wait<User>(
        [&](auto answer) { c.net.directory().set_user_role(1, role, c.net.now, answer); }));
    c.pull_all();
  };
  set("admin");
  CHECK(c.client(1).peer_ids() == Ids{3});
  CHECK(c.client(3).rules().size() == 1);
  set("owner");
  CHECK(c.client(1).peer_ids() == Ids{3});
  set("auditor");
  CHECK(c.client(1).peer_ids() == Ids{4});
  set("member");
  CHECK(c.client(1).peer_ids().empty());
  CHECK(c.client(3).rules().empty());
}

TEST_CASE("what happens to a node is told to those who see it") {
  Clients c;
  join_four(c);
  c.install(policy_of(kAnnToWeb));
  c.pull_all();
  tailcfg::MapRequest update = Net::poll(3);
  update.endpoints = {"192.0.2.7:1"};
  REQUIRE(c.net.tailnet().update(machine(3), update, c.net.now).ok());
  CHECK(c.net.wakes[4] == 0);
  CHECK(c.net.wakes[1] == 1);
  // A node that joins is told to those who will see it, with its address in their filters.
  c.net.join(5, c.net.key());
  CHECK(c.net.wakes[4] == 0);
  REQUIRE(c.pull(3));
  CHECK(ids(c.last[3].at("PeersChanged")) == std::vector<uint64_t>{5});
  CHECK(c.last[3].at("PacketFilters").dump().find("100.64.0.5") != std::string::npos);
  // And it goes from there.
  must(wait<void>([&](auto answer) { c.net.tailnet().remove(5, answer); }));
  REQUIRE(c.pull(3));
  CHECK(c.last[3].at("PeersRemoved") == json({5}));
  CHECK(c.client(3).rules().begin()->find("100.64.0.5") == std::string::npos);
}

TEST_CASE("routes show to those who may use them, by the router that via names") {
  Clients c;
  join_four(c);
  c.install(policy_of(R"("autoApprovers":{"routes":{"10.0.0.0/8":["tag:web","tag:db"]},
      "exitNode":["tag:db"]},"grants":[
      {"src":["ann@"],"dst":["tag:web","tag:db"],"ip":["22"]},
      {"src":["ann@"],"dst":["10.9.0.0/16"],"ip":["*"],"via":["tag:db"]},
      {"src":["ann@"],"dst":["autogroup:internet"],"ip":["*"]}])"));
  c.pull_all();
  for (const uint8_t n : {uint8_t{3}, uint8_t{4}}) {
    tailcfg::MapRequest update = Net::poll(n);
    update.hostinfo.routable_ips = {"10.9.0.0/16", "0.0.0.0/0", "::/0", "192.168.0.0/24"};
    REQUIRE(c.net.tailnet().update(machine(n), update, c.net.now).ok());
  }
  must(wait<void>([&](auto answer) { c.net.directory().ping(answer); }));
  c.pull_all();
  // Approved by the policy, as far as it does; also for who gets the tag later.
  tailcfg::MapRequest late = Net::poll(2);
  late.hostinfo.routable_ips = {"10.7.0.0/16"};
  REQUIRE(c.net.tailnet().update(machine(2), late, c.net.now).ok());
  CHECK(c.net.tailnet().node(2)->row.approved_routes.empty());
  must(wait<NodePtr>([&](auto answer) { c.net.tailnet().set_tags(2, {"tag:web"}, answer); }));
  must(wait<void>([&](auto answer) { c.net.directory().ping(answer); }));
  CHECK(c.net.tailnet().node(2)->row.approved_routes.size() == 1);
  using List = std::vector<std::string>;
  CHECK(c.net.tailnet().node(3)->row.approved_routes == List{"10.9.0.0/16"});
  CHECK(c.net.tailnet().node(4)->row.approved_routes == List{"0.0.0.0/0", "10.9.0.0/16", "::/0"});
  // Node 3 is the primary by age, but ann is to go by the one with tag:db.
  const json& web = c.client(1).peers.at(3);
  const json& db = c.client(1).peers.at(4);
  CHECK(web.at("AllowedIPs") == web.at("Addresses"));
  CHECK(db.at("PrimaryRoutes") == json({"10.9.0.0/16"}));
  CHECK(db.at("AllowedIPs").size() == 5);
  CHECK(db.at("CapMap").contains("suggest-exit-node"));
  // The routers know what they serve.
  CHECK(c.client(4).self.at("AllowedIPs").size() == 5);
  CHECK(c.client(4).rules().begin()->find("10.9.0.0/16") != std::string::npos);
  c.install(policy_of(R"("grants":[{"src":["ann@"],"dst":["tag:web","tag:db"],"ip":["22"]},
      {"src":["ann@"],"dst":["10.9.0.0/16"],"ip":["*"]}])"));
  c.pull_all();
  CHECK(c.client(1).peers.at(3).at("PrimaryRoutes") == json({"10.9.0.0/16"}));
  CHECK(c.client(1).peers.at(4).at("AllowedIPs") == c.client(1).peers.at(4).at("Addresses"));
}

TEST_CASE("a tagged router that becomes a user's serves what the policy approves for the user") {
  Clients c;
  join_four(c);
  c.install(policy_of(R"("autoApprovers":{"routes":{"10.9.0.0/16":["tag:web"],
      "10.8.0.0/16":["tag:web","ann@"]}},
      "acls":[{"action":"accept","src":["*"],"dst":["*:*"]}])"));
  tailcfg::MapRequest update = Net::poll(3);
  update.hostinfo.routable_ips = {"10.8.0.0/16", "10.9.0.0/16", "192.168.0.0/24"};
  REQUIRE(c.net.tailnet().update(machine(3), update, c.net.now).ok());
  const auto ping = [&] { must(wait<void>([&](auto a) { c.net.directory().ping(a); })); };
  ping();
  must(wait<NodePtr>([&](auto a) {
    c.net.tailnet().approve_routes(3, {"10.8.0.0/16", "10.9.0.0/16", "192.168.0.0/24"}, a);
  }));
  c.pull_all();
  CHECK(c.client(1).peers.at(3).at("PrimaryRoutes").size() == 3);
  // It logs in again, and an operator gives it to ann.
  auto again = Net::request(3, "");
  again.old_node_key = again.node_key;
  again.node_key = node_key(103);
  again.hostinfo.routable_ips = update.hostinfo.routable_ips;
  const std::string url = c.net.enlist(3, again).auth_url;
  must(wait<NodePtr>(
      [&](auto a) { c.net.tailnet().approve(url.substr(url.rfind('/') + 1), 1, c.net.now, a); }));
  ping();
  CHECK(c.net.tailnet().node(3)->row.user_id == uint64_t{1});
  CHECK(c.net.tailnet().node(3)->row.approved_routes == std::vector<std::string>{"10.8.0.0/16"});
  REQUIRE(c.pull(1));
  CHECK(c.client(1).peers.at(3).at("PrimaryRoutes") == json({"10.8.0.0/16"}));
}

TEST_CASE(
    "a route that the policy approves takes nothing from what an operator approves meanwhile") {
  Clients c;
  join_four(c);
  c.install(policy_of(R"("autoApprovers":{"routes":{"10.0.0.0/8":["tag:web"]}})"));
  tailcfg::MapRequest update = Net::poll(3);
  update.hostinfo.routable_ips = {"10.9.0.0/16", "192.168.0.0/24"};
  std::promise<bool> by_operator;
  const auto operator_approves = [&](std::vector<std::string> routes) {
    c.net.tailnet().approve_routes(3, std::move(routes),
                                   [&](const auto& done) { by_operator.set_value(done.ok()); });
  };
  const auto node_announces = [&] {
    REQUIRE(c.net.tailnet().update(machine(3), update, c.net.now).ok());
  };
  // The store is held up, so that both are on their way before either is there.
  std::promise<void> busy;
  std::promise<void> go_on;
  c.net.directory().submit({{store::TouchNodes{}}}, [&](const auto&) {
    busy.set_value();
    go_on.get_future().wait();
  });
  busy.get_future().wait();
  std::vector<std::string> wanted;
  SECTION("the operator first") {
    operator_approves({"192.168.0.0/24"});
    node_announces();
    wanted = {"10.9.0.0/16", "192.168.0.0/24"};
  }
  SECTION("the operator last: his word is all of it") {
    node_announces();
    operator_approves({"192.168.0.0/24"});
    wanted = {"192.168.0.0/24"};
  }
  go_on.set_value();
  REQUIRE(by_operator.get_future().get());
  must(wait<void>([&](auto answer) { c.net.directory().ping(answer); }));
  CHECK(c.net.tailnet().node(3)->row.approved_routes == wanted);
  for (const uint8_t n : kFour) c.disconnect(n);
  c.net.reopen();
  CHECK(c.net.tailnet().node(3)->row.approved_routes == wanted);
}

TEST_CASE("a policy that is wrong, or fails its own tests, is not compiled") {
  Clients c;
  join_four(c);
  const auto problems_of = [&](const std::string& text) {
    policy::Problems problems;
    CHECK(c.net.tailnet().compile_policy(text, problems) == nullptr);
    return problems.text();
  };
  CHECK(problems_of("{\"acls\":").find("line 1") != std::string::npos);
  CHECK_FALSE(
      problems_of(R"({"acls":[{"action":"accept","src":["group:x"],"dst":["*:*"]}]})").empty());
  const std::string failing =
      policy_of(std::string(kAnnToWeb) + R"(,"tests":[{"src":"ann@","accept":["tag:db:5432"]}])");
  CHECK_FALSE(problems_of(failing).empty());
  CHECK_FALSE(c.net.tailnet().has_policy());
}

namespace {

using policy::test::Generator;

// One thing that happens in a tailnet.
class Chaos {
 public:
  explicit Chaos(uint64_t seed) : random_(seed) {
    for (const char* name : {"u0", "u1", "u2"}) {
      NewUser user;
      user.name = name;
      user.email = std::string(name) + "@x.com";
      must(
          wait<User>([&](auto answer) { c.net.directory().create_user(user, c.net.now, answer); }));
      NewPreAuthKey request;
      request.reusable = true;
      request.user_id = c.net.directory().users().rows.back()->id;
      keys_.push_back(c.net.key(request));
    }
    for (const char* tag : {"tag:a", "tag:b", "tag:c"}) keys_.push_back(key_with_tag(c.net, tag));
    for (int i = 0; i < 6; ++i) join();
  }

  void step() {
    switch (random_.below(14)) {
      case 0:
        if (machines_.size() < 10) join();
        break;
      case 1:
      case 2:
        return on_some([&](uint8_t n) {
          const std::string tag =
              "tag:" + std::string(1, static_cast<char>('a' + random_.below(3)));
          must(wait<NodePtr>(
              [&](auto answer) { c.net.tailnet().set_tags(id_of(n), {tag}, answer); }));
        });
      case 3:
        return remove();
      case 4:
      case 5:
        return on_some([&](uint8_t n) { say(n); });
      case 6:
        return on_some([&](uint8_t n) {
          must(wait<NodePtr>([&](auto answer) {
            c.net.tailnet().approve_routes(id_of(n), {random_.pick(kRoutes)}, answer);
          }));
        });
      case 7:
        return on_some([&](uint8_t n) {
          if (c.connected(n)) {
            c.disconnect(n);
          } else {
            c.connect(n);
          }
        });
      case 8:
        c.net.now += Millis{11'000};
        return c.net.tailnet().tick(c.net.now);
      case 9:
      case 10: {
        const std::string text = random_.policy(random_.sections());
        last_policy = text;
        return c.install(text);
      }
      case 11:
        return rename_user();
      default:
        // Some read what there is so far, the others let it merge.
        for (const uint8_t n : c.all()) {
          if (random_.below(2) == 0) c.pull(n);
        }
    }
  }

  // Every client's state against that of a new stream.
  void compare() {
    must(wait<void>([&](auto answer) { c.net.directory().ping(answer); }));
    c.pull_all();
    for (const uint8_t n : c.all()) {
      MapClient before = c.client(n);
      c.connect(n);
      MapClient fresh = c.client(n);
      // It said so itself.
      before.self.erase("Endpoints");
      fresh.self.erase("Endpoints");
      INFO("node " << id_of(n) << " under " << last_policy);
      CHECK(before.self == fresh.self);
      CHECK(before.peer_ids() == fresh.peer_ids());
      CHECK(before.peers == fresh.peers);
      CHECK(before.rules() == fresh.rules());
      CHECK(before.ssh == fresh.ssh);
    }
  }

  Clients c;
  std::string last_policy;

 private:
  const std::vector<std::string> kRoutes{"10.1.0.0/16", "10.1.2.0/24", "192.168.0.0/24",
                                         "0.0.0.0/0"};

  uint64_t id_of(uint8_t n) {
    for (const NodePtr& node : c.net.tailnet().nodes()) {
      if (node->machine_key == machine(n)) return node->row.id;
    }
    return 0;
  }
  void join() {
    machines_.push_back(++next_);
    c.net.join(next_, random_.pick(keys_));
    c.connect(next_);
  }
  template <class F>
  void on_some(F f) {
    if (!machines_.empty()) f(random_.pick(machines_));
  }
  void remove() {
    if (machines_.size() < 4) return;
    const size_t at = random_.below(machines_.size());
    const uint8_t n = machines_[at];
    must(wait<void>([&](auto answer) { c.net.tailnet().remove(id_of(n), answer); }));
    if (c.connected(n)) c.disconnect(n);
    machines_.erase(machines_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void say(uint8_t n) {
    tailcfg::MapRequest update = Net::poll(n);
    update.endpoints = {"192.0.2.7:" + std::to_string(1 + random_.below(9))};
    update.hostinfo.hostname = "host" + std::to_string(n);
    update.hostinfo.os = random_.below(2) == 0 ? "x" : "y";
    update.hostinfo.full_json = "{\"OS\":\"" + update.hostinfo.os + "\"}";
    if (random_.below(2) == 0) update.hostinfo.routable_ips = {random_.pick(kRoutes)};
    REQUIRE(c.net.tailnet().update(machine(n), update, c.net.now).ok());
  }
  void rename_user() {
    const auto users = c.net.directory().users().rows;
    const std::string name = "u" + std::to_string(random_.below(5));
    (void)wait<User>([&](auto answer) {
      c.net.directory().rename_user(users[1 + random_.below(3)]->id, name, c.net.now, answer);
    });
  }

  Generator random_;
  std::vector<std::string> keys_;
  std::vector<uint8_t> machines_;
  uint8_t next_ = 0;
};

}  // namespace

TEST_CASE("whatever happens, deltas lead to what a new stream says") {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    INFO("seed " << seed);
    Chaos chaos(seed);
    for (int round = 0; round < 8; ++round) {
      for (int i = 0; i < 10; ++i) chaos.step();
      chaos.compare();
    }
  }
}

}  // namespace es::control

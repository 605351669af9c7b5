#include "native/control/tailnet.h"

#include "common/base/rfc3339.h"
#include "tests/unit/native/control/tailnet_net.h"

namespace es::control {

TEST_CASE("a machine joins by key and learns of itself and its peers") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto session = net.listen(1);
  const json map = net.take(*session);
  CHECK(map.at("Node").at("ID") == 1);
  CHECK(map.at("Node").at("Name") == "host1.example.ts.");
  CHECK(map.at("Node").at("Addresses") == json({"100.64.0.1/32", "fd7a:115c:a1e0::1/128"}));
  CHECK(ids(map.at("Peers")) == std::vector<uint64_t>{2});
  CHECK(map.at("Peers")[0].at("Online") == false);
  CHECK(map.at("UserProfiles")[0].at("LoginName") == "ann");
  CHECK(map.at("PacketFilters").contains("base"));
  CHECK_FALSE(session->take(net.now).has_value());
}

TEST_CASE("peers learn of joins, endpoints, the home DERP and departures as deltas") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  const auto one = net.listen(1);
  (void)net.take(*one);

  net.join(2, key);
  CHECK(net.wakes[1] == 1);
  json delta = net.take(*one);
  CHECK(ids(delta.at("PeersChanged")) == std::vector<uint64_t>{2});

  const auto two = net.listen(2);
  delta = net.take(*one);
  CHECK(delta.at("PeersChangedPatch") == json::parse(R"([{"NodeID":2,"Online":true}])"));
  (void)net.take(*two);

  tailcfg::MapRequest update = Net::poll(2);
  update.stream = false;
  update.endpoints = {"192.0.2.7:41641"};
  update.hostinfo.hostname = "host2";
  update.hostinfo.preferred_derp = 999;
  REQUIRE(net.tailnet().update(machine(2), update, net.now).ok());
  delta = net.take(*one);
  CHECK(delta.at("PeersChangedPatch") ==
        json::parse(R"([{"NodeID":2,"DERPRegion":999,"Endpoints":["192.0.2.7:41641"]}])"));
  // The same again changes nothing and wakes nobody.
  const int before = net.wakes[1];
  REQUIRE(net.tailnet().update(machine(2), update, net.now).ok());
  CHECK(net.wakes[1] == before);

  two->close(net.now);
  net.tailnet().tick(net.now);
  CHECK_FALSE(one->take(net.now).has_value());  // it may come back at once
  net.now += Millis{10'000};
  net.tailnet().tick(net.now);
  delta = net.take(*one);
  CHECK(delta.at("PeersChangedPatch")[0].at("Online") == false);
  CHECK(delta.at("PeersChangedPatch")[0].contains("LastSeen"));

  must(wait<void>([&](auto answer) { net.tailnet().remove(2, answer); }));
  CHECK(net.take(*one).at("PeersRemoved") == json({2}));
}

TEST_CASE("a change to one node wakes each viewer once, however many changes follow") {
  Net net;
  const std::string key = net.reusable_key();
  for (uint8_t n = 1; n <= 3; ++n) net.join(n, key);
  const auto one = net.listen(1);
  (void)net.take(*one);
  net.wakes[1] = 0;
  tailcfg::MapRequest update = Net::poll(2);
  update.hostinfo.hostname = "host2";
  for (int port = 1; port <= 50; ++port) {
    update.endpoints = {"192.0.2.7:" + std::to_string(port)};
    REQUIRE(net.tailnet().update(machine(2), update, net.now).ok());
  }
  CHECK(net.wakes[1] == 1);
  const json delta = net.take(*one);
  CHECK(delta.at("PeersChangedPatch")[0].at("Endpoints") == json({"192.0.2.7:50"}));
  CHECK_FALSE(one->take(net.now).has_value());
}

TEST_CASE("a newer session of a node ends the older one and the node stays online") {
  Net net;
  net.join(1, net.key());
  const auto old_session = net.listen(1);
  (void)net.take(*old_session);
  const auto new_session = net.listen(1);
  CHECK(old_session->ended());
  CHECK_FALSE(old_session->take(net.now).has_value());
  old_session->close(net.now);
  net.now += Millis{60'000};
  net.tailnet().tick(net.now);
  CHECK(net.tailnet().node(1)->online);
  CHECK(net.take(*new_session).contains("Node"));
}

TEST_CASE("a key for one use admits one machine of many that try at once") {
  Net net;
  const std::string key = net.key();
  std::vector<std::future<tailcfg::RegisterResponse>> answers;
  std::vector<std::promise<tailcfg::RegisterResponse>> promises(20);
  for (uint8_t n = 0; n < 20; ++n) {
    answers.push_back(promises[n].get_future());
    net.tailnet().register_node(
        machine(static_cast<uint8_t>(n + 1)), Net::request(static_cast<uint8_t>(n + 1), key),
        net.now, [&promises, n](tailcfg::RegisterResponse r) { promises[n].set_value(r); });
  }
  int admitted = 0;
  for (auto& answer : answers) {
    const auto r = answer.get();
    admitted += r.error.empty() ? 1 : 0;
    if (!r.error.empty()) CHECK(r.error.find("used") != std::string::npos);
  }
  CHECK(admitted == 1);
  CHECK(net.tailnet().nodes().size() == 1);
  // Nothing is left taken by those that were refused.
  net.join(30, net.key());
  std::set<std::string> names;
  for (const NodePtr& node : net.tailnet().nodes()) names.insert(node->row.given_name);
  CHECK(names.count("host30") == 1);
}

TEST_CASE("a client that restarts repeats its spent key and stays the same node") {
  Net net;
  const std::string key = net.key();
  net.join(1, key);
  net.join(1, key);
  net.reopen();
  net.join(1, key);
  CHECK(net.tailnet().nodes().size() == 1);
  CHECK(net.tailnet().node(1)->row.ipv4 == "100.64.0.1");
}

TEST_CASE("a refused registration says what is wrong") {
  Net net;
  NewPreAuthKey brief;
  brief.expiration = net.now + Millis{1000};
  const std::string expired = net.key(brief);
  const std::string spent = net.key();
  net.join(1, spent);
  net.now += Millis{1000};
  const auto error = [&](uint8_t n, const std::string& key) {
    return net.enlist(n, Net::request(n, key)).error;
  };
  CHECK(error(2, expired).find("expired") != std::string::npos);
  CHECK(error(2, spent).find("one use") != std::string::npos);
  CHECK(error(2, "tskey-auth-junk").find("invalid") != std::string::npos);
  tailcfg::RegisterRequest tagged = Net::request(2, net.key());
  tagged.hostinfo.request_tags = {"tag:web"};
  CHECK(net.enlist(2, tagged).error ==
        "requested tags [tag:web] are invalid or not permitted: this tailnet has no policy that "
        "says who owns them");
}

TEST_CASE("a second machine cannot take over a node key") {
  Net net;
  net.join(1, net.key());
  tailcfg::RegisterRequest stolen = Net::request(1, net.reusable_key());
  CHECK(net.enlist(2, stolen).error == "node exists with a different machine key");
  CHECK_FALSE(net.tailnet().update(machine(2), Net::poll(1), net.now).ok());
  CHECK_FALSE(net.tailnet().open_session(machine(2), Net::poll(1), net.now, [] {}).ok());
}

TEST_CASE("a rotated node key keeps the node") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto two = net.listen(2);
  (void)net.take(*two);
  tailcfg::RegisterRequest rotated = Net::request(1, key);
  rotated.old_node_key = rotated.node_key;
  rotated.node_key = node_key(77);
  REQUIRE(net.enlist(1, rotated).error.empty());
  CHECK(net.tailnet().nodes().size() == 2);
  CHECK(net.tailnet().knows(node_key(77)));
  CHECK_FALSE(net.tailnet().knows(node_key(1)));
  CHECK(net.take(*two).at("PeersChanged")[0].at("Key") == node_key(77).text());
}

TEST_CASE("logging out expires a node and removes an ephemeral one") {
  Net net;
  net.join(1, net.reusable_key());
  NewPreAuthKey request;
  request.ephemeral = true;
  net.join(2, net.key(request));
  tailcfg::RegisterRequest logout = Net::request(1, "");
  logout.expiry = wall_time_ms(123'000);
  CHECK(net.enlist(1, logout).node_key_expired);
  CHECK(net.tailnet().node(1)->row.expiry == net.now);
  // What follows is told to make a new key, and then where to log in.
  tailcfg::RegisterRequest again = Net::request(1, "");
  CHECK(net.enlist(1, again).node_key_expired);

  logout = Net::request(2, "");
  logout.expiry = wall_time_ms(123'000);
  CHECK(net.enlist(2, logout).node_key_expired);
  CHECK(net.tailnet().node(2) == nullptr);
}

TEST_CASE("an expired key is announced to the peers") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto one = net.listen(1);
  (void)net.take(*one);
  must(wait<NodePtr>(
      [&](auto answer) { net.tailnet().set_expiry(2, net.now + Millis{5000}, answer); }));
  CHECK_FALSE(net.take(*one).at("PeersChanged")[0].contains("Expired"));
  net.now += Millis{5000};
  net.tailnet().tick(net.now);
  CHECK(net.take(*one).at("PeersChanged")[0].at("Expired") == true);
}

TEST_CASE("a client whose key has expired is told that and nothing of the others") {
  Net net;
  const std::string key = net.reusable_key();
  for (const uint8_t n : {uint8_t{1}, uint8_t{2}}) net.join(n, key);
  const auto expire = [&](WallTime at) {
    must(wait<NodePtr>([&](auto answer) { net.tailnet().set_expiry(1, at, answer); }));
  };
  auto one = net.listen(1);
  CHECK(ids(net.take(*one).at("Peers")) == std::vector<uint64_t>{2});
  expire(net.now + Millis{5000});
  (void)net.take(*one);
  net.now += Millis{5000};
  net.wakes[1] = 0;
  net.tailnet().tick(net.now);
  // The stream ends, so that the client begins anew.
  CHECK(net.wakes[1] == 1);
  CHECK_FALSE(one->take(net.now).has_value());
  CHECK(one->ended());

  one = net.listen(1);
  const json map = net.take(*one);
  CHECK(map.at("Node").at("ID") == 1);
  CHECK(map.at("Node").at("KeyExpiry") == format_rfc3339(net.now));
  CHECK(map.at("UserProfiles").size() == 1);
  CHECK(map.at("PacketFilters") == json({{"none", json::array()}}));
  CHECK(map.at("DNSConfig") == json::object());
  for (const char* secret : {"Peers", "PeersChanged", "SSHPolicy"}) {
    INFO(secret);
    CHECK_FALSE(map.contains(secret));
  }
  // Nor does it hear of what happens.
  net.wakes[1] = 0;
  net.join(3, key);
  net.tailnet().set_dns_config(R"({"Proxied":true})");
  net.tailnet().tick(net.now);
  CHECK(net.wakes[1] == 0);
  CHECK_FALSE(one->take(net.now).has_value());
  CHECK_FALSE(one->ended());
  CHECK(json::parse(*net.tailnet().full_map(1, net.now)).contains("Peers") == false);

  SECTION("a later expiry brings its peers back") {
    expire(net.now + Millis{60'000});
    CHECK(net.wakes[1] == 1);
    CHECK(one->ended());
    one = net.listen(1);
    CHECK(ids(net.take(*one).at("Peers")) == std::vector<uint64_t>{2, 3});
  }
  SECTION("and so does logging in again") {
    tailcfg::RegisterRequest again = Net::request(1, key);
    again.old_node_key = again.node_key;
    again.node_key = node_key(77);
    REQUIRE(net.enlist(1, again).error.empty());
    CHECK(one->ended());
    tailcfg::MapRequest poll = Net::poll(1);
    poll.node_key = node_key(77);
    one = net.tailnet().open_session(machine(1), poll, net.now, [] {}).value();
    CHECK(ids(net.take(*one).at("Peers")) == std::vector<uint64_t>{2, 3});
  }
  SECTION("to expire once more changes nothing") {
    expire(net.now);
    net.tailnet().tick(net.now);
    CHECK_FALSE(one->ended());
    CHECK_FALSE(net.tailnet().knows(node_key(1)));
  }
}

TEST_CASE("what the client of an expired key says reaches its peers with its next key") {
  Net net;
  const std::string key = net.reusable_key();
  for (const uint8_t n : {uint8_t{1}, uint8_t{2}}) net.join(n, key);
  tailcfg::MapRequest update = Net::poll(1);
  update.endpoints = {"192.0.2.1:41641"};
  update.hostinfo.preferred_derp = 5;
  REQUIRE(net.tailnet().update(machine(1), update, net.now).ok());
  must(wait<NodePtr>([&](auto answer) { net.tailnet().set_expiry(1, net.now, answer); }));
  net.tailnet().tick(net.now);
  const auto two = net.listen(2);
  const json peer = net.take(*two).at("Peers")[0];
  CHECK(peer.at("Expired") == true);
  CHECK_FALSE(peer.contains("Endpoints"));
  CHECK(peer.value("HomeDERP", 0) == 0);

  update.endpoints = {"192.0.2.2:41641"};
  update.hostinfo.preferred_derp = 6;
  REQUIRE(net.tailnet().update(machine(1), update, net.now).ok());
  CHECK_FALSE(two->take(net.now).has_value());
  must(wait<NodePtr>(
      [&](auto answer) { net.tailnet().set_expiry(1, net.now + Millis{9000}, answer); }));
  const json changed = net.take(*two).at("PeersChanged")[0];
  CHECK(changed.at("Endpoints") == json({"192.0.2.2:41641"}));
  CHECK(changed.at("HomeDERP") == 6);
  CHECK_FALSE(changed.contains("Expired"));
}

TEST_CASE("a router whose key expires loses its routes to one whose key is good") {
  Net net;
  const std::string key = net.reusable_key();
  for (const uint8_t n : {uint8_t{1}, uint8_t{2}}) {
    net.join(n, key);
    tailcfg::MapRequest update = Net::poll(n);
    update.hostinfo.routable_ips = {"10.0.0.0/8"};
    REQUIRE(net.tailnet().update(machine(n), update, net.now).ok());
    must(wait<NodePtr>(
        [&](auto answer) { net.tailnet().approve_routes(n, {"10.0.0.0/8"}, answer); }));
  }
  const auto one = net.listen(1);
  const auto two = net.listen(2);
  const auto serves = [&](uint64_t id) { return !net.tailnet().node(id)->primary_routes.empty(); };
  REQUIRE(serves(1));
  must(wait<NodePtr>([&](auto answer) { net.tailnet().set_expiry(1, net.now, answer); }));
  net.tailnet().tick(net.now);
  CHECK_FALSE(serves(1));
  CHECK(serves(2));
}

TEST_CASE("an ephemeral node goes after its time offline, also across a restart") {
  Net net;
  NewPreAuthKey request;
  request.ephemeral = true;
  net.join(1, net.key(request));
  auto session = net.listen(1);
  net.now += Millis{600'000};
  net.tailnet().tick(net.now);
  CHECK(net.tailnet().node(1) != nullptr);
  session->close(net.now);
  session.reset();
  net.reopen();
  net.now += Millis{119'999};
  net.tailnet().tick(net.now);
  CHECK(net.tailnet().node(1) != nullptr);
  net.now += Millis{1};
  net.tailnet().tick(net.now);
  must(wait<void>([&](auto answer) { net.directory().ping(answer); }));
  CHECK(net.tailnet().node(1) == nullptr);
}

TEST_CASE("interactive login waits for an approval") {
  Net net;
  tailcfg::RegisterRequest request = Net::request(1, "");
  const auto first = net.enlist(1, request);
  REQUIRE(first.auth_url.starts_with("https://control.example/register/"));
  CHECK(net.enlist(1, request).auth_url == first.auth_url);

  request.followup = first.auth_url;
  std::promise<tailcfg::RegisterResponse> promise;
  net.tailnet().register_node(machine(1), request, net.now,
                              [&](tailcfg::RegisterResponse r) { promise.set_value(r); });
  auto answer = promise.get_future();
  CHECK(answer.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
  const std::string id = first.auth_url.substr(first.auth_url.rfind('/') + 1);
  const NodePtr node =
      must(wait<NodePtr>([&](auto done) { net.tailnet().approve(id, 1, net.now, done); }));
  CHECK(node->row.given_name == "host1");
  CHECK(answer.get().machine_authorized);

  // Somebody else's page is not an answer for this machine.
  tailcfg::RegisterRequest other = Net::request(2, "");
  other.followup = first.auth_url;
  CHECK(net.enlist(2, other).auth_url != first.auth_url);
}

TEST_CASE("a machine that asks for something else gets another page, and the old one is void") {
  Net net;
  tailcfg::RegisterRequest request = Net::request(1, "");
  request.hostinfo.request_tags = {"tag:prod"};
  const auto first = net.enlist(1, request);
  const std::string id = first.auth_url.substr(first.auth_url.rfind('/') + 1);
  CHECK(net.tailnet().registration(id)->tags == std::vector<std::string>{"tag:prod"});
  request.hostinfo.request_tags.clear();
  const auto second = net.enlist(1, request);
  CHECK(second.auth_url != first.auth_url);
  CHECK_FALSE(net.tailnet().registration(id).has_value());
  request.hostinfo.ipn_version = "1.102.5";  // nothing that an approval grants
  CHECK(net.enlist(1, request).auth_url == second.auth_url);
}

TEST_CASE("a rejected login tells the person so") {
  Net net;
  tailcfg::RegisterRequest request = Net::request(1, "");
  request.followup = net.enlist(1, request).auth_url;
  std::promise<tailcfg::RegisterResponse> promise;
  net.tailnet().register_node(machine(1), request, net.now,
                              [&](tailcfg::RegisterResponse r) { promise.set_value(r); });
  const std::string id = request.followup.substr(request.followup.rfind('/') + 1);
  must(wait<void>([&](auto done) { net.tailnet().reject(id, done); }));
  CHECK(promise.get_future().get().error.find("refused") != std::string::npos);
}

TEST_CASE("a route is invisible until it is approved, and one node serves it") {
  Net net;
  const std::string key = net.reusable_key();
  for (uint8_t n = 1; n <= 3; ++n) net.join(n, key);
  const auto one = net.listen(1);
  (void)net.take(*one);
  const auto two = net.listen(2);
  const auto three = net.listen(3);
  for (const uint8_t n : {uint8_t{2}, uint8_t{3}}) {
    tailcfg::MapRequest update = Net::poll(n);
    update.hostinfo.routable_ips = {"10.9.0.0/16", "0.0.0.0/0", "::/0"};
    REQUIRE(net.tailnet().update(machine(n), update, net.now).ok());
  }
  const json advertised = net.take(*one);
  for (const json& peer : advertised.at("PeersChanged")) {
    CHECK(peer.at("AllowedIPs") == peer.at("Addresses"));
  }
  for (const uint64_t id : {2, 3}) {
    must(wait<NodePtr>([&](auto answer) {
      net.tailnet().approve_routes(id, {"10.9.0.0/16", "0.0.0.0/0"}, answer);
    }));
  }
  const auto serves = [](const json& peer) {
    const auto& allowed = peer.at("AllowedIPs");
    return std::find(allowed.begin(), allowed.end(), "10.9.0.0/16") != allowed.end();
  };
  json peers = net.take(*one).at("PeersChanged");
  CHECK(serves(peers[0]));
  CHECK_FALSE(serves(peers[1]));
  CHECK(peers[1].at("AllowedIPs").size() == 4);  // both exit routes
  CHECK(peers[1].at("CapMap").contains("suggest-exit-node"));

  two->close(net.now);
  net.now += Millis{10'000};
  net.tailnet().tick(net.now);
  peers = net.take(*one).at("PeersChanged");
  CHECK_FALSE(serves(peers[0]));
  CHECK(serves(peers[1]));
}

TEST_CASE("names follow the host until a person chooses one, and stay unique") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto host_says = [&](uint8_t n, const std::string& hostname) {
    tailcfg::MapRequest update = Net::poll(n);
    update.hostinfo.hostname = hostname;
    update.hostinfo.full_json = "{\"Hostname\":\"" + hostname + "\"}";
    REQUIRE(net.tailnet().update(machine(n), update, net.now).ok());
    must(wait<void>([&](auto answer) { net.directory().ping(answer); }));
    return net.tailnet().node(n)->row.given_name;
  };
  CHECK(host_says(2, "Host1") == "host1-1");
  must(wait<NodePtr>([&](auto answer) { net.tailnet().rename(2, "printer", answer); }));
  CHECK(host_says(2, "laptop") == "printer");
  const auto taken =
      wait<NodePtr>([&](auto answer) { net.tailnet().rename(1, "printer", answer); });
  REQUIRE_FALSE(taken.ok());
  CHECK(taken.error().reason == Reason::kConflict);
}

TEST_CASE("what a node said of itself survives a restart") {
  Net net;
  net.join(1, net.key());
  tailcfg::MapRequest update = Net::poll(1);
  tailcfg::RawKey raw{};
  raw.fill(9);
  update.disco_key = tailcfg::DiscoKey(raw);
  update.endpoints = {"192.0.2.7:1"};
  update.hostinfo.preferred_derp = 7;
  update.hostinfo.os = "linux";
  update.hostinfo.full_json = R"({"OS":"linux"})";
  REQUIRE(net.tailnet().update(machine(1), update, net.now).ok());
  net.reopen();
  const NodePtr node = net.tailnet().node(1);
  CHECK(node->disco_key == update.disco_key);
  CHECK(node->row.endpoints == update.endpoints);
  CHECK(node->row.home_derp == 7);
  CHECK(node->hostinfo.os == "linux");
}

TEST_CASE("a new DERP map or DNS configuration reaches every session as that one field") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto one = net.listen(1);
  (void)net.take(*one);
  const auto two = net.listen(2);
  (void)net.take(*two);
  (void)net.take(*one);  // two is online
  net.wakes.clear();

  net.tailnet().set_derp_map(R"({"Regions":{"7":null}})");
  CHECK(net.wakes[1] == 1);
  json delta = net.take(*one);
  CHECK(delta.at("DERPMap").at("Regions").contains("7"));
  CHECK(delta.size() == 2);  // and ControlTime
  CHECK_FALSE(one->take(net.now).has_value());

  // Both before a session looks: one message.
  net.tailnet().set_dns_config(R"({"Proxied":true})");
  delta = net.take(*two);
  CHECK(delta.contains("DERPMap"));
  CHECK(delta.at("DNSConfig").at("Proxied") == true);
  CHECK(net.wakes[2] == 1);
  CHECK(net.take(*one).contains("DNSConfig"));

  net.tailnet().set_dns_config(R"({"Proxied":true})");
  CHECK_FALSE(one->take(net.now).has_value());
  const auto again = net.listen(1);
  CHECK(net.take(*again).at("DERPMap").at("Regions").contains("7"));
}

TEST_CASE("a ping rides in the node's next message, one a message and not without bound") {
  Net net;
  net.join(1, net.reusable_key());
  CHECK_FALSE(net.tailnet().send_ping(1, "{}"));
  const auto session = net.listen(1);
  CHECK(net.tailnet().send_ping(1, R"({"URL":"https://a"})"));
  CHECK(net.take(*session).at("PingRequest").at("URL") == "https://a");
  for (int i = 0; i < 4; ++i) CHECK(net.tailnet().send_ping(1, R"({"URL":"https://b"})"));
  CHECK_FALSE(net.tailnet().send_ping(1, "{}"));
  for (int i = 0; i < 4; ++i) CHECK(net.take(*session).contains("PingRequest"));
  CHECK_FALSE(session->take(net.now).has_value());
}

TEST_CASE("a router that does not answer loses its route to one that does, and comes back fresh") {
  Net net;
  const std::string key = net.reusable_key();
  for (uint8_t n = 1; n <= 3; ++n) net.join(n, key);
  std::vector<std::shared_ptr<MapSession>> sessions;
  for (uint8_t n = 1; n <= 3; ++n) sessions.push_back(net.listen(n));
  const auto primary = [&](uint64_t id) { return !net.tailnet().node(id)->primary_routes.empty(); };
  CHECK(net.tailnet().contested_routers().empty());
  for (const uint8_t n : {uint8_t{2}, uint8_t{3}}) {
    tailcfg::MapRequest update = Net::poll(n);
    update.hostinfo.routable_ips = {"10.9.0.0/16"};
    REQUIRE(net.tailnet().update(machine(n), update, net.now).ok());
    must(wait<NodePtr>(
        [&](auto answer) { net.tailnet().approve_routes(n, {"10.9.0.0/16"}, answer); }));
  }
  CHECK(net.tailnet().contested_routers() == std::vector<uint64_t>{2, 3});
  CHECK(primary(2));
  net.tailnet().set_responsive(2, false, net.now);
  CHECK_FALSE(primary(2));
  CHECK(primary(3));
  // Nobody answers: whoever serves goes on.
  net.tailnet().set_responsive(3, false, net.now);
  CHECK(primary(3));
  net.tailnet().set_responsive(2, true, net.now);
  CHECK(primary(2));
  // A new session is a new chance, but takes nothing away from who serves.
  sessions[2] = net.listen(3);
  CHECK(primary(2));
  // Nor does a question that the session before has left unanswered.
  net.tailnet().set_responsive(2, false, net.now - Millis(1));
  CHECK(primary(2));
  net.tailnet().set_responsive(2, false, net.now);
  CHECK(primary(3));
}

TEST_CASE("a renamed user has the new name at once with everybody who is connected") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto session = net.listen(1);
  CHECK(net.take(*session).at("UserProfiles")[0].at("LoginName") == "ann");
  must(wait<User>([&](auto answer) { net.directory().rename_user(1, "eve", net.now, answer); }));
  const json delta = net.take(*session);
  REQUIRE(delta.at("UserProfiles").size() == 1);
  CHECK(delta.at("UserProfiles")[0].at("ID") == 1);
  CHECK(delta.at("UserProfiles")[0].at("LoginName") == "eve");
}

TEST_CASE("the map of a node that is away is the one of the policy in service") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.join(2, key);
  const auto peers = [&] {
    const json map = json::parse(net.tailnet().full_map(1, net.now).value());
    return map.contains("Peers") ? map.at("Peers").size() : 0;
  };
  CHECK(peers() == 1);
  const auto install = [&](std::string_view text) {
    policy::Problems problems;
    auto compiled = net.tailnet().compile_policy(text, problems);
    REQUIRE(compiled != nullptr);
    net.tailnet().install_policy(std::move(compiled));
  };
  install(R"({"acls": []})");
  CHECK(peers() == 0);
  install(R"({"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})");
  CHECK(peers() == 1);
}

}  // namespace es::control

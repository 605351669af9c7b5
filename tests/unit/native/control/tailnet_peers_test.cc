// What many viewers are told alike.
#include "tests/unit/native/control/tailnet_net.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace es::control {
namespace {

constexpr uint8_t kNodes = 70;  // three blocks, the last one not full

void populate(Net& net) {
  const std::string key = net.reusable_key();
  for (uint8_t n = 1; n <= kNodes; ++n) net.join(n, key);
}

// The peers of a new session of node n, by id.
std::map<uint64_t, json> peers_of(Net& net, uint8_t n, bool zstd = true) {
  tailcfg::MapRequest request = Net::poll(n);
  request.zstd = zstd;
  const auto session = net.tailnet().open_session(machine(n), request, net.now, [] {});
  REQUIRE(session.ok());
  const auto message = (*session)->take(net.now);
  REQUIRE(message.has_value());
  const json map = zstd ? decode(*message) : json::parse(message->joined());
  std::map<uint64_t, json> out;
  for (const json& peer : map.at("Peers")) {
    CHECK(out.emplace(peer.at("ID").get<uint64_t>(), peer).second);
  }
  return out;
}

void check_all_see_all(Net& net, const std::set<uint64_t>& nodes) {
  std::map<uint64_t, json> seen;
  // From each block, and from both ends of one.
  for (const uint8_t viewer : {uint8_t{1}, uint8_t{32}, uint8_t{33}, uint8_t{64}, kNodes}) {
    CAPTURE(int{viewer});
    const auto peers = peers_of(net, viewer);
    CHECK(peers == peers_of(net, viewer, false));
    CHECK(peers.size() == nodes.size() - 1);
    CHECK_FALSE(peers.contains(viewer));
    for (const auto& [id, peer] : peers) {
      CHECK(nodes.contains(id));
      // These were online since their own turn.
      json same = peer;
      same.erase("Online");
      const auto before = seen.try_emplace(id, same).first;
      CHECK(before->second == same);
    }
  }
}

size_t num_shared(const MapMessage& a, const MapMessage& b) {
  return static_cast<size_t>(std::count_if(a.pieces.begin(), a.pieces.end(), [&](const auto& p) {
    return std::find(b.pieces.begin(), b.pieces.end(), p) != b.pieces.end();
  }));
}

}  // namespace

TEST_CASE("whole maps hold every peer once and as it is, whatever blocks they are made of") {
  Net net;
  populate(net);
  std::set<uint64_t> nodes;
  for (uint64_t id = 1; id <= kNodes; ++id) nodes.insert(id);
  check_all_see_all(net, nodes);

  tailcfg::MapRequest update = Net::poll(40);
  update.endpoints = {"192.0.2.40:41641"};
  update.hostinfo.hostname = "host40";
  REQUIRE(net.tailnet().update(machine(40), update, net.now).ok());
  CHECK(peers_of(net, 1).at(40).at("Endpoints") == json({"192.0.2.40:41641"}));
  CHECK(peers_of(net, 41).at(40).at("Endpoints") == json({"192.0.2.40:41641"}));

  // A block that loses members, and a newcomer in a place that was free.
  for (const uint64_t id : {2, 34, 69}) {
    must(wait<void>([&](auto answer) { net.tailnet().remove(id, answer); }));
    nodes.erase(id);
  }
  check_all_see_all(net, nodes);
  net.join(kNodes + 1, net.reusable_key());
  nodes.insert(kNodes + 1);
  check_all_see_all(net, nodes);
}

TEST_CASE(
    "a map of the first node begins with its own block, and that of a lone one has no peers") {
  Net net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  const auto session = net.listen(1);
  CHECK_FALSE(net.take(*session).contains("Peers"));
  for (uint8_t n = 2; n <= 33; ++n) net.join(n, key);
  for (uint64_t id = 2; id <= 32; ++id) {
    must(wait<void>([&](auto answer) { net.tailnet().remove(id, answer); }));
  }
  // Its own block has nobody else, so that the next one begins the list.
  CHECK(peers_of(net, 1).size() == 1);
  CHECK(peers_of(net, 33).size() == 1);
}

TEST_CASE("what two viewers see alike is the same bytes in memory") {
  Net net;
  populate(net);
  const auto one = net.listen(1);
  const auto two = net.listen(2);
  (void)one->take(net.now);
  (void)two->take(net.now);
  // Opened after everybody's marks, so that nothing is rendered anew between the two.
  const auto again = net.listen(1);
  const auto other = net.listen(2);
  const auto a = again->take(net.now);
  const auto b = other->take(net.now);
  REQUIRE((a && b));
  CHECK(num_shared(*a, *b) >= 2);
  CHECK(a->size() < 40'000);
}

TEST_CASE("one change is one message for all who have nothing else to hear") {
  Net net;
  populate(net);
  const auto one = net.listen(1);
  const auto two = net.listen(2);
  const auto three = net.listen(3);
  for (const auto& session : {one, two, three}) {
    while (session->take(net.now)) {
    }
  }
  const auto move = [&](uint8_t n, const char* endpoint) {
    tailcfg::MapRequest update = Net::poll(n);
    update.endpoints = {endpoint};
    update.hostinfo.hostname = "host" + std::to_string(n);  // no new name
    REQUIRE(net.tailnet().update(machine(n), update, net.now).ok());
  };
  move(9, "192.0.2.9:1");
  const auto a = one->take(net.now);
  const auto b = two->take(net.now + Millis{20});
  REQUIRE((a && b));
  CHECK(a->pieces == b->pieces);
  CHECK(decode(*a).at("PeersChangedPatch")[0].at("Endpoints") == json({"192.0.2.9:1"}));

  // The third has more to hear, and a later change is not mixed up with the one before.
  move(10, "192.0.2.10:1");
  CHECK(net.take(*three).at("PeersChangedPatch").size() == 2);
  CHECK(net.take(*one).at("PeersChangedPatch")[0].at("NodeID") == 10);
  move(10, "192.0.2.10:2");
  CHECK(net.take(*one).at("PeersChangedPatch")[0].at("Endpoints") == json({"192.0.2.10:2"}));
  CHECK(net.take(*two).at("PeersChangedPatch")[0].at("Endpoints") == json({"192.0.2.10:2"}));
  CHECK(net.take(*three).at("PeersChangedPatch")[0].at("Endpoints") == json({"192.0.2.10:2"}));

  // Nor does it tell the wrong time for long.
  move(11, "192.0.2.11:1");
  const json early = net.take(*one);
  net.now += Millis{5000};
  CHECK(net.take(*two).at("ControlTime") != early.at("ControlTime"));

  // A node that went.
  must(wait<void>([&](auto answer) { net.tailnet().remove(12, answer); }));
  const auto gone = one->take(net.now);
  REQUIRE(gone.has_value());
  CHECK(decode(*gone).at("PeersRemoved") == json({12}));
  CHECK(two->take(net.now)->pieces == gone->pieces);
}

}  // namespace es::control

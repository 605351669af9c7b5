// A simulated relay: the server's core, any number of clients, and time that the test moves.
#pragma once

#include "native/derp/client.h"
#include "native/derp/server.h"

#include <catch2/catch.hpp>

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace es::derp::test {

using Buffer = std::vector<uint8_t>;

inline Key private_key(uint32_t n) {
  Key key{};
  key[1] = static_cast<uint8_t>(n);
  key[2] = static_cast<uint8_t>(n >> 8U);
  key[3] = static_cast<uint8_t>(n >> 16U);
  return key;
}

struct SimClient : ClientEvents {
  explicit SimClient(uint32_t n)
      : client(Client::create(private_key(n), Nonce{static_cast<uint8_t>(n)},
                              {.mesh_key = "",
                               .version = 2,
                               .can_ack_pings = true,
                               .is_prober = false,
                               .app_name = ""},
                              *this)
                   .value()) {}

  void on_packet(const Key& source, Bytes packet) override {
    packets.emplace_back(source, Buffer(packet.begin(), packet.end()));
  }
  void on_peer_gone(const Key& peer, uint8_t reason) override { gone.emplace_back(peer, reason); }
  void on_keep_alive() override { ++keep_alives; }
  void on_pong(const PingData& data) override { pongs.push_back(data); }
  void on_health(std::string_view text) override { health = std::string(text); }
  void on_restarting(uint32_t reconnect_in_ms, uint32_t try_for_ms) override {
    restarting = {reconnect_in_ms, try_for_ms};
  }

  Key key() const { return client.public_key(); }

  Client client;
  ConnId id = 0;
  std::vector<std::pair<Key, Buffer>> packets;
  std::vector<std::pair<Key, uint8_t>> gone;
  std::vector<PingData> pongs;
  std::string health = "never";
  std::pair<uint32_t, uint32_t> restarting;
  int keep_alives = 0;
  bool stalled = false;  // takes no output
};

class World : public Host {
 public:
  explicit World(ServerConfig config = {}) {
    config.private_key = private_key(0xabcdef);
    server = std::make_unique<Server>(Server::create(config, *this).value());
  }

  // Host.
  void output_ready(ConnId id) override { ready.insert(id); }
  void resume_reading(ConnId id) override { resumed.push_back(id); }
  void close(ConnId id, CloseReason reason) override { closed[id] = reason; }
  Admission admit(ConnId id, const Key& client, const Endpoint&) override {
    asked.emplace_back(id, client);
    return admission;
  }
  void random(MutableBytes out) override {
    for (auto& b : out) b = static_cast<uint8_t>(rng());
  }

  // Opens a connection and hands over the client's greeting, no more.
  SimClient& connect(uint32_t n) {
    clients.push_back(std::make_unique<SimClient>(n));
    SimClient& c = *clients.back();
    const auto id = server->open(Endpoint{}, now);
    REQUIRE(id.ok());
    c.id = *id;
    by_id[c.id] = &c;
    settle();
    return c;
  }
  SimClient& join(uint32_t n) {
    SimClient& c = connect(n);
    REQUIRE(c.client.connected());
    return c;
  }
  // Moves bytes until both sides are quiet.
  void settle() {
    for (bool moved = true; moved;) {
      moved = false;
      const std::set<ConnId> now_ready = std::exchange(ready, {});
      for (const ConnId id : now_ready) {
        const auto it = by_id.find(id);
        if (it == by_id.end()) continue;
        if (it->second->stalled) {
          ready.insert(id);
          continue;
        }
        Buffer out;
        while (server->take_output(id, 1, out)) {
          REQUIRE(it->second->client.receive(out).ok());
          out.clear();
          moved = true;
        }
      }
      for (const auto& c : clients) {
        const Buffer out = c->client.take_output();
        if (out.empty() || closed.contains(c->id)) continue;
        server->receive(c->id, out, now);
        moved = true;
      }
    }
  }
  void send(SimClient& from, const Key& to, Bytes packet) {
    REQUIRE(from.client.send(to, packet).ok());
    settle();
  }
  void leave(SimClient& c) {
    server->closed(c.id);
    by_id.erase(c.id);
    settle();
  }
  void advance(Millis by) {
    now += by;
    server->tick(now);
    settle();
  }

  Millis now{1000};
  Admission admission = Admission::kAdmit;
  std::unique_ptr<Server> server;
  std::vector<std::unique_ptr<SimClient>> clients;
  std::map<ConnId, SimClient*> by_id;
  std::set<ConnId> ready;
  std::vector<ConnId> resumed;
  std::map<ConnId, CloseReason> closed;
  std::vector<std::pair<ConnId, Key>> asked;
  std::mt19937_64 rng{42};
};

}  // namespace es::derp::test

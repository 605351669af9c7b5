#include "native/derp/hub.h"

#include "tests/unit/native/derp/relay_world.h"
#include "tests/unit/native/fake_stream.h"

#include <catch2/catch.hpp>

namespace es::derp {

using es::test::FakeStream;
using es::test::Loop;
using es::test::Wire;
using test::Buffer;
using test::SimClient;

namespace {

struct Fixture {
  explicit Fixture(HubConfig config = {}) {
    config.server.private_key = test::private_key(77);
    hub =
        Hub::create(config, {.clock = [this] { return now; },
                             .random =
                                 [](MutableBytes out) {
                                   for (auto& b : out) b = 5;
                                 },
                             .admit =
                                 [this](ConnId id, const Key&, const Endpoint&) {
                                   last_asked = id;
                                   return admission;
                                 },
                             .on_close = [this](const Endpoint&,
                                                CloseReason reason) { closed.push_back(reason); }})
            .value();
  }

  struct Party {
    std::unique_ptr<SimClient> sim;
    std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  };

  Party& connect(uint32_t n) {
    parties.push_back(std::make_unique<Party>());
    Party& p = *parties.back();
    p.sim = std::make_unique<SimClient>(n);
    hub->serve(std::make_unique<FakeStream>(loop, p.wire), {});
    settle();
    return p;
  }

  // Completes reads and writes until nothing moves.
  void settle() {
    for (bool moved = true; moved;) {
      moved = !loop.tasks.empty();
      loop.run();
      for (const auto& p : parties) moved = step(*p) || moved;
    }
  }
  static bool step(Party& p) {
    Wire& w = *p.wire;
    bool moved = false;
    if (w.write_done && !w.blocked) {
      moved = true;
      REQUIRE(p.sim->client.receive(w.writing).ok());
      std::exchange(w.write_done, nullptr)(Status());
    }
    const Buffer out = p.sim->client.take_output();
    w.to_server.insert(w.to_server.end(), out.begin(), out.end());
    if (w.read_done && (!w.to_server.empty() || w.client_closed)) {
      moved = true;
      const size_t len = std::min(w.read_into.size(), w.to_server.size());
      std::copy_n(w.to_server.begin(), len, w.read_into.begin());
      w.to_server.erase(w.to_server.begin(),
                        w.to_server.begin() + static_cast<std::ptrdiff_t>(len));
      std::exchange(w.read_done, nullptr)(len);
    }
    return moved;
  }

  Millis now{1};
  Admission admission = Admission::kAdmit;
  ConnId last_asked = 0;
  std::vector<CloseReason> closed;
  Loop loop;
  std::unique_ptr<Hub> hub;
  std::vector<std::unique_ptr<Party>> parties;
};

}  // namespace

TEST_CASE("the hub relays between streams, large packets included") {
  Fixture f;
  auto& a = f.connect(1);
  auto& b = f.connect(2);
  REQUIRE(a.sim->client.connected());
  CHECK(a.wire->write_timeout == Millis(2000));
  for (const size_t len : {0, 1300, 65536}) {
    REQUIRE(a.sim->client.send(b.sim->key(), Buffer(len, 7)).ok());
    f.settle();
    CHECK(b.sim->packets.back().second.size() == len);
  }
  for (int i = 0; i < 50; ++i) {
    REQUIRE(a.sim->client.send(b.sim->key(), Buffer(1300, 7)).ok());
  }
  f.settle();
  CHECK(b.sim->packets.size() == 53);
  CHECK(f.hub->stats().dropped_queue == 0);
  CHECK(f.hub->clients().size() == 2);
}

TEST_CASE("a client that goes away takes its stream with it, and others are told") {
  Fixture f;
  auto& a = f.connect(1);
  auto& b = f.connect(2);
  REQUIRE(a.sim->client.send(b.sim->key(), as_bytes("x")).ok());
  f.settle();
  a.wire->client_closed = true;
  f.settle();
  CHECK(a.wire->destroyed);
  CHECK(b.sim->gone.size() == 1);
  CHECK(f.hub->stats().connections == 1);
  CHECK(f.closed.empty());
}

TEST_CASE("a stream that fails in a write is gone") {
  Fixture f;
  auto& a = f.connect(1);
  a.wire->blocked = true;
  f.now += Millis(70000);
  f.hub->tick();
  f.settle();
  REQUIRE(a.wire->write_done);
  std::exchange(a.wire->write_done, nullptr)(Status(reconnect("timeout")));
  f.settle();
  CHECK(a.wire->destroyed);
  CHECK(f.hub->stats().connections == 0);
}

TEST_CASE("what the relay ends is closed and told with its reason") {
  Fixture f({.server = {.max_handshaking = 2}});
  SECTION("refused") {
    f.admission = Admission::kRefuse;
    auto& a = f.connect(1);
    CHECK(a.wire->destroyed);
    CHECK(f.closed == std::vector<CloseReason>{CloseReason::kNotAdmitted});
  }
  SECTION("decided later") {
    f.admission = Admission::kLater;
    auto& a = f.connect(1);
    CHECK_FALSE(a.wire->read_done);
    f.hub->admission_decided(f.last_asked, Admission::kAdmit);
    f.settle();
    CHECK(a.sim->client.connected());
    CHECK(a.wire->read_done);
    CHECK(f.hub->disconnect(a.sim->key()) == 1);
    f.settle();
    CHECK(a.wire->destroyed);
    CHECK(f.closed == std::vector<CloseReason>{CloseReason::kDisconnected});
  }
  SECTION("too many at once") {
    f.admission = Admission::kLater;
    f.connect(1);
    f.connect(2);
    auto& c = f.connect(3);
    CHECK(c.wire->destroyed);
  }
  SECTION("the server stops") {
    auto& a = f.connect(1);
    a.wire->on_stop();
    f.settle();
    CHECK(a.wire->destroyed);
    CHECK(f.hub->stats().connections == 0);
  }
}

TEST_CASE("a slow stream holds one batch and a bounded queue") {
  Fixture f;
  auto& a = f.connect(1);
  auto& slow = f.connect(2);
  auto& c = f.connect(3);
  slow.wire->blocked = true;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i) {
      REQUIRE(a.sim->client.send(slow.sim->key(), Buffer(1300, 1)).ok());
      REQUIRE(a.sim->client.send(c.sim->key(), Buffer(1300, 1)).ok());
    }
    f.settle();
  }
  CHECK(c.sim->packets.size() == 400);
  CHECK(f.hub->stats().dropped_queue > 200);
  slow.wire->blocked = false;
  f.settle();
  CHECK(slow.sim->packets.size() + f.hub->stats().dropped_queue == 400);
}

}  // namespace es::derp

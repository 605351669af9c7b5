// Connections and the relay with many threads at once: nothing may hang, and all that was opened is
// gone at the end.
#include "tests/unit/native/threads.h"

#include "native/derp/client.h"
#include "native/derp/upgrade.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

namespace es {
namespace {

using namespace test;

// Does what it is given on a thread of its own, until it dies.
class Elsewhere {
 public:
  Elsewhere() : thread_([this] { run(); }) {}
  ~Elsewhere() {
    stopping_ = true;
    thread_.join();
  }
  void give(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }

 private:
  void run() {
    while (!stopping_) {
      std::deque<std::function<void()>> tasks;
      {
        const std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
      }
      for (const auto& task : tasks) task();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("connections end wherever their answers come from") {
  Elsewhere elsewhere;
  auto options = four_threads();
  options.routes = [&](net::Router& router) {
    router.add("GET", "/later", [&](const net::Request&, const net::Reply& reply) {
      elsewhere.give([reply] { reply(net::text_response(200, "later")); });
    });
    router.add("GET", "/never", [&](const net::Request&, const net::Reply& reply) {
      elsewhere.give([reply] {});  // its last copy goes there
    });
    const auto upgrade = [&](net::Upgrade asked, auto use) {
      auto held = std::make_shared<net::Upgrade>(std::move(asked));
      elsewhere.give([held, use] { use(std::move(*held)); });
    };
    router.add_upgrade("GET", "/drop",
                       [=](net::Upgrade asked) { upgrade(std::move(asked), [](net::Upgrade) {}); });
    router.add_upgrade("GET", "/refuse", [=](net::Upgrade asked) {
      upgrade(std::move(asked),
              [](net::Upgrade u) { std::move(u).refuse(net::text_response(400, "no")); });
    });
    router.add_upgrade("GET", "/take", [&](net::Upgrade asked) {
      std::shared_ptr<net::ByteStream> stream = std::move(asked).take({{"Upgrade", "x"}});
      if (stream == nullptr) return;
      net::ByteStream& on = *stream;
      elsewhere.give([stream = std::move(stream), &on]() mutable {
        // Back to its strand, where it dies.
        on.post([held = std::move(stream)] { held->close(); });
      });
    });
  };
  std::optional<net::TestServer> server(std::move(options));
  std::atomic<int> wrong = 0;
  std::atomic<int> answers = 0;
  in_threads(kClients, [&](unsigned, std::mt19937_64& random) {
    net::RawClient client(server->port());
    const bool waits = random() % 4 != 0;  // or is gone before the answer
    const auto ask = [&](std::string_view path, std::string_view fields, int status) {
      client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(fields) +
                  "\r\n");
      if (!waits) return;
      const int got = client.read_response().status;
      if (got != status) ++wrong;
      ++answers;
    };
    constexpr std::string_view kUpgrade = "Connection: upgrade\r\nUpgrade: x\r\n";
    switch (random() % 5) {
      case 0:
        return ask("/later", "", 200);
      case 1:
        return ask("/never", "", 500);
      case 2:
        return ask("/drop", kUpgrade, 500);
      case 3:
        return ask("/refuse", kUpgrade, 400);
      default:
        return ask("/take", kUpgrade, 101);
    }
  });
  CHECK(wrong == 0);
  CHECK(answers > 20);
  CHECK(all_closed(*server));
  server.reset();
}

TEST_CASE("the relay serves, is asked and is changed by many threads") {
  derp::HubConfig config;
  config.server.private_key = key_of(99);
  std::atomic<uint8_t> salt = 0;
  derp::HubEnvironment environment;
  environment.clock = monotonic;
  environment.random = [&](MutableBytes out) {
    for (uint8_t& b : out) b = ++salt;
  };
  environment.admit = [](auto, const auto&, const auto&) { return derp::Admission::kAdmit; };
  const auto hub = derp::Hub::create(config, std::move(environment)).value();
  auto options = four_threads();
  options.routes = [&](net::Router& router) {
    router.add_upgrade("GET", "/derp", derp::upgrade_handler(*hub));
  };
  net::TestServer server(std::move(options));

  struct Party : derp::ClientEvents {
    void on_packet(const derp::Key&, Bytes) override { ++packets; }
    int packets = 0;
  };
  std::atomic<int> relayed = 0;
  std::atomic<int> broken = 0;
  const auto client = [&](unsigned n, std::mt19937_64& random) {
    net::RawClient socket(server.port());
    socket.send("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: DERP\r\n\r\n");
    if (test::read_status(socket) != 101) return;
    Party party;
    derp::ClientInfo info;
    info.version = 2;
    info.can_ack_pings = true;
    auto made = derp::Client::create(key_of(n), derp::Nonce{static_cast<uint8_t>(n)}, info, party);
    derp::Client& me = *made;
    const auto carry = [&](int wait_ms) {
      if (!socket.send(as_text(me.take_output()))) return false;
      const std::string got = socket.read_some(65536, wait_ms);
      if (!got.empty() && !me.receive(as_bytes(got)).ok()) ++broken;
      return !got.empty();
    };
    for (int i = 0; i < 20 && !me.connected(); ++i) carry(50);
    if (!me.connected()) return;
    for (int i = 0; i < 50; ++i) {
      const unsigned peer = 1 + static_cast<unsigned>(random() % kClients);
      (void)me.send(noise::x25519_public(key_of(peer)).value(), std::vector<uint8_t>(1000, 'p'));
      if (random() % 8 == 0) me.ping({});
      carry(0);
    }
    for (int i = 0; i < 10 && carry(5); ++i) {
    }
    relayed += party.packets;
  };
  in_threads(kClients + 1, [&](unsigned n, std::mt19937_64& random) {
    if (n <= kClients) return client(n, random);
    hub->tick();
    (void)hub->stats();
    (void)hub->clients();
    const unsigned gone = 1 + static_cast<unsigned>(random() % kClients);
    if (random() % 16 == 0) hub->disconnect(noise::x25519_public(key_of(gone)).value());
    if (random() % 64 == 0) hub->announce_restart(1, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  CHECK(broken == 0);
  CHECK(relayed > 0);
  CHECK(all_closed(server));
  CHECK(hub->stats().connections == 0);
}

}  // namespace es

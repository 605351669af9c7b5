// Connections of strangers, on real sockets: those that never finish their handshake (control and
// relay), and those that finish it and then ask for nothing, or for much.
#include "native/ts2021/half_open.h"

#include "native/derp/upgrade.h"
#include "tests/unit/native/ts2021/control_pair.h"
#include "tests/unit/native/ts2021/socket_client.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

namespace es::ts2021 {
namespace {

// Answers 204 to all but /hold; some paths say what is known of the machine.
struct Silent : h2::ServerHandler {
  Silent(std::weak_ptr<Connection> c, std::atomic<int>& h) : connection(std::move(c)), held(h) {}
  void on_request(h2::StreamId id, h2::Request request, h2::HasBody) override {
    paths[id] = request.path;
  }
  void on_body(h2::StreamId, Bytes) override {}
  void on_request_end(h2::StreamId id) override {
    const auto c = connection.lock();
    if (paths[id] == "/known") c->set_standing(Standing::kKnown);
    if (paths[id] == "/wait") c->set_standing(Standing::kWaiting);
    if (paths[id] == "/stranger") c->set_standing(Standing::kStranger);
    if (paths[id] == "/hold") {
      ++held;
      return;
    }
    c->http().respond(id, {.status = 204, .headers = {}}, h2::HasBody::kNo);
  }
  void on_writable(h2::StreamId) override {}
  void on_closed(h2::StreamId id, h2::ErrorCode) override { paths.erase(id); }

  std::weak_ptr<Connection> connection;
  std::map<h2::StreamId, std::string> paths;
  std::atomic<int>& held;
};

using test::monotonic;

noise::Initiator initiator() {
  return noise::Initiator::create(test::filled_key(3),
                                  noise::x25519_public(test::filled_key(1)).value(),
                                  test::filled_key(4), 113)
      .value();
}

// A control server with few places and a short deadline.
struct Site {
  explicit Site(HalfOpen::Limits limits) : half_open(limits, {}) {
    derp::HubConfig config;
    config.server.private_key = test::filled_key(7);
    config.server.max_handshaking = 3;
    config.server.handshake_timeout = Millis(400);
    derp::HubEnvironment environment;
    environment.clock = monotonic;
    environment.random = [](MutableBytes out) { std::fill(out.begin(), out.end(), 1); };
    environment.admit = [](auto, const auto&, const auto&) { return derp::Admission::kAdmit; };
    hub = derp::Hub::create(config, std::move(environment)).value();

    auto settings = net::TestServer::options();
    settings.routes = [this](net::Router& router) {
      Options options;
      options.clock = monotonic;
      options.preface_timeout = Millis(400);
      options.stranger_timeout = Millis(1500);
      options.limits.request_timeout = Millis(600);
      options.stranger_limits.request_timeout = Millis(600);
      options.half_open = &half_open;
      options.deadlines = &deadlines;
      options.make_handler = [this](const auto& c) { return std::make_unique<Silent>(c, held); };
      const auto make_keys = [] {
        Keys keys;
        keys.static_private = test::filled_key(1);
        keys.ephemeral_private = test::filled_key(2);
        return keys;
      };
      const auto handler = upgrade_handler(options, make_keys, {});
      router.add_upgrade("POST", "/ts2021", handler);
      router.add_upgrade("GET", "/ts2021", handler);
      router.add_upgrade("GET", "/derp", derp::upgrade_handler(*hub));
    };
    server.emplace(std::move(settings));
    ticker = std::thread([this] {
      while (!stopping) {
        deadlines.tick(monotonic());
        hub->tick();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
  }
  ~Site() {
    stopping = true;
    ticker.join();
  }

  static int open(net::RawClient& client, std::string_view initiation) {
    return test::begin_upgrade(client, as_bytes(initiation));
  }
  // Waits for what the server does behind the clients' backs.
  template <class F>
  static bool eventually(F is_so) {
    for (int i = 0; i < 500 && !is_so(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return is_so();
  }

  std::atomic<int> held{0};  // streams
  HalfOpen half_open;
  Deadlines deadlines;
  std::unique_ptr<derp::Hub> hub;
  std::atomic<bool> stopping{false};
  std::thread ticker;
  std::optional<net::TestServer> server;
};

std::string text_of(Bytes bytes) { return std::string(as_text(bytes)); }

// Places without connections, by number. 127.0.0.1 is shared.
struct Table {
  explicit Table(HalfOpen::Limits limits)
      : half_open(limits, [](std::string_view address) { return address == "127.0.0.1"; }) {}

  std::optional<size_t> take(const std::string& address) {
    const size_t id = next_id++;
    auto place = half_open.take(address, now);
    if (!place) return std::nullopt;
    half_open.on_evicted(place, [this, id] { evicted.push_back(id); });
    places[id] = std::move(place);
    return id;
  }
  bool wait(const std::optional<size_t>& id) { return half_open.wait(places.at(id.value()), now); }
  void keep(const std::optional<size_t>& id) { half_open.keep(places.at(id.value())); }
  void drop(const std::optional<size_t>& id) { places.erase(id.value()); }

  HalfOpen half_open;
  Millis now{0};
  size_t next_id = 0;
  std::map<size_t, HalfOpen::Place> places;
  std::vector<size_t> evicted;
};

// Through the handshake.
struct Client : test::SocketClient {
  explicit Client(const Site& site) : SocketClient(site.server->port(), initiator()) {
    REQUIRE_FALSE(ended);
  }
};

}  // namespace

TEST_CASE("places are bounded in all and by address, IPv6 by /64, and come back") {
  Table t({.total = 4, .per_address = 2});
  const auto a = t.take("192.0.2.1");
  CHECK(t.take("192.0.2.1"));
  CHECK_FALSE(t.take("192.0.2.1"));
  CHECK(t.take("2001:db8:0:1::1"));
  const auto d = t.take("2001:db8:0:1::2");
  CHECK(d);
  CHECK_FALSE(t.take("127.0.0.1"));  // full
  t.drop(d);
  const auto e = t.take("127.0.0.1");
  CHECK(e);
  t.drop(e);
  t.drop(a);
  CHECK(t.take("192.0.2.1"));
  CHECK_FALSE(t.take("192.0.2.1"));
  CHECK(t.half_open.taken() == 3);
  CHECK(t.half_open.refused() == 3);
  CHECK(t.half_open.evicted() == 0);
}

TEST_CASE("a shared address counts in all only, and loses its oldest when it holds most") {
  Table t({.total = 3, .per_address = 1});
  const auto a = t.take("127.0.0.1");
  const auto b = t.take("127.0.0.1");
  const auto other = t.take("192.0.2.1");
  CHECK(b);
  t.now += Millis(1000);
  CHECK(t.take("127.0.0.1"));
  CHECK(t.evicted == std::vector{*a});
  CHECK(t.take("192.0.2.2"));
  CHECK(t.evicted == std::vector{*a, *b});
  CHECK(other);
}

TEST_CASE("a newcomer gets the place of the oldest of the network that holds most") {
  Table t({.total = 6, .per_address = 3});
  const auto honest = t.take("192.0.2.1");
  const auto x = t.take("198.51.100.1");
  const auto y = t.take("203.0.113.1");
  for (int i = 0; i < 2; ++i) CHECK(t.take("203.0.113.1"));
  const auto x2 = t.take("198.51.100.1");
  t.now += Millis(1000);
  // The network with three loses one, then that with two whose oldest is older.
  CHECK(t.take("192.0.2.2"));
  CHECK(t.evicted == std::vector{*y});
  CHECK(t.take("192.0.2.3"));
  CHECK(t.evicted == std::vector{*y, *x});
  // Of those who hold as much as anybody, each makes room for its own.
  const auto y2 = t.take("203.0.113.1");
  CHECK(t.evicted == std::vector{*y, *x, *y + 1});
  CHECK(t.half_open.taken() == 6);
  CHECK(t.half_open.evicted() == 3);
  // Where all that are old have one, the oldest goes.
  t.drop(y2);
  CHECK(t.take("192.0.2.4"));
  CHECK(t.take("192.0.2.5"));
  CHECK(t.evicted.back() == *honest);
  CHECK(t.take("192.0.2.6"));
  CHECK(t.evicted.back() == *y + 2);
  // Who holds more than others does not push them out.
  CHECK_FALSE(t.take("192.0.2.5"));
  CHECK(x2);
}

TEST_CASE("a network at its limit makes room for its own newcomers") {
  Table t({.total = 10, .per_address = 2});
  const auto a = t.take("192.0.2.1");
  const auto b = t.take("192.0.2.1");
  t.now += Millis(999);
  CHECK_FALSE(t.take("192.0.2.1"));
  t.now += Millis(1);
  CHECK(t.take("192.0.2.1"));
  CHECK(t.evicted == std::vector{*a});
  CHECK(t.take("192.0.2.1"));
  CHECK(t.evicted == std::vector{*a, *b});
  // All are young again.
  CHECK_FALSE(t.take("192.0.2.1"));
  CHECK(t.half_open.taken() == 2);
}

TEST_CASE("however fast strangers come, nobody loses a place before its time") {
  Table t({.total = 8, .per_address = 4});
  const auto honest = t.take("192.0.2.1");
  REQUIRE(honest);
  for (; t.now < Millis(1000); t.now += Millis(1)) {
    (void)t.take("203.0.113." + std::to_string(t.now.count() % 7));
    REQUIRE(t.evicted.empty());
  }
  CHECK(t.half_open.taken() == 8);
  CHECK(t.half_open.refused() > 900);
}

TEST_CASE("a machine that is known loses its place to nobody") {
  Table t({.total = 2, .per_address = 2});
  const auto known = t.take("192.0.2.1");
  const auto stranger = t.take("192.0.2.1");
  const bool early = GENERATE(true, false);
  if (early) t.keep(known);
  t.now += Millis(1000);
  if (!early) t.keep(known);
  CHECK(t.take("192.0.2.1"));
  CHECK(t.evicted == std::vector{*stranger});
  t.now += Millis(1000);
  CHECK(t.take("192.0.2.1"));
  CHECK(t.evicted.size() == 2);
  CHECK(t.half_open.taken() == 2);
}

TEST_CASE("who waits makes room for a network with fewer, but not for its own") {
  Table t({.waiting_total = 3, .waiting_per_address = 2});
  const auto a = t.take("192.0.2.1");
  const auto b = t.take("192.0.2.1");
  const auto c = t.take("192.0.2.1");
  const auto d = t.take("192.0.2.2");
  const auto e = t.take("192.0.2.3");
  for (const auto& place : {a, b, d}) CHECK(t.wait(place));
  t.now += Millis(1000);
  CHECK_FALSE(t.wait(c));
  CHECK(t.evicted.empty());
  CHECK(t.wait(e));
  CHECK(t.evicted == std::vector{*a});
  CHECK(t.half_open.waiting() == 3);
  CHECK(t.half_open.taken() == 1);
  // The evicted one has no place to wait at any more.
  CHECK_FALSE(t.wait(a));
  t.half_open.wait_no_more(t.places[*a], t.now);
  t.drop(a);
  CHECK(t.half_open.waiting() == 3);
  CHECK(t.half_open.taken() == 1);
}

TEST_CASE("whoever is told late that its place is gone is told at once") {
  HalfOpen half_open({.total = 1}, {});
  const auto first = half_open.take("192.0.2.1", Millis(0));
  const auto second = half_open.take("192.0.2.2", Millis(1000));
  REQUIRE(second);
  int told = 0;
  half_open.on_evicted(first, [&] { ++told; });
  CHECK(told == 1);
}

// What half_open.h says, the slow way.
struct Model {
  struct Entry {
    size_t id;
    std::string address;
    Millis since;
    bool kept;
  };
  size_t count(const std::string& address) const {
    return static_cast<size_t>(std::count_if(all.begin(), all.end(),
                                             [&](const Entry& e) { return e.address == address; }));
  }
  // Whether there is a place, and whose it was.
  std::pair<bool, std::optional<size_t>> take(size_t id, const std::string& address, Millis now) {
    const auto pick = [&](auto may_go) {
      auto best = all.end();
      for (auto it = all.begin(); it != all.end(); ++it) {
        if (it->kept || now - it->since < limits.safe_for || !may_go(*it)) continue;
        if (best == all.end() || count(it->address) > count(best->address)) best = it;
      }
      return best;
    };
    std::optional<size_t> gone;
    const bool at_limit = count(address) >= limits.per_address;
    if (at_limit || all.size() >= limits.total) {
      auto it = at_limit ? all.end() : pick([](const Entry&) { return true; });
      if (it == all.end() || count(it->address) <= count(address)) {
        it = pick([&](const Entry& e) { return e.address == address; });
      }
      if (it == all.end()) return {false, {}};
      gone = it->id;
      all.erase(it);
    }
    all.push_back({id, address, now, false});
    return {true, gone};
  }

  HalfOpen::Limits limits;
  std::vector<Entry> all{};  // in the order of coming
};

TEST_CASE("places come and go as in an obvious model") {
  const auto seed = static_cast<unsigned>(std::random_device()());
  CAPTURE(seed);
  std::mt19937 random(seed);
  const HalfOpen::Limits limits{.total = 12, .per_address = 5, .safe_for = Millis(30)};
  Table t(limits);
  Model model{limits};
  for (int i = 0; i < 20'000; ++i) {
    t.now += Millis(random() % 4);
    const size_t num_evicted = t.evicted.size();
    if (!model.all.empty() && random() % 4 == 0) {
      Model::Entry& one = model.all[random() % model.all.size()];
      if (random() % 3 == 0) {
        t.keep(one.id);
        one.kept = true;
      } else {
        t.drop(one.id);
        model.all.erase(model.all.begin() + (&one - model.all.data()));
      }
    } else {
      const std::string address = "192.0.2." + std::to_string(1 + random() % 6);
      const auto id = t.take(address);
      const auto [taken, gone] = model.take(t.next_id - 1, address, t.now);
      REQUIRE(id.has_value() == taken);
      REQUIRE(t.evicted.size() - num_evicted == (gone ? 1U : 0U));
      if (gone) REQUIRE(t.evicted.back() == *gone);
    }
    REQUIRE(t.half_open.taken() == model.all.size());
  }
}

TEST_CASE("clients that stay silent after the upgrade are bounded and sent away in time") {
  Site site({.total = 3, .per_address = 3});
  const auto hello = initiator().initiation();
  std::vector<net::RawClient> silent;
  for (int i = 0; i < 3; ++i) {
    silent.emplace_back(site.server->port());
    REQUIRE(site.open(silent.back(), text_of(hello)) == 101);
  }
  net::RawClient late(site.server->port());
  CHECK(site.open(late, text_of(hello)) == 503);
  CHECK(site.half_open.taken() == 3);
  // Neither a wrong initiation nor one too many costs a place for long.
  for (net::RawClient& client : silent) {
    (void)client.read_some(4096, 100);
    CHECK(client.read_to_end(3000).find("HTTP/1.1") == std::string::npos);
  }
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  net::RawClient next(site.server->port());
  CHECK(site.open(next, text_of(hello)) == 101);
}

TEST_CASE("an initiation that is wrong, cut or noise gives its place back at once") {
  Site site({.total = 1, .per_address = 1});
  const auto hello = initiator().initiation();
  std::string forged = text_of(hello);
  forged.back() = static_cast<char>(forged.back() ^ 1);
  for (const std::string& bad : {forged, text_of(hello).substr(0, 50), std::string(101, 'x')}) {
    net::RawClient client(site.server->port());
    CHECK(site.open(client, bad) == 101);
    (void)client.read_to_end(2000);
    CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  }
}

TEST_CASE("whoever speaks inside Noise keeps its place until its machine is known") {
  Site site({.total = 1, .per_address = 1});
  Client client(site);
  CHECK(client.ask("/anything") == 204);
  CHECK(site.half_open.taken() == 1);
  net::RawClient second(site.server->port());
  CHECK(site.open(second, text_of(initiator().initiation())) == 503);
  CHECK(client.ask("/known") == 204);
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  // It may be silent for longer than a stranger.
  client.run(Millis(2200));
  CHECK(client.ask("/anything") == 204);
}

TEST_CASE("an old stranger is sent away when a newcomer finds no place, a known machine is not") {
  const bool waits = GENERATE(false, true);
  CAPTURE(waits);
  Site site({.total = 2, .per_address = 2, .safe_for = Millis(300)});
  Client known(site);
  CHECK(known.ask("/known") == 204);
  Client first(site);
  Client second(site);
  CHECK(first.ask("/anything") == 204);
  CHECK(second.ask(waits ? "/wait" : "/anything") == 204);
  first.run(Millis(300));
  Client third(site);
  CHECK(third.ask("/anything") == 204);
  if (!waits) {
    first.run(Millis(1000));
    CHECK(first.ended);
    CHECK(first.goaway == h2::ErrorCode::kNoError);
  }
  CHECK(site.half_open.evicted() == (waits ? 0U : 1U));
  // The next one costs the second its place, unless that is counted apart.
  Client fourth(site);
  CHECK(fourth.ask("/anything") == 204);
  (waits ? first : second).run(Millis(1000));
  CHECK((waits ? first : second).ended);
  CHECK((waits ? second : third).ask("/anything") == 204);
  CHECK(known.ask("/anything") == 204);
  CHECK(site.half_open.taken() == 2);
}

TEST_CASE("who has lost its place and becomes known before it hears of that stays") {
  HalfOpen half_open({.total = 1}, {});
  Deadlines deadlines;
  std::atomic<int> held{0};
  test::ControlPair pair([&](const auto& c) { return std::make_unique<Silent>(c, held); });
  Millis now{0};
  pair.options.clock = [&] { return now; };
  pair.options.half_open = &half_open;
  pair.options.deadlines = &deadlines;
  REQUIRE(pair.connect().ok());
  const bool becomes_known = GENERATE(true, false);
  now = Millis(1000);
  const auto newcomer = half_open.take("192.0.2.2", now);
  REQUIRE(newcomer);
  REQUIRE(pair.loop.tasks.size() == 1);
  if (becomes_known) pair.connection.lock()->set_standing(Standing::kKnown);
  REQUIRE(pair.settle());
  CHECK(pair.wire->server_closed == !becomes_known);
  CHECK(pair.goaway.has_value() == !becomes_known);
}

TEST_CASE("a stranger that finishes the handshake and asks for nothing is sent away in time") {
  Site site({});
  Client client(site);
  const Millis begun = monotonic();
  CHECK(client.ask("/anything") == 204);
  // What it sends meanwhile does not help.
  while (!client.ended && monotonic() - begun < Millis(5000)) {
    client.http.ping();
    client.run(Millis(50));
  }
  CHECK(monotonic() - begun >= Millis(1400));
  CHECK(monotonic() - begun < Millis(3000));
  CHECK(client.goaway == h2::ErrorCode::kNoError);
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
}

TEST_CASE(
    "a stranger has few streams, small heads and small bodies; a machine that is known more") {
  Site site({});
  Client client(site);
  REQUIRE(client.ask("/anything") == 204);
  const std::string body(200'000, 'b');
  const std::vector<h2::Header> large_head = {{"x-header", std::string(9000, 'h')}};
  SECTION("a stranger") {
    CHECK(client.status_of(*client.post("/large-head", {}, large_head)) == 431);
    CHECK(client.status_of(*client.post("/large-body", body)) == 413);
    for (int i = 0; i < 20; ++i) REQUIRE(client.post("/hold"));
    client.run(Millis(200));
    CHECK(site.held == 8);
  }
  SECTION("one that is known") {
    CHECK(client.ask("/known") == 204);
    CHECK(client.status_of(*client.post("/large-head", {}, large_head)) == 204);
    CHECK(client.status_of(*client.post("/large-body", body)) == 204);
    for (int i = 0; i < 100; ++i) REQUIRE(client.post("/hold"));
    client.run(Millis(2000), [&] { return site.held == 100; });
    CHECK(site.held == 100);
  }
}

TEST_CASE("unfinished bodies of a stranger are bounded in all") {
  Site site({});
  Client client(site);
  REQUIRE(client.ask("/anything") == 204);
  for (uint32_t id = 101; id <= 107; id += 2) client.begin_request(id, 40'000);
  client.run(Millis(200));
  CHECK(client.raw.find("413") != std::string::npos);
}

TEST_CASE("a body that comes in byte by byte ends with 408, of a stranger and of a known machine") {
  const bool known = GENERATE(false, true);
  CAPTURE(known);
  Site site({});
  Client client(site);
  REQUIRE(client.ask(known ? "/known" : "/anything") == 204);
  client.begin_request(101, 1);
  const Millis begun = monotonic();
  while (client.raw.find("408") == std::string::npos && monotonic() - begun < Millis(3000)) {
    client.send_data(101, 1);
    client.run(Millis(50));
  }
  CHECK(monotonic() - begun >= Millis(500));
  CHECK(monotonic() - begun < Millis(1200));
  CHECK_FALSE(client.ended);
}

TEST_CASE("who waits for a person has time, as many as there are places for") {
  Site site({.total = 3, .per_address = 3, .waiting_total = 2, .waiting_per_address = 1});
  Client waiting(site);
  CHECK(waiting.ask("/wait") == 204);
  CHECK(site.half_open.waiting() == 1);
  CHECK(site.half_open.taken() == 0);
  Client crowded(site);
  CHECK(crowded.ask("/wait") == 204);
  CHECK(site.half_open.waiting() == 1);
  CHECK(site.half_open.taken() == 1);
  crowded.run(Millis(2500));
  CHECK(crowded.ended);
  CHECK(waiting.ask("/anything") == 204);
  // Its time begins again when nobody is to decide any more.
  CHECK(waiting.ask("/stranger") == 204);
  CHECK(site.half_open.waiting() == 0);
  CHECK(site.half_open.taken() == 1);
  waiting.run(Millis(1000));
  CHECK_FALSE(waiting.ended);
  waiting.run(Millis(1500));
  CHECK(waiting.ended);
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
}

TEST_CASE("a stranger may ask a hundred times on one connection") {
  Site site({});
  Client client(site);
  int answered = 0;
  while (!client.goaway && answered < 1000) answered += client.ask("/anything") == 204 ? 1 : 0;
  CHECK(answered == 100);
}

TEST_CASE("half-open control connections over WebSocket are bounded and sent away too") {
  Site site({.total = 2, .per_address = 2});
  std::string text = base64_encode(initiator().initiation(), Base64Alphabet::kStandardPadded);
  std::string encoded;
  for (const char c : text) {
    encoded += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3D" : std::string(1, c);
  }
  const auto open = [&](net::RawClient& client) {
    client.send("GET /ts2021?" + std::string(kHandshakeHeader) + "=" + encoded +
                " HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Protocol: tailscale-control-protocol\r\n\r\n");
    return test::read_status(client);
  };
  std::vector<net::RawClient> silent;
  for (int i = 0; i < 2; ++i) {
    silent.emplace_back(site.server->port());
    REQUIRE(open(silent.back()) == 101);
  }
  net::RawClient late(site.server->port());
  CHECK(open(late) == 503);
  std::this_thread::sleep_for(std::chrono::milliseconds(450));
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  net::RawClient next(site.server->port());
  CHECK(open(next) == 101);
}

TEST_CASE("relay connections that send nothing are bounded and closed at their deadline") {
  Site site({});
  const auto open = [&](net::RawClient& client) {
    client.send("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: DERP\r\n\r\n");
    return test::read_status(client);
  };
  std::vector<net::RawClient> silent;
  for (int i = 0; i < 3; ++i) {
    silent.emplace_back(site.server->port());
    REQUIRE(open(silent.back()) == 101);
  }
  REQUIRE(Site::eventually([&] { return site.hub->stats().handshaking == 3; }));
  net::RawClient late(site.server->port());
  CHECK(open(late) == 101);  // then closed without a word
  CHECK(late.read_to_end(2000).empty());
  CHECK(site.hub->stats().refused_full == 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(450));
  CHECK(Site::eventually([&] { return site.hub->stats().connections == 0; }));
}

}  // namespace es::ts2021

// Connections that never finish their handshake, on real sockets: control and relay.
#include "native/ts2021/half_open.h"

#include "common/base/base64.h"
#include "native/derp/upgrade.h"
#include "native/ts2021/upgrade.h"
#include "tests/unit/native/net/test_server.h"
#include "tests/unit/native/ts2021/control_pair.h"

#include <catch2/catch.hpp>

#include <chrono>
#include <sys/socket.h>
#include <thread>

namespace es::ts2021 {
namespace {

struct Silent : h2::ServerHandler {
  void on_request(h2::StreamId, h2::Request, h2::HasBody) override {}
  void on_body(h2::StreamId, Bytes) override {}
  void on_request_end(h2::StreamId) override {}
  void on_writable(h2::StreamId) override {}
  void on_closed(h2::StreamId, h2::ErrorCode) override {}
};

Millis monotonic() {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch());
}

noise::Initiator initiator() {
  return noise::Initiator::create(test::filled_key(3),
                                  noise::x25519_public(test::filled_key(1)).value(),
                                  test::filled_key(4), 113)
      .value();
}

// A control server with few places and a short deadline.
struct Site {
  explicit Site(HalfOpen::Limits limits, bool counts_loopback = true)
      : half_open(limits, [counts_loopback](std::string_view) { return !counts_loopback; }) {
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
      options.half_open = &half_open;
      options.make_handler = [](const auto&) { return std::make_unique<Silent>(); };
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
  }

  int open(net::RawClient& client, std::string_view initiation) const {
    const std::string text = base64_encode(as_bytes(initiation), Base64Alphabet::kStandardPadded);
    client.send("POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: " +
                std::string(kUpgradeName) + "\r\n" + std::string(kHandshakeHeader) + ": " + text +
                "\r\nContent-Length: 0\r\n\r\n");
    return status_of(client);
  }
  static int status_of(net::RawClient& client) {
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
      const std::string piece = client.read_some(1);
      if (piece.empty()) return 0;
      head += piece;
    }
    return std::stoi(head.substr(9, 3));
  }
  // Waits for what the server does behind the clients' backs.
  template <class F>
  static bool eventually(F is_so) {
    for (int i = 0; i < 500 && !is_so(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return is_so();
  }

  HalfOpen half_open;
  std::unique_ptr<derp::Hub> hub;
  std::optional<net::TestServer> server;
};

std::string text_of(Bytes bytes) { return std::string(as_text(bytes)); }

}  // namespace

TEST_CASE("places are bounded in all and by address, IPv6 by /64, and come back") {
  HalfOpen half_open({.total = 4, .per_address = 2},
                     [](std::string_view address) { return address == "127.0.0.1"; });
  auto a = half_open.take("192.0.2.1");
  auto b = half_open.take("192.0.2.1");
  CHECK(a);
  CHECK(b);
  CHECK_FALSE(half_open.take("192.0.2.1"));
  const auto c = half_open.take("2001:db8:0:1::1");
  auto d = half_open.take("2001:db8:0:1::2");
  CHECK(d);
  CHECK_FALSE(half_open.take("127.0.0.1"));  // full
  d.reset();
  CHECK(half_open.take("127.0.0.1"));
  a.reset();
  const auto e = half_open.take("192.0.2.1");
  CHECK(e);
  CHECK_FALSE(half_open.take("192.0.2.1"));
  CHECK(half_open.taken() == 3);
  CHECK(half_open.refused() == 3);
}

TEST_CASE("a shared address counts in all only") {
  HalfOpen half_open({.total = 3, .per_address = 1}, [](std::string_view) { return true; });
  const auto a = half_open.take("127.0.0.1");
  const auto b = half_open.take("127.0.0.1");
  CHECK(b);
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

TEST_CASE("a client that speaks inside Noise leaves its place to others") {
  Site site({.total = 1, .per_address = 1});
  const noise::Initiator client = initiator();
  net::RawClient good(site.server->port());
  REQUIRE(site.open(good, text_of(client.initiation())) == 101);
  CHECK(site.half_open.taken() == 1);
  std::string answer;
  while (answer.size() < noise::kResponseLen) {
    const std::string piece = good.read_some(noise::kResponseLen - answer.size());
    REQUIRE_FALSE(piece.empty());
    answer += piece;
  }
  const auto session = client.finish(as_bytes(answer));
  REQUIRE(session.ok());
  auto sender = noise::RecordSender::create(session->send_key).value();
  std::vector<uint8_t> sealed;
  REQUIRE(sender.seal(as_bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), sealed).ok());
  REQUIRE(good.send(as_text(sealed)));
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  // It may be silent for longer than a newcomer.
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  net::RawClient next(site.server->port());
  CHECK(site.open(next, text_of(client.initiation())) == 101);
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
    return Site::status_of(client);
  };
  std::vector<net::RawClient> silent;
  for (int i = 0; i < 2; ++i) {
    silent.emplace_back(site.server->port());
    REQUIRE(open(silent.back()) == 101);
  }
  net::RawClient late(site.server->port());
  CHECK(open(late) == 503);
  std::this_thread::sleep_for(std::chrono::milliseconds(450));
  site.half_open.tick(monotonic());
  CHECK(Site::eventually([&] { return site.half_open.taken() == 0; }));
  net::RawClient next(site.server->port());
  CHECK(open(next) == 101);
}

TEST_CASE("relay connections that send nothing are bounded and closed at their deadline") {
  Site site({});
  const auto open = [&](net::RawClient& client) {
    client.send("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: DERP\r\n\r\n");
    return Site::status_of(client);
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
  site.hub->tick();
  CHECK(Site::eventually([&] { return site.hub->stats().connections == 0; }));
}

}  // namespace es::ts2021

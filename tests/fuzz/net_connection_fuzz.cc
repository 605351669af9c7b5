// A hostile client of a listener, on a socket: HTTP/1.1 with bodies and pipelining, upgrades (the
// control connection's among them), and WebSocket frames behind a good handshake. Whatever it
// sends, in whatever pieces, reading the answers or not: the first thing that it hears is HTTP,
// what it hears stays in proportion, and once it has gone nothing of it is left.
#include "common/base/base64.h"
#include "native/net/byte_stream.h"
#include "native/net/connection.h"
#include "native/net/gatekeeper.h"
#include "native/net/websocket.h"
#include "native/net/websocket_stream.h"
#include "native/ts2021/upgrade.h"

#include <boost/asio/local/stream_protocol.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace {

using es::Bytes;
using es::Millis;
namespace net = es::net;

constexpr std::string_view kWebSocketFields =
    " HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: tailscale-control-protocol\r\nAuthorization: Bearer k\r\n\r\n";

void expect(bool so) {
  if (!so) std::abort();
}

// Sends back what comes; ends with the stream.
class Echo : public std::enable_shared_from_this<Echo> {
 public:
  explicit Echo(std::unique_ptr<net::ByteStream> stream) : stream_(std::move(stream)) {}
  void next() {
    stream_->read_some(bytes_, [self = shared_from_this()](es::Result<size_t> len) {
      if (!len.ok() || *len == 0) return;
      expect(*len <= self->bytes_.size());
      self->stream_->write(Bytes(self->bytes_).first(*len), [self](const es::Status& status) {
        if (status.ok()) self->next();
      });
    });
  }

 private:
  std::array<uint8_t, 100> bytes_{};
  std::unique_ptr<net::ByteStream> stream_;
};

void echo(std::unique_ptr<net::ByteStream> stream) {
  if (stream) std::make_shared<Echo>(std::move(stream))->next();
}

// Every machine that finishes the handshake is a stranger, and nothing is served.
struct Nobody final : es::h2::ServerHandler {
  explicit Nobody(std::weak_ptr<es::ts2021::Connection> c) : connection(std::move(c)) {}
  void on_request(es::h2::StreamId, es::h2::Request, es::h2::HasBody) override {}
  void on_body(es::h2::StreamId, Bytes) override {}
  void on_request_end(es::h2::StreamId id) override {
    connection.lock()->http().respond(id, {.status = 404, .headers = {}}, es::h2::HasBody::kNo);
  }
  void on_writable(es::h2::StreamId) override {}
  void on_closed(es::h2::StreamId, es::h2::ErrorCode) override {}
  std::weak_ptr<es::ts2021::Connection> connection;
};

// What outlives connections. One thread does everything: a client's bytes are sent, then the worker
// does what there is to do.
struct Site {
  Site() {
    router.add("GET", "/hello", [](const net::Request& request, const net::Reply& reply) {
      reply(net::text_response(200, "hello " + request.client_address));
    });
    router.add("POST", "/echo", [](const net::Request& request, const net::Reply& reply) {
      reply(net::text_response(200, request.body));
    });
    router.add(
        "GET", "/api/v1/{thing}",
        [](const net::Request& request, const net::Reply& reply) {
          reply(net::json_response(200, request.path_args.at(0)));
        },
        net::Access::kApiKey);
    router.add_upgrade("POST", "/up", [](net::Upgrade upgrade) {
      echo(std::move(upgrade).take({{"Upgrade", "echo"}}));
    });
    router.add_upgrade("GET", "/derp", [](net::Upgrade upgrade) {
      net::accept_stream(std::move(upgrade), es::ts2021::kUpgradeName, echo);
    });
    router.add_upgrade("GET", "/ws",
                       net::websocket_echo({.max_message_bytes = 300, .protocols = {}}));
    es::ts2021::Options control;
    control.clock = [this] { return Millis(now_ms); };
    control.half_open = &half_open;
    control.make_handler = [](const auto& c) { return std::make_unique<Nobody>(c); };
    const auto make_keys = [] {
      es::ts2021::Keys keys;
      keys.static_private.fill(1);
      keys.ephemeral_private.fill(2);
      return keys;
    };
    const auto upgrade = es::ts2021::upgrade_handler(std::move(control), make_keys, {});
    router.add_upgrade("POST", "/ts2021", upgrade);
    router.add_upgrade("GET", "/ts2021", upgrade);
    net_metrics.watch(router);
    worker->join();  // never started: this thread is its own
    net::Limits limits;
    limits.header_bytes = 2048;
    limits.body_bytes = 512;
    limits.requests_per_connection = 20;
    core->set_limits(limits);
  }

  es::WallTime wall() const { return es::wall_time_ms(now_ms); }
  void run() const {
    while (worker->context().poll() > 0) {
    }
  }

  int64_t now_ms = 1'600'000'000'000;
  es::telemetry::Log log{[this] { return wall(); }, [](std::string_view) {},
                         es::telemetry::Level::kError, es::telemetry::Format::kText};
  es::telemetry::Metrics metrics;
  net::NetMetrics net_metrics{metrics};
  es::ts2021::HalfOpen half_open{{.total = 4}, {}};
  net::Router router;
  std::unique_ptr<net::Gatekeeper> gatekeeper = [] {
    net::GatekeeperOptions options;
    options.edge_token_key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    options.limiter_bytes = 256 * 1024;
    const auto check = [](std::string_view key, es::WallTime) {
      return key == "k" ? es::gate::KeyVerdict::kValid : es::gate::KeyVerdict::kInvalid;
    };
    return net::Gatekeeper::create(options, check, {1, 2}).value();
  }();
  std::shared_ptr<net::Worker> worker = std::make_shared<net::Worker>(Millis(1000));
  std::shared_ptr<net::ServerCore> core = std::make_shared<net::ServerCore>(
      net::Clock{[this] { return wall(); }, [this] { return now_ms * 1000; }}, log, net_metrics);
};

// Over WebSocket the initiation of the control connection is in the query.
std::string control_target() {
  es::noise::Key server{};
  es::noise::Key machine{};
  es::noise::Key ephemeral{};
  server.fill(1);
  machine.fill(3);
  ephemeral.fill(4);
  const auto hello = es::noise::Initiator::create(machine, es::noise::x25519_public(server).value(),
                                                  ephemeral, 113)
                         .value();
  std::string target = "/ts2021?" + std::string(es::ts2021::kHandshakeHeader) + "=";
  for (const char c : es::base64_encode(hello.initiation(), es::Base64Alphabet::kStandardPadded)) {
    target += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3D" : std::string(1, c);
  }
  return target;
}

class Client {
 public:
  explicit Client(Site& site) : site_(site) {
    std::array<int, 2> ends{};
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
    fd_ = ends[0];
    net::Socket socket(site.worker->executor());
    socket.assign(boost::asio::local::stream_protocol(), ends[1]);
    const net::Peer peer{"192.0.2.1", 0xc0000201, net::Peer::Kind::kIpv4};
    auto admitted =
        site.core->ledger->admit(peer, net::ConnectionLedger::Counting::kByAddress, 10, 10);
    net::Service service{"http", &site.router, site.gatekeeper.get(), net::Trust::kNetwork};
    net::Connection::create({site.core, site.worker, std::move(service),
                             net::Transport(std::move(socket)), nullptr, peer,
                             std::move(admitted.slot).value()})
        ->start();
    site.run();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    ::close(fd_);
    site_.run();
  }

  void send(std::string_view bytes) const {
    (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    site_.run();
  }
  void finish_sending() const {
    ::shutdown(fd_, SHUT_WR);
    site_.run();
  }
  // Everything that has come.
  std::string hear() const {
    std::string heard;
    std::array<char, 4096> bytes{};
    for (;;) {
      const ssize_t len = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (len <= 0) return heard;
      heard.append(bytes.data(), static_cast<size_t>(len));
      site_.run();
    }
  }

 private:
  Site& site_;
  int fd_ = -1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Site& site = *new Site;  // its log has a thread: it ends with the process
  if (size < 2) return 0;
  site.now_ms += 3'600'000;  // nobody is over its rate
  // What comes first, then the size of its pieces, and whether the client hears.
  static const std::array<std::string, 4> targets = {"", "/derp", "/ws", control_target()};
  const std::string& target = targets[data[0] & 3U];
  const bool hears = (data[0] & 4U) == 0;
  const bool half_closes = (data[0] & 8U) != 0;
  const size_t piece = 1 + size_t{data[1]};
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  size_t heard = 0;
  {
    const Client client(site);
    if (!target.empty()) client.send("GET " + target + std::string(kWebSocketFields));
    while (!rest.empty()) {
      client.send(rest.substr(0, piece));
      rest.remove_prefix(std::min(piece, rest.size()));
      if (!hears) continue;
      const std::string answer = client.hear();
      expect(heard > 0 || answer.empty() || answer.starts_with("HTTP/1.1 "));
      heard += answer.size();
    }
    if (half_closes) {
      client.finish_sending();
      heard += client.hear().size();
    }
  }
  site.run();
  // The least request is 26 bytes, and its answer less than 1600 with all its fields.
  expect(heard <= 4000 + 64 * size);
  expect(site.worker->connections().empty());
  expect(site.core->ledger->size() == 0);
  expect(site.half_open.taken() == 0);
  return 0;
}

// The protocol rooms behind a real listener on loopback, for real clients to be run against:
// GET /key, POST and GET /ts2021 (answers HTTP/2 requests with an echo, streams on /stream),
// GET /derp, and STUN. Prints one JSON line with ports and keys, then serves until its standard
// input ends.
//
// Nothing of the control core is here: a client cannot register. See tests/e2e/go.
#include "common/base/hex.h"
#include "native/derp/hub.h"
#include "native/derp/upgrade.h"
#include "native/net/gatekeeper.h"
#include "native/net/router.h"
#include "native/net/server.h"
#include "native/stun/udp_server.h"
#include "native/ts2021/upgrade.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <sys/random.h>
#include <thread>

namespace es {
namespace {

void fill_random(MutableBytes out) {
  if (getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size())) std::abort();
}
noise::Key random_key() {
  noise::Key key;
  fill_random(key);
  return key;
}
int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
Millis monotonic() { return Millis(monotonic_us() / 1000); }

// POST anything: its body comes back. GET /stream?n: n pieces of 100,000 bytes.
class Echo : public h2::ServerHandler {
 public:
  explicit Echo(ts2021::Connection& connection) : connection_(connection) {}

  void on_request(h2::StreamId id, h2::Request request, h2::HasBody) override {
    calls_[id].request = std::move(request);
  }
  void on_body(h2::StreamId id, Bytes piece) override { calls_[id].body += as_text(piece); }
  void on_request_end(h2::StreamId id) override {
    Call& call = calls_[id];
    auto& http = connection_.http();
    const std::string machine = "mkey:" + hex_encode(connection_.machine_key());
    http.respond(id,
                 {.status = 200,
                  .headers = {{"x-machine-key", machine},
                              {"x-version", std::to_string(connection_.version())},
                              {"x-path", call.request.path}}},
                 h2::HasBody::kYes);
    const std::string_view path = call.request.path;
    if (path.starts_with("/stream?")) {
      call.pieces = std::strtoul(path.data() + 8, nullptr, 10);
      return on_writable(id);
    }
    http.write(id, h2::Chunk::copy_of(as_bytes(call.body)));
    http.finish(id);
  }
  void on_writable(h2::StreamId id) override {
    Call& call = calls_[id];
    static const auto kPiece = std::make_shared<const std::string>(100000, 's');
    while (call.pieces > 0) {
      if (connection_.http().write(id, h2::Chunk::share(kPiece)) != h2::Write::kTaken) return;
      --call.pieces;
    }
    connection_.http().finish(id);
  }
  void on_closed(h2::StreamId id, h2::ErrorCode) override { calls_.erase(id); }

 private:
  struct Call {
    h2::Request request;
    std::string body;
    size_t pieces = 0;
  };
  ts2021::Connection& connection_;
  std::map<h2::StreamId, Call> calls_;
};

ts2021::Options control_options() {
  ts2021::Options options;
  options.clock = monotonic;
  options.make_handler = [](const std::shared_ptr<ts2021::Connection>& connection) {
    connection->set_standing(ts2021::Standing::kKnown);
    return std::make_unique<Echo>(*connection);
  };
  return options;
}

int run() {
  const noise::Key noise_private = random_key();
  const noise::Key noise_public = noise::x25519_public(noise_private).value();

  derp::HubConfig hub_config;
  hub_config.server.private_key = random_key();
  std::atomic<bool> admit{true};
  auto hub = derp::Hub::create(
      hub_config, {.clock = monotonic,
                   .random = fill_random,
                   .admit =
                       [&](derp::ConnId, const derp::Key&, const derp::Endpoint&) {
                         return admit ? derp::Admission::kAdmit : derp::Admission::kRefuse;
                       },
                   .on_close =
                       [](const derp::Endpoint&, derp::CloseReason reason) {
                         const std::string_view text = derp::text_of(reason);
                         std::fprintf(stderr, "derp closed: %.*s\n", static_cast<int>(text.size()),
                                      text.data());
                       }});
  if (!hub.ok()) return 1;

  net::Router router;
  router.add("GET", "/key", [&](const net::Request&, net::Reply reply) {
    reply(net::json_response(200, "{\"publicKey\":\"mkey:" + hex_encode(noise_public) + "\"}"));
  });
  router.add("POST", "/test/admit/{what}", [&](const net::Request& request, net::Reply reply) {
    admit = request.path_args[0] == "yes";
    reply(net::text_response(200, "ok"));
  });
  const net::UpgradeHandler ts2021_handler = ts2021::upgrade_handler(
      control_options(),
      [&] {
        ts2021::Keys keys;
        keys.static_private = noise_private;
        keys.ephemeral_private = random_key();
        keys.challenge_public = noise::x25519_public(random_key()).value();
        return keys;
      },
      [](const Error& error) {
        std::fprintf(stderr, "ts2021: %.*s\n", static_cast<int>(error.what.size()),
                     error.what.data());
      });
  router.add_upgrade("POST", "/ts2021", ts2021_handler);
  router.add_upgrade("GET", "/ts2021", ts2021_handler);
  router.add_upgrade("GET", "/derp", derp::upgrade_handler(**hub));

  const net::Clock clock{[] {
                           return WallTime(std::chrono::duration_cast<Millis>(
                               std::chrono::system_clock::now().time_since_epoch()));
                         },
                         monotonic_us};
  telemetry::Log log(clock.wall, telemetry::Log::to_descriptor(2), telemetry::Level::kInfo,
                     telemetry::Format::kText);
  telemetry::Metrics metrics;
  net::GatekeeperOptions gate_options;
  gate_options.requests = {2900, Millis{10}, 50};  // as good as unlimited
  auto gatekeeper = net::Gatekeeper::create(
      gate_options, [](std::string_view, WallTime) { return gate::KeyVerdict::kInvalid; }, {1, 2});
  if (!gatekeeper.ok()) {
    std::fprintf(stderr, "%s\n", gatekeeper.error().c_str());
    return 1;
  }
  net::ServerOptions options;
  net::ListenerOptions listener;
  listener.host = "127.0.0.1";
  listener.service = {"http", &router, gatekeeper->get(), net::Trust::kNetwork};
  listener.config_key = "listen_addr";
  options.listeners.push_back(listener);
  auto server = net::Server::create(std::move(options), clock, log, metrics);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.error().c_str());
    return 1;
  }
  (*server)->start();

  boost::asio::io_context io;
  auto stun = stun::UdpServer::open(io, {.address = "127.0.0.1", .port = 0}, monotonic, 1);
  if (!stun.ok()) return 1;
  const auto work = boost::asio::make_work_guard(io);
  std::thread stun_thread([&] { io.run(); });
  std::atomic<bool> stopping{false};
  std::thread ticker([&] {
    while (!stopping) {
      (*hub)->tick();
      std::this_thread::sleep_for(Millis(100));
    }
  });

  std::printf("{\"http\":%u,\"stun\":%u,\"noise\":\"mkey:%s\",\"derp\":\"nodekey:%s\"}\n",
              unsigned{(*server)->port("http")}, unsigned{stun->port()},
              hex_encode(noise_public).c_str(), hex_encode((*hub)->public_key()).c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  const derp::ServerStats stats = (*hub)->stats();
  std::fprintf(stderr, "derp: %llu packets in, %llu out, %llu dropped by queues, %zu connections\n",
               static_cast<unsigned long long>(stats.packets_in),
               static_cast<unsigned long long>(stats.packets_out),
               static_cast<unsigned long long>(stats.dropped_queue), stats.connections);
  stopping = true;
  ticker.join();
  io.stop();
  stun_thread.join();
  (*server)->stop(Millis(500));
  return 0;
}

}  // namespace
}  // namespace es

int main() { return es::run(); }

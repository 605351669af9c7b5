#include "native/stun/udp_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <catch2/catch.hpp>

#include <chrono>

namespace es::stun {

namespace asio = boost::asio;
using asio::ip::udp;

namespace {

Millis test_clock() {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch());
}

// Sends `datagram` to the server and runs the loop until an answer came or `patience` is over.
std::optional<Endpoint> ask(asio::io_context& io, const udp::endpoint& server, Bytes datagram,
                            uint16_t& own_port, Millis patience = Millis(2000)) {
  udp::socket socket(io, udp::endpoint(server.protocol(), 0));
  // Connected: an answer from another address than the one asked is not delivered.
  socket.connect(server);
  own_port = socket.local_endpoint().port();
  socket.send(asio::buffer(datagram.data(), datagram.size()));
  std::array<uint8_t, 200> reply;
  std::optional<Endpoint> got;
  bool done = false;
  socket.async_receive(asio::buffer(reply),
                       [&](const boost::system::error_code& error, size_t len) {
                         done = true;
                         if (!error) got = parse_response(TxId{5}, Bytes(reply).first(len));
                       });
  const auto end = std::chrono::steady_clock::now() + patience;
  io.restart();
  while (!done && std::chrono::steady_clock::now() < end) io.run_one_for(Millis(20));
  socket.close();
  io.poll();
  return got;
}

std::array<uint8_t, kRequestLen> request() {
  std::array<uint8_t, kRequestLen> out;
  ByteWriter writer(out);
  write_request(TxId{5}, writer);
  return out;
}

}  // namespace

TEST_CASE("a dual-stack server answers IPv4 and IPv6 from the address that was asked") {
  asio::io_context io;
  const std::string everywhere = GENERATE("::", "0.0.0.0");
  CAPTURE(everywhere);
  auto server =
      UdpServer::open(io, {.address = everywhere, .port = 0, .limits = {}}, test_clock, 1);
  if (!server.ok()) {
    WARN("SKIPPED: this machine has no IPv6: " << server.error().what);
    return;
  }
  uint16_t port = 0;
  // 127.0.0.2 is not what routing would choose as a source.
  for (const char* const address : {"127.0.0.1", "127.0.0.2", "::1"}) {
    CAPTURE(address);
    const auto got = ask(io, {asio::ip::make_address(address), server->port()}, request(), port);
    REQUIRE(got);
    CHECK(got->port == port);
    CHECK(got->is_v4() == (std::string(address) != "::1"));
  }
  CHECK(server->counters().answered_v4 == 2);
  CHECK(server->counters().answered_v6 == 1);
  CHECK(server->counters().send_failed == 0);
}

TEST_CASE("an IPv4 server answers, ignores what is no request, and stops") {
  asio::io_context io;
  auto server =
      UdpServer::open(io, {.address = "127.0.0.1", .port = 0, .limits = {}}, test_clock, 1);
  REQUIRE(server.ok());
  const udp::endpoint at(asio::ip::make_address("127.0.0.1"), server->port());
  uint16_t port = 0;
  const std::vector<uint8_t> huge(4000, 1);
  CHECK_FALSE(ask(io, at, as_bytes("not stun"), port, Millis(50)));
  CHECK_FALSE(ask(io, at, huge, port, Millis(50)));
  CHECK(server->counters().ignored == 2);
  const auto got = ask(io, at, request(), port);
  CHECK(got == Endpoint::v4({127, 0, 0, 1}, port));
  server->stop();
  server->stop();
  io.poll();  // the cancelled wait
  CHECK(io.stopped());
}

TEST_CASE("a bad address and a taken port are told apart") {
  asio::io_context io;
  const auto bad =
      UdpServer::open(io, {.address = "localhost", .port = 0, .limits = {}}, test_clock, 1);
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.error().action == Action::kRefuse);
  auto first =
      UdpServer::open(io, {.address = "127.0.0.1", .port = 0, .limits = {}}, test_clock, 1);
  REQUIRE(first.ok());
  const auto second = UdpServer::open(
      io, {.address = "127.0.0.1", .port = first->port(), .limits = {}}, test_clock, 1);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().action == Action::kRetryLater);
}

}  // namespace es::stun

// What a hostile or broken client may take: time, memory, connections.
#include "tests/unit/native/net/test_server.h"

#include <catch2/catch.hpp>

#include <chrono>
#include <sys/socket.h>
#include <thread>

namespace es::net {
namespace {

using Time = std::chrono::steady_clock;

double ms_since(Time::time_point start) {
  return std::chrono::duration<double, std::milli>(Time::now() - start).count();
}

std::string post(size_t len, std::string_view body) {
  return "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(len) +
         "\r\n\r\n" + std::string(body);
}

TEST_CASE("a head that trickles in is cut off at the header timeout, however it trickles") {
  TestServer::Options options = TestServer::options();
  options.limits.header_timeout = Millis{150};
  TestServer server(std::move(options));
  RawClient client(server.port());
  const auto start = Time::now();
  client.send("GET /hello HTTP/1.1\r\n");
  bool open = true;
  while (open && ms_since(start) < 2000) {
    open = client.send("X-A: b\r\n") && !client.closed_within(20) && client.read_some(1, 0).empty();
  }
  CHECK_FALSE(open);
  CHECK(ms_since(start) >= 140);
  CHECK(ms_since(start) < 1500);
  CHECK(server.metric_when("edgescale_connection_timeouts_total{phase=\"header\"}", 1) == 1);
}

TEST_CASE("a slow head gets a 408 that says so") {
  TestServer::Options options = TestServer::options();
  options.limits.header_timeout = Millis{50};
  TestServer server(std::move(options));
  RawClient client(server.port());
  client.send("GET /hello HTTP/1.1\r\nHost: lo");
  CHECK(client.read_response().status == 408);
  CHECK(client.closed_within(3000));
}

TEST_CASE("a body that does not come is cut off at the body timeout") {
  TestServer::Options options = TestServer::options();
  options.limits.body_timeout = Millis{80};
  TestServer server(std::move(options));
  RawClient client(server.port());
  client.send(post(10, "half"));
  CHECK(client.read_response().status == 408);
  CHECK(server.metric_when("edgescale_connection_timeouts_total{phase=\"body\"}", 1) == 1);
}

TEST_CASE("an idle connection is closed quietly, one that is used is not") {
  TestServer::Options options = TestServer::options();
  options.limits.idle_timeout = Millis{150};
  TestServer server(std::move(options));
  RawClient client(server.port());
  for (int i = 0; i < 5; ++i) {
    CHECK(client.get("/hello").status == 200);
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  const auto start = Time::now();
  CHECK(client.read_to_end(3000).empty());
  CHECK(ms_since(start) < 2000);
  CHECK(server.metric_when("edgescale_connection_timeouts_total{phase=\"idle\"}", 1) == 1);
}

TEST_CASE("a connection that says nothing at all is closed") {
  TestServer::Options options = TestServer::options();
  options.limits.header_timeout = Millis{60};
  TestServer server(std::move(options));
  RawClient client(server.port());
  CHECK(client.closed_within(3000));
}

TEST_CASE("a reader that does not read is dropped, with bounded memory for its answer") {
  TestServer::Options options = TestServer::options();
  options.limits.write_timeout = Millis{100};
  const std::string large(20'000'000, 'x');
  options.routes = [&large](Router& router) {
    router.add("GET", "/large",
               [&large](const Request&, Reply reply) { reply(text_response(200, large)); });
  };
  TestServer server(std::move(options));
  RawClient client(server.port());
  client.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto start = Time::now();
  while (server.metric("edgescale_connection_timeouts_total{phase=\"write\"}") < 1 &&
         ms_since(start) < 5000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(server.metric_when("edgescale_connection_timeouts_total{phase=\"write\"}", 1) == 1);
  while (server.server().num_connections() > 0 && ms_since(start) < 5000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(server.server().num_connections() == 0);
}

TEST_CASE("a body over the limit is a 413, announced or in chunks, and one at the limit is not") {
  TestServer::Options options = TestServer::options();
  options.limits.body_bytes = 1000;
  options.gatekeeper.http.max_body_bytes = 1000;
  TestServer server(std::move(options));
  {
    RawClient client(server.port());
    client.send(post(1000, std::string(1000, 'a')));
    CHECK(client.read_response().body.size() == 1000);
    client.send(post(1001, std::string(1001, 'a')));
    CHECK(client.read_response().status == 413);
    CHECK(client.closed_within(3000));
  }
  RawClient client(server.port());
  std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunked += "64\r\n" + std::string(100, 'b') + "\r\n";
  client.send(chunked + "0\r\n\r\n");
  CHECK(client.read_response().status == 413);
}

TEST_CASE("a head over the limit is a 431, a request line over it a 414") {
  TestServer::Options options = TestServer::options();
  options.limits.header_bytes = 2000;
  TestServer server(std::move(options));
  {
    RawClient client(server.port());
    CHECK(client.get("/hello", "X-Pad: " + std::string(1900, 'a') + "\r\n").status == 200);
    CHECK(client.get("/hello", "X-Pad: " + std::string(1990, 'a') + "\r\n").status == 431);
    CHECK(client.closed_within(3000));
  }
  RawClient client(server.port());
  client.send("GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(client.read_response().status == 414);
}

TEST_CASE("a 20 KB URL and too many fields are refused with the default limits") {
  TestServer server(TestServer::options());
  {
    RawClient client(server.port());
    client.send("GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(client.read_response().status == 414);
  }
  RawClient client(server.port());
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X-F: a\r\n";
  CHECK(client.get("/hello", fields).status == 431);
}

TEST_CASE("what relays ask is counted apart from requests") {
  auto options = TestServer::options();
  options.gatekeeper.requests = {3, Millis{60'000}, 0};
  options.gatekeeper.verifications = {5, Millis{60'000}, 2};
  options.routes = [](Router& router) {
    router.add("POST", "/verify",
               [](const Request&, const Reply& reply) { reply(text_response(200, "known")); });
    router.add("POST", "/other",
               [](const Request&, const Reply& reply) { reply(text_response(200, "other")); });
  };
  TestServer server(std::move(options));
  RawClient client(server.port());
  const auto post = [&](std::string_view path) {
    client.send("POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    return client.read_response();
  };
  for (int i = 0; i < 7; ++i) CHECK(post("/verify?from=relay").status == 200);
  const RawResponse refused = post("/verify");
  CHECK(refused.status == 429);
  CHECK_FALSE(refused.field("Retry-After").empty());
  CHECK(refused.field("RateLimit-Policy").find("7") != std::string::npos);
  for (int i = 0; i < 3; ++i) CHECK(post("/other").status == 200);
  const RawResponse other = post("/other");
  CHECK(other.status == 429);
  CHECK(post("/derp/probe").field("RateLimit-Policy") == other.field("RateLimit-Policy"));
  // Nothing but the question itself goes round the limit.
  for (const char* path : {"/verify/", "/%76erify", "/verify2"}) CHECK(post(path).status == 429);
  CHECK(client.get("/verify").status == 429);
}

TEST_CASE("connections beyond the limit for an address get a 503, and their places come back") {
  TestServer::Options options = TestServer::options();
  options.limits.connections_per_address = 3;
  options.cap_loopback = true;
  TestServer server(std::move(options));
  {
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back(server.port());
      CHECK(clients.back().get("/hello").status == 200);
    }
    RawClient fourth(server.port());
    const RawResponse response = fourth.read_response();
    CHECK(response.status == 503);
    CHECK(response.field("retry-after") == "5");
    CHECK(response.field("connection") == "close");
    CHECK(fourth.closed_within(3000));
    CHECK(server.metric_when("edgescale_connections_refused_total{limit=\"address\"}", 1) == 1);
    CHECK(clients[0].get("/hello").status == 200);
  }
  const auto start = Time::now();
  while (server.server().num_connections() > 0 && ms_since(start) < 3000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  RawClient again(server.port());
  CHECK(again.get("/hello").status == 200);
}

TEST_CASE("connections beyond the limit in all get a 503, proxies' too") {
  TestServer::Options options = TestServer::options();
  options.limits.connections = 2;
  TestServer server(std::move(options));
  RawClient one(server.port());
  RawClient two(server.port());
  REQUIRE(one.get("/hello").status == 200);
  REQUIRE(two.get("/hello").status == 200);
  RawClient three(server.port());
  CHECK(three.read_response().status == 503);
  CHECK(server.metric_when("edgescale_connections_refused_total{limit=\"total\"}", 1) == 1);
}

TEST_CASE("a connection ends after its number of requests") {
  TestServer::Options options = TestServer::options();
  options.limits.requests_per_connection = 3;
  TestServer server(std::move(options));
  RawClient client(server.port());
  CHECK(client.get("/hello").field("connection").empty());
  CHECK(client.get("/hello").field("connection").empty());
  CHECK(client.get("/hello").field("connection") == "close");
  CHECK(client.closed_within(3000));
}

TEST_CASE("clients that vanish in the middle leave nothing behind") {
  TestServer server(TestServer::options());
  for (int i = 0; i < 30; ++i) {
    RawClient client(server.port());
    client.send(i % 3 == 0 ? std::string("GET /hel") : post(100, "x"));
    if (i % 2 == 0) {
      const linger reset{1, 0};
      ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
  }
  // They are accepted in turn: when this one has its answer, all of them have been.
  CHECK(RawClient(server.port()).get("/hello").status == 200);
  const auto start = Time::now();
  while (server.server().num_connections() > 0 && ms_since(start) < 3000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(server.server().num_connections() == 0);
  CHECK(server.metric_when("edgescale_connections_open", 0) == 0);
}

}  // namespace
}  // namespace es::net

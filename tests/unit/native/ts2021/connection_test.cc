#include "native/ts2021/connection.h"

#include "common/base/base64.h"
#include "common/base/hex.h"
#include "native/h2/client_session.h"
#include "native/noise/early_payload.h"
#include "native/noise/handshake.h"
#include "native/ts2021/upgrade.h"
#include "tests/unit/native/ts2021/control_pair.h"

#include <catch2/catch.hpp>

#include <map>

namespace es::ts2021 {

using es::test::Buffer;

namespace {

// Echoes "METHOD path body", except on /hold, which stays open.
struct Echo : h2::ServerHandler {
  explicit Echo(std::weak_ptr<Connection> c) : connection(std::move(c)) {}
  void on_request(h2::StreamId id, h2::Request request, h2::HasBody) override {
    texts[id] = request.method + " " + request.path + " ";
    if (request.path == "/close") connection.lock()->close();
  }
  void on_body(h2::StreamId id, Bytes piece) override { texts[id] += as_text(piece); }
  void on_request_end(h2::StreamId id) override {
    auto& http = connection.lock()->http();
    http.respond(id, {.status = 200, .headers = {}}, h2::HasBody::kYes);
    if (texts[id].find("/hold") != std::string::npos) return;
    http.write(id, h2::Chunk::copy_of(as_bytes(texts[id])));
    http.finish(id);
  }
  void on_writable(h2::StreamId) override {}
  void on_closed(h2::StreamId id, h2::ErrorCode) override { texts.erase(id); }

  std::weak_ptr<Connection> connection;
  std::map<h2::StreamId, std::string> texts;
};

struct World : test::ControlPair {
  World() : ControlPair([](const auto& c) { return std::make_unique<Echo>(c); }) {}
};

}  // namespace

TEST_CASE("a client speaks HTTP/2 through the records, behind the early payload") {
  World w;
  REQUIRE(w.connect().ok());
  CHECK(w.early.json() ==
        R"({"nodeKeyChallenge":"chalpub:)" + hex_encode(test::filled_key(9)) + R"("})");
  REQUIRE(w.connection.lock());
  CHECK(w.connection.lock()->machine_key() == noise::x25519_public(test::filled_key(3)).value());
  CHECK(w.connection.lock()->version() == 113);
  const auto id = w.request("/machine/register", std::string(100000, 'b'));
  REQUIRE(w.settle());
  CHECK(w.bodies[id] == "POST /machine/register " + std::string(100000, 'b'));
  CHECK(w.closed[id] == h2::ErrorCode::kNoError);
}

TEST_CASE("without a challenge HTTP/2 begins at once") {
  World w;
  w.keys.challenge_public.reset();
  REQUIRE(w.connect().ok());
  CHECK(w.early.done());
  CHECK_FALSE(w.early.json());
  const auto id = w.request("/", "x");
  REQUIRE(w.settle());
  CHECK(w.bodies[id] == "POST / x");
}

TEST_CASE("a streamed answer is pushed from elsewhere with post() and flush()") {
  World w;
  REQUIRE(w.connect().ok());
  const auto id = w.request("/hold", "");
  REQUIRE(w.settle());
  for (int i = 1; i <= 3; ++i) {
    const auto connection = w.connection.lock();
    connection->post([&w, id] {
      const auto c = w.connection.lock();
      CHECK(c->http().write(id, h2::Chunk::copy_of(as_bytes("tick;"))) == h2::Write::kTaken);
      c->flush();
    });
    w.settle();
    CHECK(w.bodies[id].size() == static_cast<size_t>(i) * 5);
  }
}

TEST_CASE("a client that goes away leaves nothing behind") {
  World w;
  REQUIRE(w.connect().ok());
  w.request("/hold", "");
  REQUIRE(w.settle());
  w.wire->client_closed = true;
  w.settle();
  CHECK(w.connection.expired());
  CHECK(w.wire->destroyed);
}

TEST_CASE("a client that does not read holds one write and its streams' buffers") {
  World w;
  w.options.limits.max_response_buffer = 100000;
  REQUIRE(w.connect().ok());
  const auto id = w.request("/hold", "");
  REQUIRE(w.settle());
  w.wire->blocked = true;
  const auto c = w.connection.lock();
  size_t taken = 0;
  while (c->http().write(id, h2::Chunk::copy_of(Buffer(1000, 'x'))) == h2::Write::kTaken) {
    c->flush();
    ++taken;
    REQUIRE(taken < 1000);
  }
  CHECK(w.wire->writing.size() < 70000);
  w.wire->blocked = false;
  w.settle();
  CHECK(w.bodies[id].size() == taken * 1000);
}

TEST_CASE("a malformed initiation gets an error frame, a forged one nothing") {
  World w;
  Buffer bad(w.initiator.initiation().begin(), w.initiator.initiation().end());
  SECTION("malformed") {
    bad[2] = 9;
    const Status status = w.serve(bad);
    REQUIRE_FALSE(status.ok());
    REQUIRE(w.wire->write_done);
    CHECK(noise::Initiator::error_text(w.wire->writing) == "unexpected handshake message type");
    std::exchange(w.wire->write_done, nullptr)(Status());
    w.loop.run();
    CHECK(w.wire->destroyed);
  }
  SECTION("forged") {
    bad[50] ^= 1;
    CHECK_FALSE(w.serve(bad).ok());
    CHECK_FALSE(w.wire->write_done);
    CHECK(w.wire->destroyed);
  }
}

TEST_CASE("bytes that do not authenticate end the connection without an answer") {
  World w;
  REQUIRE(w.connect().ok());
  w.wire->to_server = Buffer(2000, 0x04);  // a record of 1028 bytes, so it seems
  w.settle();
  CHECK(w.connection.expired());
  CHECK(w.wire->destroyed);
  CHECK_FALSE(w.goaway);
}

TEST_CASE("bytes that are no HTTP/2 get a GOAWAY and the end") {
  World w;
  REQUIRE(w.serve(w.initiator.initiation()).ok());
  REQUIRE(w.client_read(w.wire->writing));
  std::exchange(w.wire->write_done, nullptr)(Status());
  REQUIRE(w.sender->seal(as_bytes("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), w.wire->to_server)
              .ok());
  Buffer dropped;
  w.client.take_output(SIZE_MAX, dropped);
  w.settle();
  CHECK(w.connection.expired());
  CHECK(w.wire->destroyed);
}

TEST_CASE("the handler may close from inside an event, and the server may stop") {
  World w;
  REQUIRE(w.connect().ok());
  SECTION("close") {
    w.request("/close", "");
    w.settle();
    CHECK(w.connection.expired());
  }
  SECTION("stop") {
    const auto id = w.request("/hold", "");
    w.settle();
    w.wire->on_stop();
    w.settle();
    CHECK(w.goaway == h2::ErrorCode::kNoError);
    CHECK_FALSE(w.connection.expired());
    w.connection.lock()->http().finish(id);
    w.connection.lock()->flush();
    w.settle();
    CHECK(w.connection.expired());
  }
}

TEST_CASE("the handshake header is standard base64 of a sane length") {
  World w;
  const Bytes initiation = w.initiator.initiation();
  const std::string good = base64_encode(initiation, Base64Alphabet::kStandardPadded);
  CHECK(good.size() == 136);
  CHECK(hex_encode(decode_handshake(good).value()) == hex_encode(initiation));
  CHECK(decode_handshake("").error().what == "missing Tailscale handshake header");
  CHECK(decode_handshake("====").error().what == "invalid tailscale handshake header");
  CHECK_FALSE(decode_handshake(good.substr(1)).ok());
  CHECK_FALSE(decode_handshake(std::string(10000, 'A')).ok());
  // A wrong length is the handshake's to answer.
  CHECK(decode_handshake("AAAA")->size() == 3);
}

}  // namespace es::ts2021

#include "native/h2/client_session.h"
#include "native/h2/server_session.h"
#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>

#include <map>
#include <optional>
#include <set>

namespace es::h2 {

namespace {

using Buffer = std::vector<uint8_t>;

struct App : ServerHandler {
  struct Seen {
    Request request;
    HasBody has_body = HasBody::kNo;
    std::string body;
    bool ended = false;
    int writable = 0;
    std::optional<ErrorCode> closed;
  };
  void on_request(StreamId id, Request request, HasBody has_body) override {
    REQUIRE_FALSE(seen.contains(id));
    order.push_back(id);
    seen[id].request = std::move(request);
    seen[id].has_body = has_body;
  }
  void on_body(StreamId id, Bytes piece) override { seen.at(id).body += as_text(piece); }
  void on_request_end(StreamId id) override {
    REQUIRE_FALSE(seen.at(id).ended);
    seen.at(id).ended = true;
    if (echo) {
      session->respond(id, {.status = 200, .headers = {{"content-type", "text/plain"}}},
                       HasBody::kYes);
      session->write(id, Chunk::copy_of(as_bytes(seen.at(id).body)));
      session->finish(id);
    }
  }
  void on_writable(StreamId id) override { ++seen.at(id).writable; }
  void on_closed(StreamId id, ErrorCode code) override {
    REQUIRE_FALSE(seen.at(id).closed);
    seen.at(id).closed = code;
  }

  std::map<StreamId, Seen> seen;
  std::vector<StreamId> order;
  ServerSession* session = nullptr;
  bool echo = true;
};

struct Peer : ClientEvents {
  struct Seen {
    int status = 0;
    std::vector<Header> headers;
    std::string body;
    std::optional<ErrorCode> closed;
  };
  void on_response(StreamId id, Response response) override {
    seen[id].status = response.status;
    seen[id].headers = std::move(response.headers);
  }
  void on_body(StreamId id, Bytes piece) override { seen[id].body += as_text(piece); }
  void on_closed(StreamId id, ErrorCode code) override { seen[id].closed = code; }
  void on_goaway(ErrorCode code) override { goaway = code; }

  std::map<StreamId, Seen> seen;
  std::optional<ErrorCode> goaway;
};

struct Pair {
  explicit Pair(ServerLimits limits = {}, Windows windows = Windows::kAutomatic)
      : server(ServerSession::create(limits, app).value()),
        client(ClientSession::create(peer, windows).value()) {
    app.session = &server;
  }
  // Carries bytes both ways until both are quiet; false once the server's receive() failed.
  bool settle() {
    for (bool moved = true; moved;) {
      Buffer out;
      moved = client.take_output(SIZE_MAX, out);
      if (moved && !server.receive(out, now).ok()) server_failed = true;
      out.clear();
      if (server.take_output(SIZE_MAX, out)) {
        moved = true;
        (void)client.receive(out);
      }
      if (server_failed) break;
    }
    return !server_failed;
  }
  StreamId get(const std::string& path) { return request("GET", path, ""); }
  StreamId request(const std::string& method, const std::string& path, std::string_view body,
                   std::vector<Header> headers = {}) {
    auto id = client.request({.method = method,
                              .path = path,
                              .authority = "example.com",
                              .scheme = "https",
                              .headers = std::move(headers)},
                             Chunk::copy_of(as_bytes(body)));
    REQUIRE(id.ok());
    return *id;
  }

  App app;
  Peer peer;
  ServerSession server;
  ClientSession client;
  Millis now{0};
  bool server_failed = false;
};

// Frames by hand, for what no decent client sends.
Buffer preface() {
  const std::string_view text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  Buffer out(text.begin(), text.end());
  const Buffer settings = test::from_hex("000000040000000000");
  out.insert(out.end(), settings.begin(), settings.end());
  return out;
}

void append_frame(Buffer& out, uint8_t type, uint8_t flags, uint32_t stream, Bytes payload) {
  Buffer header(9);
  ByteWriter writer(header);
  writer.u8(static_cast<uint8_t>(payload.size() >> 16U));
  writer.u16be(static_cast<uint16_t>(payload.size() & 0xffffU));
  writer.u8(type);
  writer.u8(flags);
  writer.u32be(stream);
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), payload.begin(), payload.end());
}

// :method GET, :scheme https, :path / and a literal :authority, from HPACK's static table.
const Buffer kGetHeaders = {0x82, 0x87, 0x84, 0x41, 0x01, 'x'};

}  // namespace

TEST_CASE("a request reaches the handler whole, and its answer the client") {
  Pair p;
  const StreamId id = p.request("POST", "/machine/map?x=1", "hello", {{"ts-lb", "nodekey:00"}});
  REQUIRE(p.settle());
  const auto& seen = p.app.seen.at(id);
  CHECK(seen.request.method == "POST");
  CHECK(seen.request.path == "/machine/map?x=1");
  CHECK(seen.request.authority == "example.com");
  CHECK(seen.request.scheme == "https");
  CHECK(find_header(seen.request.headers, "ts-lb") == "nodekey:00");
  CHECK_FALSE(find_header(seen.request.headers, "none"));
  CHECK(seen.has_body == HasBody::kYes);
  CHECK(seen.body == "hello");
  CHECK(seen.closed == ErrorCode::kNoError);
  const auto& got = p.peer.seen.at(id);
  CHECK(got.status == 200);
  CHECK(find_header(got.headers, "content-type") == "text/plain");
  CHECK(got.body == "hello");
  CHECK(got.closed == ErrorCode::kNoError);
  CHECK(p.server.num_streams() == 0);
}

TEST_CASE("many streams at once are kept apart") {
  Pair p;
  std::map<StreamId, std::string> expected;
  for (int i = 0; i < 200; ++i) {
    const std::string body = "body " + std::to_string(i) + std::string(size_t(i) * 100, 'x');
    expected[p.request("POST", "/" + std::to_string(i), body)] = body;
  }
  REQUIRE(p.settle());
  for (const auto& [id, body] : expected) CHECK(p.peer.seen.at(id).body == body);
}

TEST_CASE("a response streams for as long as it likes, each piece at once") {
  Pair p;
  p.app.echo = false;
  const StreamId id = p.get("/stream");
  REQUIRE(p.settle());
  CHECK(p.app.seen.at(id).has_body == HasBody::kNo);
  CHECK(p.app.seen.at(id).ended);
  REQUIRE(p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kYes));
  CHECK_FALSE(p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kYes));
  const auto shared = std::make_shared<const std::string>("shared piece;");
  for (int i = 1; i <= 50; ++i) {
    CHECK(p.server.write(id, Chunk::share(shared)) == Write::kTaken);
    REQUIRE(p.settle());
    CHECK(p.peer.seen.at(id).body.size() == shared->size() * static_cast<size_t>(i));
  }
  CHECK(shared.use_count() == 1);
  CHECK_FALSE(p.peer.seen.at(id).closed);
  p.server.finish(id);
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(id).closed == ErrorCode::kNoError);
  CHECK(p.server.write(id, Chunk::share(shared)) == Write::kGone);
}

TEST_CASE("a reader that stops is not written to beyond the buffer, and told of when it goes on") {
  Pair p({.max_response_buffer = 1000}, Windows::kManual);
  p.app.echo = false;
  const StreamId id = p.get("/stream");
  const StreamId other = p.get("/other");
  REQUIRE(p.settle());
  p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kYes);
  const std::string piece(500, 'p');
  size_t written = 0;
  // 4 MiB of window go out; then the buffer fills.
  while (p.server.write(id, Chunk::copy_of(as_bytes(piece))) == Write::kTaken) {
    ++written;
    if (written % 2 == 0) REQUIRE(p.settle());
    REQUIRE(written < 20000);
  }
  // The last piece that was taken may reach beyond the limit, no further one.
  CHECK(p.server.buffered(id) >= 1000);
  CHECK(p.server.buffered(id) < 1500);
  CHECK(p.peer.seen.at(id).body.size() == 4U << 20U);
  CHECK(p.app.seen.at(id).writable == 0);
  // Another stream of the connection is not disturbed.
  p.server.respond(other, {.status = 204, .headers = {}}, HasBody::kNo);
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(other).status == 204);
  p.client.consume(id, 3U << 20U);
  REQUIRE(p.settle());
  CHECK(p.app.seen.at(id).writable == 1);
  CHECK(p.server.buffered(id) == 0);
  p.server.finish(id);
  p.client.consume(id, 1U << 20U);
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(id).body.size() == written * piece.size());
  CHECK(p.peer.seen.at(id).closed == ErrorCode::kNoError);
}

TEST_CASE("answers that a client does not take are bounded in all: one too many is reset") {
  Pair p({.max_response_buffer = 1000, .max_session_buffer = 2500}, Windows::kManual);
  p.app.echo = false;
  const auto write = [&](StreamId id, size_t len) {
    return p.server.write(id, Chunk::copy_of(as_bytes(std::string(len, 'p'))));
  };
  const auto begin = [&] {
    const StreamId id = p.get("/");
    REQUIRE(p.settle());
    p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kYes);
    return id;
  };
  constexpr size_t kWindow = 4U << 20U;  // of each of the client's streams
  std::vector<StreamId> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(begin());
    REQUIRE(write(ids.back(), kWindow) == Write::kTaken);
    REQUIRE(p.settle());
    REQUIRE(p.server.buffered(ids.back()) == 0);
  }
  // What is larger than a stream's buffer counts as a full one.
  CHECK(write(ids[0], 3000) == Write::kTaken);
  CHECK(write(ids[1], 1000) == Write::kTaken);
  CHECK(write(ids[2], 400) == Write::kTaken);
  CHECK(write(ids[3], 400) == Write::kTaken);
  const StreamId one_too_many = begin();
  CHECK(write(one_too_many, 1) == Write::kGone);
  CHECK(write(one_too_many, 1) == Write::kGone);
  p.server.finish(one_too_many);
  CHECK(write(ids[0], 1) == Write::kFull);
  CHECK(write(ids[2], 1) == Write::kGone);
  REQUIRE(p.settle());
  for (const StreamId id : {one_too_many, ids[2]}) {
    CHECK(p.peer.seen.at(id).closed == ErrorCode::kEnhanceYourCalm);
    CHECK(p.app.seen.at(id).closed == ErrorCode::kEnhanceYourCalm);
  }
  CHECK(p.server.num_streams() == 3);
  // What the reset one held is free.
  CHECK(write(ids[3], 10) == Write::kTaken);
  // So is everything once the client reads.
  for (const StreamId id : {ids[0], ids[1], ids[3]}) p.client.consume(id, kWindow);
  REQUIRE(p.settle());
  CHECK(p.app.seen.at(ids[0]).writable == 1);
  CHECK(p.peer.seen.at(ids[0]).body.size() == kWindow + 3000);
  CHECK(p.peer.seen.at(ids[1]).body.size() == kWindow + 1000);
  CHECK(p.peer.seen.at(ids[3]).body.size() == kWindow + 410);
  const StreamId next = begin();
  CHECK(write(next, 3000) == Write::kTaken);
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(next).body.size() == 3000);
}

TEST_CASE("a cancelled stream ends, and its connection goes on") {
  Pair p;
  p.app.echo = false;
  const StreamId id = p.get("/poll");
  REQUIRE(p.settle());
  p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kYes);
  REQUIRE(p.settle());
  p.client.reset(id, ErrorCode::kCancel);
  REQUIRE(p.settle());
  CHECK(p.app.seen.at(id).closed == ErrorCode::kCancel);
  CHECK(p.server.write(id, Chunk::copy_of(as_bytes("x"))) == Write::kGone);
  p.app.echo = true;
  const StreamId next = p.request("POST", "/", "again");
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(next).body == "again");
}

TEST_CASE("the server resets a stream, ends a connection in peace, and aborts one") {
  Pair p;
  p.app.echo = false;
  const StreamId first = p.get("/1");
  const StreamId second = p.get("/2");
  REQUIRE(p.settle());
  p.server.reset(first, ErrorCode::kInternalError);
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(first).closed == ErrorCode::kInternalError);
  p.server.shutdown();
  REQUIRE(p.settle());
  CHECK(p.peer.goaway == ErrorCode::kNoError);
  CHECK_FALSE(p.server.wants_close());
  SECTION("the open stream may end") {
    p.server.respond(second, {.status = 200, .headers = {}}, HasBody::kNo);
    REQUIRE(p.settle());
    CHECK(p.peer.seen.at(second).status == 200);
    CHECK(p.server.wants_close());
  }
  SECTION("or the carrier goes away") {
    p.server.abort();
    CHECK(p.app.seen.at(second).closed == ErrorCode::kCancel);
    CHECK(p.server.num_streams() == 0);
    p.server.abort();
  }
}

TEST_CASE("a body above the limit gets 413, at the limit it is fine") {
  Pair p({.max_body_bytes = 1000});
  const StreamId fits = p.request("POST", "/", std::string(1000, 'a'));
  const StreamId over = p.request("POST", "/", std::string(1001, 'a'));
  const StreamId declared =
      p.request("POST", "/", std::string(2000, 'a'), {{"content-length", "2000"}});
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(fits).status == 200);
  CHECK(p.peer.seen.at(over).status == 413);
  CHECK(p.peer.seen.at(declared).status == 413);
  CHECK(p.app.seen.contains(over));
  CHECK_FALSE(p.app.seen.at(over).ended);
  CHECK(p.app.seen.at(over).closed);
  // What the header alone tells is never announced.
  CHECK_FALSE(p.app.seen.contains(declared));
  CHECK(p.server.num_streams() == 0);
}

TEST_CASE("unfinished bodies are bounded over all streams") {
  Pair p({.max_concurrent_streams = 100, .max_body_bytes = 1000, .max_unfinished_bytes = 2500});
  Buffer out = preface();
  for (uint32_t stream = 1; stream <= 7; stream += 2) {
    append_frame(out, 1, 4, stream, kGetHeaders);
    append_frame(out, 0, 0, stream, Buffer(1000, 'x'));
  }
  REQUIRE(p.server.receive(out, p.now).ok());
  Buffer ignored;
  p.server.take_output(SIZE_MAX, ignored);
  CHECK(p.app.seen.at(1).body.size() == 1000);
  CHECK(p.app.seen.at(3).body.size() == 1000);
  CHECK(p.app.seen.at(5).body.empty());
  CHECK(p.app.seen.at(5).closed);
  // Refusing one made no room in the sum of the others.
  CHECK(p.app.seen.at(7).closed);
  CHECK(p.server.num_streams() == 2);
}

TEST_CASE("too many or too large header fields get 431") {
  Pair p({.max_headers = 20, .max_header_bytes = 1000});
  std::vector<Header> many;
  for (int i = 0; i < 17; ++i) many.push_back({"h" + std::to_string(i), "v"});
  const StreamId over = p.request("GET", "/", "", many);
  many.pop_back();
  const StreamId fits = p.request("GET", "/", "", many);
  const StreamId large = p.request("GET", "/", "", {{"h", std::string(1000, 'v')}});
  REQUIRE(p.settle());
  CHECK(p.peer.seen.at(over).status == 431);
  CHECK(p.peer.seen.at(fits).status == 200);
  CHECK(p.peer.seen.at(large).status == 431);
  CHECK(p.app.seen.size() == 1);
  CHECK(p.server.num_streams() == 0);
}

TEST_CASE("streams beyond the limit are refused, and the connection goes on") {
  Pair p({.max_concurrent_streams = 2});
  p.app.echo = false;
  Buffer out = preface();
  for (uint32_t stream = 1; stream <= 9; stream += 2) append_frame(out, 1, 5, stream, kGetHeaders);
  REQUIRE(p.server.receive(out, p.now).ok());
  CHECK(p.app.order == std::vector<StreamId>{1, 3});
  CHECK(p.server.num_streams() == 2);
}

TEST_CASE("a request that does not come in whole in time is answered with 408 and forgotten") {
  Pair p({.request_timeout = Millis(1000)});
  p.now = Millis(5000);
  CHECK(p.server.next_deadline() == Millis::max());
  const StreamId whole = p.request("POST", "/", "body");
  REQUIRE(p.settle());
  CHECK(p.peer.seen[whole].status == 200);
  CHECK(p.server.next_deadline() == Millis::max());

  Buffer out;
  append_frame(out, 1, 4, 3, kGetHeaders);  // a body is to follow
  append_frame(out, 0, 0, 3, Buffer(10, 'a'));
  REQUIRE(p.server.receive(out, p.now).ok());
  CHECK(p.server.next_deadline() == Millis(6000));
  // Drops of a body do not move the deadline.
  p.now = Millis(5999);
  out.clear();
  append_frame(out, 0, 0, 3, Buffer(1, 'a'));
  REQUIRE(p.server.receive(out, p.now).ok());
  CHECK(p.server.next_deadline() == Millis(6000));
  p.server.expire(p.now);
  CHECK(p.server.num_streams() == 1);
  p.server.expire(Millis(6000));
  CHECK(p.server.next_deadline() == Millis::max());
  out.clear();
  REQUIRE(p.server.take_output(SIZE_MAX, out));
  CHECK(as_text(out).find("408") != std::string_view::npos);
  CHECK(p.server.num_streams() == 0);
  CHECK(p.app.seen[3].closed == ErrorCode::kNoError);
  CHECK_FALSE(p.server.wants_close());
}

TEST_CASE("a header block that stops half way ends the connection") {
  Pair p({.request_timeout = Millis(1000)});
  Buffer out = preface();
  append_frame(out, 1, 1, 1, kGetHeaders);  // no END_HEADERS
  REQUIRE(p.server.receive(out, Millis(0)).ok());
  CHECK(p.server.next_deadline() == Millis(1000));
  p.server.expire(Millis(1000));
  out.clear();
  p.server.take_output(SIZE_MAX, out);
  CHECK(p.server.wants_close());
  CHECK(p.app.seen.empty());
}

TEST_CASE("limits are raised for what comes from then on") {
  ServerLimits narrow;
  narrow.max_concurrent_streams = 2;
  narrow.max_body_bytes = narrow.max_unfinished_bytes = 100;
  narrow.max_header_bytes = 200;
  Pair p(narrow);
  p.app.echo = false;
  REQUIRE(p.settle());
  p.get("/1");
  p.get("/2");
  REQUIRE(p.settle());
  const auto third = p.client.request(
      {.method = "GET", .path = "/3", .authority = "x", .scheme = "https", .headers = {}}, {});
  if (third.ok()) REQUIRE(p.settle());
  CHECK(p.server.num_streams() == 2);
  p.server.set_limits({});
  REQUIRE(p.settle());
  p.request("POST", "/4", std::string(50'000, 'b'), {{"x-long", std::string(1000, 'h')}});
  REQUIRE(p.settle());
  CHECK(p.server.num_streams() >= 3);
  const auto large = std::find_if(p.app.seen.begin(), p.app.seen.end(), [](const auto& seen) {
    return seen.second.body.size() == 50'000;
  });
  CHECK(large != p.app.seen.end());
}

TEST_CASE("streams beyond the limit are refused even before the client knows of it") {
  Pair p({.max_concurrent_streams = 2});
  p.app.echo = false;
  Buffer out = preface();
  for (uint32_t stream = 1; stream < 20; stream += 2) append_frame(out, 1, 5, stream, kGetHeaders);
  REQUIRE(p.server.receive(out, p.now).ok());
  CHECK(p.app.seen.size() == 2);
  CHECK(p.server.num_streams() == 2);
}

TEST_CASE("after the last request that is allowed the open ones may end") {
  Pair p({.max_requests = 3});
  p.app.echo = false;
  p.get("/1");
  p.get("/2");
  REQUIRE(p.settle());
  CHECK_FALSE(p.peer.goaway);
  p.get("/3");
  REQUIRE(p.settle());
  CHECK(p.peer.goaway == ErrorCode::kNoError);
  CHECK(p.server.num_streams() == 3);
  CHECK_FALSE(p.server.wants_close());
  for (const StreamId id : {1, 3, 5}) {
    CHECK(p.server.respond(id, {.status = 200, .headers = {}}, HasBody::kNo));
  }
  REQUIRE(p.settle());
  CHECK(p.server.wants_close());
}

TEST_CASE("rapid resets end the connection with enhance-your-calm") {
  Pair p({.resets_per_second = 10, .resets_burst = 50});
  p.app.echo = false;
  Buffer begin = preface();
  REQUIRE(p.server.receive(begin, p.now).ok());
  int survived = 0;
  for (uint32_t stream = 1; stream < 1000; stream += 2) {
    Buffer out;
    append_frame(out, 1, 5, stream, kGetHeaders);
    append_frame(out, 3, 0, stream, test::from_hex("00000008"));
    if (!p.server.receive(out, p.now).ok()) break;
    ++survived;
    Buffer ignored;
    p.server.take_output(SIZE_MAX, ignored);
  }
  CHECK(survived == 50);
  CHECK_FALSE(p.server.receive({}, p.now).ok());
  Buffer out;
  p.server.take_output(SIZE_MAX, out);
  REQUIRE(out.size() >= 17);
  CHECK(out[out.size() - 17 + 3] == 7);
  CHECK(out.back() == 0x0b);
  CHECK(p.server.wants_close());
  p.server.abort();
  for (const auto& [id, seen] : p.app.seen) CHECK(seen.closed);
}

TEST_CASE("resets at a bearable rate are no offence") {
  Pair p({.resets_per_second = 10, .resets_burst = 50});
  p.app.echo = false;
  for (int i = 0; i < 500; ++i) {
    const StreamId id = p.get("/");
    REQUIRE(p.settle());
    p.client.reset(id, ErrorCode::kCancel);
    REQUIRE(p.settle());
    p.now += Millis(100);
  }
}

TEST_CASE("floods of pings, settings, priorities and empty data end the connection") {
  struct Flood {
    const char* name;
    uint8_t type;
    Buffer payload;
    uint32_t stream;
  };
  for (const Flood& flood : {Flood{"ping", 6, Buffer(8), 0}, Flood{"settings", 4, {}, 0},
                             Flood{"priority", 2, Buffer(5), 1}, Flood{"empty data", 0, {}, 1}}) {
    CAPTURE(flood.name);
    Pair p({.control_per_second = 10, .control_burst = 100});
    Buffer out = preface();
    append_frame(out, 1, 4, 1, kGetHeaders);
    for (int i = 0; i < 99; ++i) append_frame(out, flood.type, 0, flood.stream, flood.payload);
    CHECK(p.server.receive(out, p.now).ok());
    out.clear();
    for (int i = 0; i < 2; ++i) append_frame(out, flood.type, 0, flood.stream, flood.payload);
    CHECK_FALSE(p.server.receive(out, p.now).ok());
  }
  // Every ping within the rate is answered.
  Pair p;
  for (int i = 0; i < 100; ++i) {
    p.client.ping();
    REQUIRE(p.settle());
    p.now += Millis(100);
  }
}

TEST_CASE("output that nobody takes stays bounded while a peer pings") {
  Pair p({.control_per_second = 1000000, .control_burst = 1000000});
  Buffer out = preface();
  for (int i = 0; i < 3000; ++i) append_frame(out, 6, 0, 0, Buffer(8));
  CHECK_FALSE(p.server.receive(out, p.now).ok());
}

TEST_CASE("what is no HTTP/2 is refused") {
  const auto refused = [](Bytes bytes) {
    Pair p;
    const bool failed = !p.server.receive(bytes, Millis(0)).ok();
    return failed || p.server.wants_close() || [&] {
      // A connection error is answered by GOAWAY, then the session is done.
      Buffer out;
      p.server.take_output(SIZE_MAX, out);
      return p.server.wants_close();
    }();
  };
  CHECK(refused(as_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n")));
  Buffer bad = preface();
  append_frame(bad, 1, 4, 2, kGetHeaders);  // an even stream
  CHECK(refused(bad));
  bad = preface();
  append_frame(bad, 0, 0, 0, Buffer(3));  // data on stream 0
  CHECK(refused(bad));
  bad = preface();
  append_frame(bad, 1, 4, 1, Buffer{0xff, 0xff, 0xff, 0xff, 0xff, 0xff});  // broken HPACK
  CHECK(refused(bad));
  bad = preface();
  bad.resize(bad.size() + 9, 0xff);  // a frame longer than announced
  CHECK(refused(bad));
}

TEST_CASE("every truncation of a good conversation waits without an event too many") {
  Buffer stream;
  {
    Pair p;
    p.request("POST", "/", "body");
    p.client.take_output(SIZE_MAX, stream);
  }
  for (size_t len = 0; len < stream.size(); ++len) {
    Pair p;
    CHECK(p.server.receive(Bytes(stream).first(len), p.now).ok());
    for (const auto& [id, seen] : p.app.seen) CHECK_FALSE(seen.ended);
    CHECK(p.server.receive(Bytes(stream).subspan(len), p.now).ok());
    REQUIRE(p.app.seen.size() == 1);
    CHECK(p.app.seen.begin()->second.body == "body");
  }
}

}  // namespace es::h2

// A client and our end of a control connection over a stream in memory.
#pragma once

#include "native/h2/client_session.h"
#include "native/noise/early_payload.h"
#include "native/noise/handshake.h"
#include "native/ts2021/connection.h"
#include "tests/unit/native/fake_stream.h"

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace es::test {

using Buffer = std::vector<uint8_t>;

inline noise::Key filled_key(uint8_t with) {
  noise::Key key;
  key.fill(with);
  return key;
}

struct ControlPair : h2::ClientEvents {
  explicit ControlPair(ts2021::MakeHandler make_handler, uint16_t version = 113)
      : initiator(noise::Initiator::create(filled_key(3),
                                           noise::x25519_public(filled_key(1)).value(),
                                           filled_key(4), version)
                      .value()) {
    keys.static_private = filled_key(1);
    keys.ephemeral_private = filled_key(2);
    keys.challenge_public = filled_key(9);
    options.clock = [] { return Millis(0); };
    options.make_handler = [this, make_handler](const std::shared_ptr<ts2021::Connection>& c) {
      connection = c;
      return make_handler(c);
    };
  }
  ~ControlPair() override {
    // Taken out first: the callbacks hold the connection, which holds the stream.
    const auto read = std::exchange(wire->read_done, nullptr);
    const auto write = std::exchange(wire->write_done, nullptr);
    const auto tasks = std::exchange(loop.tasks, {});
  }
  void on_response(h2::StreamId id, h2::Response response) override {
    statuses[id] = response.status;
  }
  void on_body(h2::StreamId id, Bytes piece) override { bodies[id] += as_text(piece); }
  void on_closed(h2::StreamId id, h2::ErrorCode code) override { closed[id] = code; }
  void on_goaway(h2::ErrorCode code) override { goaway = code; }

  Status serve(Bytes initiation) {
    ts2021::HalfOpen::Place place;
    if (options.half_open != nullptr) place = options.half_open->take("192.0.2.1", options.clock());
    return ts2021::Connection::serve(std::make_unique<FakeStream>(loop, wire), keys, initiation,
                                     options, std::move(place));
  }
  Status connect() {
    ES_CHECK(serve(initiator.initiation()));
    return settle() ? Status() : Status(reconnect("client"));
  }
  // What a client does with the server's bytes.
  bool client_read(Bytes bytes) {
    from_server.insert(from_server.end(), bytes.begin(), bytes.end());
    if (!receiver) {
      if (from_server.size() < noise::kResponseLen) return true;
      const auto session = initiator.finish(Bytes(from_server).first(noise::kResponseLen));
      if (!session.ok()) return false;
      receiver.emplace(noise::RecordReceiver::create(session->receive_key).value());
      sender.emplace(noise::RecordSender::create(session->send_key).value());
      from_server.erase(from_server.begin(), from_server.begin() + noise::kResponseLen);
    }
    Buffer plain, http;
    if (!receiver->open(from_server, plain).ok()) return false;
    from_server.clear();
    return early.read(plain, http).ok() && client.receive(http).ok();
  }
  bool settle() {
    for (bool moved = true; moved;) {
      moved = !loop.tasks.empty();
      loop.run();
      if (wire->write_done && !wire->blocked) {
        moved = true;
        const Buffer bytes(wire->writing.begin(), wire->writing.end());
        std::exchange(wire->write_done, nullptr)(Status());
        if (!client_read(bytes)) return false;
      }
      Buffer out;
      if (sender && client.take_output(SIZE_MAX, out)) {
        REQUIRE(sender->seal(out, wire->to_server).ok());
      }
      if (wire->read_done && (!wire->to_server.empty() || wire->client_closed)) {
        moved = true;
        const size_t len = std::min(wire->read_into.size(), wire->to_server.size());
        std::copy_n(wire->to_server.begin(), len, wire->read_into.begin());
        wire->to_server.erase(wire->to_server.begin(),
                              wire->to_server.begin() + static_cast<std::ptrdiff_t>(len));
        std::exchange(wire->read_done, nullptr)(len);
      }
    }
    return true;
  }
  h2::StreamId request(const std::string& path, std::string_view body,
                       const std::string& method = "POST") {
    return client
        .request(
            {.method = method, .path = path, .authority = "x", .scheme = "https", .headers = {}},
            h2::Chunk::copy_of(as_bytes(body)))
        .value();
  }

  Loop loop;
  std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  ts2021::Keys keys;
  ts2021::Options options;
  std::weak_ptr<ts2021::Connection> connection;
  noise::Initiator initiator;
  std::optional<noise::RecordReceiver> receiver;
  std::optional<noise::RecordSender> sender;
  noise::EarlyPayloadReader early;
  h2::ClientSession client = h2::ClientSession::create(*this).value();
  Buffer from_server;
  std::map<h2::StreamId, int> statuses;
  std::map<h2::StreamId, std::string> bodies;
  std::map<h2::StreamId, h2::ErrorCode> closed;
  std::optional<h2::ErrorCode> goaway;
};

}  // namespace es::test

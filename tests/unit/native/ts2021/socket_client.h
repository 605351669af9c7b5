// A client of a control connection on a real socket: the upgrade, Noise, HTTP/2 inside, and what no
// decent client sends. Several may run in threads of their own: nothing here asserts.
#pragma once

#include "common/base/base64.h"
#include "native/h2/client_session.h"
#include "native/noise/early_payload.h"
#include "native/noise/handshake.h"
#include "native/noise/record.h"
#include "native/ts2021/upgrade.h"
#include "tests/unit/native/net/test_server.h"

#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace es::test {

inline Millis monotonic() {
  return std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now().time_since_epoch());
}

// The status of the answer whose head comes next; 0: none came.
inline int read_status(net::RawClient& client) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const std::string piece = client.read_some(1);
    if (piece.empty()) return 0;
    head += piece;
  }
  return std::atoi(head.c_str() + sizeof("HTTP/1.1"));
}

// Asks for the upgrade and returns the answer's status.
inline int begin_upgrade(net::RawClient& client, Bytes initiation) {
  const std::string text = base64_encode(initiation, Base64Alphabet::kStandardPadded);
  client.send("POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: " +
              std::string(ts2021::kUpgradeName) + "\r\n" + std::string(ts2021::kHandshakeHeader) +
              ": " + text + "\r\nContent-Length: 0\r\n\r\n");
  return read_status(client);
}

class SocketClient : public h2::ClientEvents {
 public:
  SocketClient(uint16_t port, const noise::Initiator& hello) : socket(port) {
    if (begin_upgrade(socket, hello.initiation()) != 101) return;
    std::string answer;
    while (answer.size() < noise::kResponseLen) {
      const std::string piece = socket.read_some(noise::kResponseLen - answer.size());
      if (piece.empty()) return;
      answer += piece;
    }
    const auto session = hello.finish(as_bytes(answer));
    if (!session.ok()) return;
    sender_.emplace(noise::RecordSender::create(session->send_key).value());
    receiver_.emplace(noise::RecordReceiver::create(session->receive_key).value());
    ended = false;
  }
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  // Carries bytes both ways for this long, or until `done`.
  template <class F>
  void run(Millis time, F done) {
    const Millis end = monotonic() + time;
    while (!ended && !done() && monotonic() < end) {
      flush();
      const std::string got = socket.read_some(65536, 5);
      if (got.empty()) {
        ended = socket.closed_within(0);
        continue;
      }
      std::vector<uint8_t> plain;
      std::vector<uint8_t> frames;
      if (!receiver_->open(as_bytes(got), plain).ok() || !early_.read(plain, frames).ok())
        std::abort();
      raw += as_text(frames);
      if (!by_hand_) (void)http.receive(frames);
    }
  }
  void run(Millis time) {
    run(time, [] { return false; });
  }

  std::optional<h2::StreamId> post(const std::string& path, std::string_view body = {},
                                   std::vector<h2::Header> headers = {}) {
    if (ended) return std::nullopt;
    const auto id = http.request({.method = "POST",
                                  .path = path,
                                  .authority = "x",
                                  .scheme = "https",
                                  .headers = std::move(headers)},
                                 h2::Chunk::copy_of(as_bytes(body)));
    return id.ok() ? std::optional(*id) : std::nullopt;
  }
  // Waits for the answer; 0: there was none, or no stream to ask on.
  int ask(const std::string& path, std::string_view body = {}) {
    const auto id = post(path, body);
    return id ? status_of(*id) : 0;
  }
  int status_of(h2::StreamId id) {
    run(Millis(3000), [&] { return closed.contains(id); });
    return statuses[id];
  }

  // Frames behind nghttp2's back: a request whose body goes on. No more decent requests after it.
  void begin_request(uint32_t id, size_t body_len) {
    flush();
    by_hand_ = true;
    frame(1, 4, id, std::string("\x83\x87\x84\x41\x01x", 6));
    send_data(id, body_len);
  }
  void send_data(uint32_t id, size_t len) {
    constexpr size_t kMost = 16'000;
    for (; len > kMost; len -= kMost) frame(0, 0, id, std::string(kMost, 'd'));
    frame(0, 0, id, std::string(len, 'd'));
  }

  void on_response(h2::StreamId id, h2::Response response) override {
    statuses[id] = response.status;
  }
  void on_body(h2::StreamId id, Bytes piece) override { bodies[id] += as_text(piece); }
  void on_closed(h2::StreamId id, h2::ErrorCode code) override { closed[id] = code; }
  void on_goaway(h2::ErrorCode code) override { goaway = code; }

  net::RawClient socket;
  h2::ClientSession http = h2::ClientSession::create(*this).value();
  std::string raw;  // all HTTP/2 that came
  std::map<h2::StreamId, int> statuses;
  std::map<h2::StreamId, std::string> bodies;
  std::map<h2::StreamId, h2::ErrorCode> closed;
  std::optional<h2::ErrorCode> goaway;
  bool ended = true;  // until the handshake is done

 private:
  void flush() {
    std::vector<uint8_t> out;
    http.take_output(SIZE_MAX, out);
    send(out);
  }
  void send(Bytes plain) {
    if (plain.empty()) return;
    std::vector<uint8_t> sealed;
    if (!sender_->seal(plain, sealed).ok()) std::abort();
    (void)socket.send(as_text(sealed));
  }
  void frame(uint8_t type, uint8_t flags, uint32_t id, std::string_view payload) {
    std::vector<uint8_t> bytes(9 + payload.size());
    ByteWriter out(bytes);
    out.u8(static_cast<uint8_t>(payload.size() >> 16U));
    out.u16be(static_cast<uint16_t>(payload.size()));
    out.u8(type);
    out.u8(flags);
    out.u32be(id);
    out.bytes(as_bytes(payload));
    send(bytes);
  }

  std::optional<noise::RecordSender> sender_;
  std::optional<noise::RecordReceiver> receiver_;
  noise::EarlyPayloadReader early_;
  bool by_hand_ = false;
};

}  // namespace es::test

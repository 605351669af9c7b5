// A WebSocket (RFC 6455) over a connection that was taken over, message by message.
//
// Threads: as ByteStream (byte_stream.h): everything on the stream's strand. At most one read and
// one write may be pending. A peer that is silent for the idle timeout is pinged at half of it and
// then dropped. A message over the limit ends the connection with close code 1009. When the server
// stops, the connection is closed with 1001.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/net/byte_stream.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

struct WebSocketOptions {
  size_t max_message_bytes = 64 * 1024;
  Millis idle_timeout{120'000};
  // Sub-protocols that are spoken, best first. Empty: the client's first one is taken as it is.
  std::vector<std::string> protocols;
};

class WebSocket {
 public:
  enum class Kind { kText, kBinary };
  struct Message {
    Kind kind = Kind::kBinary;
    Bytes bytes;  // valid until the next read
  };
  enum class CloseCode : uint16_t { kNormal = 1000, kGoingAway = 1001, kPolicy = 1008 };

  using Accepted = std::function<void(std::unique_ptr<WebSocket>)>;
  using ReadDone = std::function<void(Result<Message>)>;
  using WriteDone = std::function<void(Status)>;

  virtual ~WebSocket() = default;

  // Answers the handshake: calls `done` with the open WebSocket, or not at all when the request
  // was no WebSocket handshake (it has got its 400 or 426 then) or the connection ended.
  static void accept(Upgrade upgrade, WebSocketOptions options, Accepted done);

  virtual void read(ReadDone done) = 0;
  // `bytes` must live until `done` has run or the WebSocket is destroyed.
  virtual void write(Kind kind, Bytes bytes, WriteDone done) = 0;
  virtual void close(CloseCode code) = 0;
  // Runs `task` on the strand, unless the WebSocket is destroyed before; from any thread.
  virtual void post(std::function<void()> task) = 0;
  // The sub-protocol that was agreed on, or empty.
  virtual std::string_view protocol() const = 0;
};

// Sends every message back: for `opr ws:test`. One message is in memory at a time.
UpgradeHandler websocket_echo(WebSocketOptions options);

}  // namespace es::net

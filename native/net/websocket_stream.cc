#include "native/net/websocket_stream.h"

#include <algorithm>
#include <utility>

namespace es::net {

namespace {

constexpr Error kNotBinary = reconnect("the WebSocket sent text");

class WebSocketStream final : public ByteStream {
 public:
  explicit WebSocketStream(std::unique_ptr<WebSocket> socket) : socket_(std::move(socket)) {}

  void read_some(MutableBytes into, ReadDone done) override {
    if (!unread_.empty()) {
      const size_t len = take(into);
      socket_->post([len, done = std::move(done)] { done(len); });
      return;
    }
    socket_->read([this, into, done = std::move(done)](Result<WebSocket::Message> message) mutable {
      if (!message.ok()) return done(message.error());
      if (message->kind != WebSocket::Kind::kBinary) {
        socket_->close(WebSocket::CloseCode::kPolicy);
        return done(kNotBinary);
      }
      unread_ = message->bytes;
      // Zero bytes would mean the end.
      if (unread_.empty()) return read_some(into, std::move(done));
      done(take(into));
    });
  }

  void write(Bytes bytes, WriteDone done) override {
    // The message is a copy that its completion owns: a WebSocket that is destroyed in the middle
    // of a write says goodbye first, and still sends from it.
    const Bytes piece = bytes.first(std::min(bytes.size(), kMaxStreamMessage));
    const Bytes rest = bytes.subspan(piece.size());
    auto message = std::make_shared<const std::vector<uint8_t>>(piece.begin(), piece.end());
    socket_->write(WebSocket::Kind::kBinary, *message,
                   [this, message, rest, done = std::move(done)](const Status& status) mutable {
                     if (!status.ok() || rest.empty()) return done(status);
                     write(rest, std::move(done));
                   });
  }

  void post(std::function<void()> task) override { socket_->post(std::move(task)); }
  void set_timeouts(Millis, Millis) override {}
  void on_server_stop(std::function<void()>) override {}
  void close() override { socket_->close(WebSocket::CloseCode::kNormal); }

 private:
  size_t take(MutableBytes into) {
    const size_t len = std::min(into.size(), unread_.size());
    std::copy_n(unread_.begin(), len, into.begin());
    unread_ = unread_.subspan(len);
    return len;
  }

  std::unique_ptr<WebSocket> socket_;
  Bytes unread_;  // of the last message; the WebSocket holds it until the next read
};

}  // namespace

std::unique_ptr<ByteStream> stream_over(std::unique_ptr<WebSocket> socket) {
  return std::make_unique<WebSocketStream>(std::move(socket));
}

void accept_stream(Upgrade upgrade, std::string_view protocol,
                   std::function<void(std::unique_ptr<ByteStream>)> done) {
  WebSocketOptions options;
  options.protocols = {std::string(protocol)};
  WebSocket::accept(
      std::move(upgrade), std::move(options),
      [wanted = std::string(protocol), done = std::move(done)](std::unique_ptr<WebSocket> socket) {
        if (socket->protocol() == wanted) return done(stream_over(std::move(socket)));
        socket->close(WebSocket::CloseCode::kPolicy);
      });
}

}  // namespace es::net

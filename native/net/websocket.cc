#include "native/net/websocket.h"

#include "native/net/connection.h"
#include "native/net/upgrade.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace es::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = boost::beast::websocket;

constexpr Error kEnded = reconnect("the WebSocket has ended");

// The connection's transport behind the bytes that were read ahead of the handshake.
class Channel {
 public:
  using executor_type = Executor;

  explicit Channel(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)), unread_(connection_->take_unread()) {}

  executor_type get_executor() { return connection_->worker()->executor(); }
  Connection& connection() { return *connection_; }

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& into, Handler&& handler) {
    if (unread_.empty()) {
      connection_->transport().async_read_some(into, std::forward<Handler>(handler));
      return;
    }
    const size_t n = asio::buffer_copy(into, asio::buffer(unread_));
    unread_.erase(0, n);
    asio::post(get_executor(),
               beast::bind_front_handler(std::forward<Handler>(handler), beast::error_code{}, n));
  }

  template <class Buffers, class Handler>
  void async_write_some(const Buffers& from, Handler&& handler) {
    connection_->transport().async_write_some(from, std::forward<Handler>(handler));
  }

 private:
  std::shared_ptr<Connection> connection_;
  std::string unread_;
};

// How Beast ends and drops the layer below (websocket/teardown.hpp, core/stream_traits.hpp).
template <class Handler>
void async_teardown(beast::role_type, Channel& channel, Handler&& handler) {
  channel.connection().transport().shutdown_send();
  asio::post(channel.get_executor(),
             beast::bind_front_handler(std::forward<Handler>(handler), beast::error_code{}));
}
[[maybe_unused]] void teardown(beast::role_type, Channel& channel, beast::error_code& ec) {
  channel.connection().transport().shutdown_send();
  ec = {};
}
void beast_close_socket(Channel& channel) { channel.connection().transport().close(); }

// The first of ours that the client offers, or its first one when we have no list.
std::string choose_protocol(const Request& request, const std::vector<std::string>& ours) {
  std::vector<std::string> offered;
  for (const Field& f : request.fields) {
    if (!same_name(f.name, "sec-websocket-protocol")) continue;
    for (const auto token : beast::http::token_list(f.value)) offered.emplace_back(token);
  }
  if (offered.empty()) return {};
  if (ours.empty()) return offered.front();
  for (const std::string& name : ours) {
    if (std::find(offered.begin(), offered.end(), name) != offered.end()) return name;
  }
  return {};
}

beast::http::request<beast::http::empty_body> handshake_of(const Request& request) {
  beast::http::request<beast::http::empty_body> handshake;
  handshake.version(11);
  handshake.method_string(request.method);
  handshake.target(request.target);
  for (const Field& f : request.fields) handshake.insert(f.name, f.value);
  return handshake;
}

// Kept alive by pending operations; the WebSocket handed out only points at it.
class SocketState final : public std::enable_shared_from_this<SocketState> {
 public:
  SocketState(std::shared_ptr<Connection> connection, const WebSocketOptions& options,
              std::string protocol)
      : connection_(connection), stream_(connection), protocol_(std::move(protocol)) {
    ws::stream_base::timeout timeout{};
    timeout.handshake_timeout = connection_->core().limits()->header_timeout;
    timeout.idle_timeout = options.idle_timeout;
    timeout.keep_alive_pings = true;
    stream_.set_option(timeout);
    stream_.read_message_max(options.max_message_bytes);
    stream_.auto_fragment(false);
    stream_.set_option(ws::stream_base::decorator([p = protocol_](ws::response_type& response) {
      response.erase(beast::http::field::server);
      if (!p.empty()) response.set(beast::http::field::sec_websocket_protocol, p);
    }));
  }

  void accept(const Request& request, std::function<void(bool)> done) {
    handshake_ = handshake_of(request);
    connection_->set_on_stop([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->close(ws::close_code::going_away);
    });
    stream_.async_accept(handshake_,
                         [self = shared_from_this(), done = std::move(done)](beast::error_code ec) {
                           self->accepted_ = true;
                           if (ec) self->connection_->transport().close();
                           done(!ec);
                           if (self->close_wanted_) self->close(*self->close_wanted_);
                         });
  }

  void read(WebSocket::ReadDone done) {
    buffer_.consume(buffer_.size());
    stream_.async_read(
        buffer_, [self = shared_from_this(), done = std::move(done)](beast::error_code ec, size_t) {
          if (self->destroyed_) return;
          if (ec) {
            done(kEnded);
            return;
          }
          const auto data = self->buffer_.data();
          done(WebSocket::Message{
              self->stream_.got_text() ? WebSocket::Kind::kText : WebSocket::Kind::kBinary,
              Bytes(static_cast<const uint8_t*>(data.data()), data.size())});
        });
  }

  void write(WebSocket::Kind kind, Bytes bytes, WebSocket::WriteDone done) {
    stream_.text(kind == WebSocket::Kind::kText);
    stream_.async_write(
        asio::buffer(bytes.data(), bytes.size()),
        [self = shared_from_this(), done = std::move(done)](beast::error_code ec, size_t) {
          if (self->destroyed_) return;
          done(ec ? Status(kEnded) : Status());
        });
  }

  void close(ws::close_code code) {
    if (!accepted_) {
      // The server stops in the middle of the handshake: Beast may not close what is not open.
      close_wanted_ = code;
      return;
    }
    if (std::exchange(closing_, true)) return;
    stream_.async_close(code, [self = shared_from_this()](beast::error_code) {
      self->connection_->transport().close();
    });
  }

  void post(std::function<void()> task) {
    asio::post(connection_->worker()->executor(),
               [self = shared_from_this(), task = std::move(task)] {
                 if (!self->destroyed_) task();
               });
  }

  void destroy() {
    destroyed_ = true;
    // An open WebSocket that is dropped without a word still says goodbye, within the timeouts.
    if (stream_.is_open()) {
      close(ws::close_code::normal);
    } else {
      connection_->transport().close();
    }
  }

  std::string_view protocol() const { return protocol_; }

 private:
  std::shared_ptr<Connection> connection_;
  ws::stream<Channel, false> stream_;
  beast::http::request<beast::http::empty_body> handshake_;
  beast::flat_buffer buffer_;
  std::string protocol_;
  bool accepted_ = false;
  std::optional<ws::close_code> close_wanted_;
  bool closing_ = false;
  bool destroyed_ = false;
};

class BeastWebSocket final : public WebSocket {
 public:
  explicit BeastWebSocket(std::shared_ptr<SocketState> state) : state_(std::move(state)) {}
  ~BeastWebSocket() override { state_->destroy(); }

  void read(ReadDone done) override { state_->read(std::move(done)); }
  void write(Kind kind, Bytes bytes, WriteDone done) override {
    state_->write(kind, bytes, std::move(done));
  }
  void close(CloseCode code) override {
    state_->close(static_cast<ws::close_code>(static_cast<uint16_t>(code)));
  }
  void post(std::function<void()> task) override { state_->post(std::move(task)); }
  std::string_view protocol() const override { return state_->protocol(); }

 private:
  std::shared_ptr<SocketState> state_;
};

// One echo: owns its WebSocket, and is owned by the operation that is pending.
class Echo final : public std::enable_shared_from_this<Echo> {
 public:
  explicit Echo(std::unique_ptr<WebSocket> socket) : socket_(std::move(socket)) {}

  void next() {
    socket_->read([self = shared_from_this()](Result<WebSocket::Message> message) {
      if (!message.ok()) return;
      self->socket_->write(message->kind, message->bytes, [self](const Status& status) {
        if (status.ok()) self->next();
      });
    });
  }

 private:
  std::unique_ptr<WebSocket> socket_;
};

}  // namespace

void WebSocket::accept(Upgrade upgrade, WebSocketOptions options, Accepted done) {
  const Request& request = upgrade.request();
  if (!ws::is_upgrade(handshake_of(request))) {
    Response required = error_response(426, "a WebSocket handshake is needed here");
    std::move(upgrade).refuse(std::move(required));
    return;
  }
  std::string protocol = choose_protocol(request, options.protocols);
  const Request kept = request;
  std::shared_ptr<Connection> connection = upgrade.impl_->take();
  if (!connection) return;
  auto state = std::make_shared<SocketState>(std::move(connection), options, std::move(protocol));
  state->accept(kept, [state, done = std::move(done)](bool ok) {
    if (ok) done(std::make_unique<BeastWebSocket>(state));
  });
}

UpgradeHandler websocket_echo(WebSocketOptions options) {
  return [options = std::move(options)](Upgrade upgrade) {
    WebSocket::accept(std::move(upgrade), options, [](std::unique_ptr<WebSocket> socket) {
      std::make_shared<Echo>(std::move(socket))->next();
    });
  };
}

}  // namespace es::net

#include "native/net/upgrade.h"

#include "native/net/connection.h"

#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace es::net {
namespace {

namespace asio = boost::asio;

constexpr Error kEnded = reconnect("the connection has ended");

// The state that pending operations keep alive; the ByteStream handed out only points at it.
class StreamState final : public std::enable_shared_from_this<StreamState> {
 public:
  StreamState(std::shared_ptr<Connection> connection, std::string head, std::string unread)
      : connection_(std::move(connection)),
        read_deadline_(*connection_->worker(), *this),
        write_deadline_(*connection_->worker(), *this),
        head_(std::move(head)),
        unread_(std::move(unread)) {}

  void start() {
    connection_->set_on_stop([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->on_stop_) std::exchange(self->on_stop_, nullptr)();
    });
    if (head_.empty()) return;
    head_pending_ = true;
    write_deadline_.arm(connection_->core().limits()->write_timeout);
    asio::async_write(connection_->transport(), asio::buffer(head_),
                      [self = shared_from_this()](boost::system::error_code ec, size_t) {
                        self->write_deadline_.disarm();
                        self->head_pending_ = false;
                        self->failed_ = self->failed_ || ec.failed();
                        if (self->next_write_) std::exchange(self->next_write_, nullptr)();
                      });
  }

  void read_some(MutableBytes into, ByteStream::ReadDone done) {
    if (!unread_.empty()) {
      const size_t n = std::min(into.size(), unread_.size());
      std::memcpy(into.data(), unread_.data(), n);
      unread_.erase(0, n);
      post([done = std::move(done), n] { done(n); });
      return;
    }
    read_deadline_.arm(read_timeout_);
    connection_->transport().async_read_some(
        asio::buffer(into.data(), into.size()), [self = shared_from_this(), done = std::move(done)](
                                                    boost::system::error_code ec, size_t n) {
          self->read_deadline_.disarm();
          if (self->destroyed_) return;
          if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated) {
            done(size_t{0});
          } else if (ec) {
            done(kEnded);
          } else {
            done(n);
          }
        });
  }

  void write(Bytes bytes, ByteStream::WriteDone done) {
    if (head_pending_) {
      next_write_ = [this, bytes, done = std::move(done)]() mutable {
        write(bytes, std::move(done));
      };
      return;
    }
    if (failed_) {
      post([done = std::move(done)] { done(kEnded); });
      return;
    }
    write_deadline_.arm(write_timeout_);
    asio::async_write(
        connection_->transport(), asio::buffer(bytes.data(), bytes.size()),
        [self = shared_from_this(), done = std::move(done)](boost::system::error_code ec, size_t) {
          self->write_deadline_.disarm();
          if (self->destroyed_) return;
          done(ec ? Status(kEnded) : Status());
        });
  }

  void post(std::function<void()> task) {
    asio::post(connection_->worker()->executor(),
               [self = shared_from_this(), task = std::move(task)] {
                 if (!self->destroyed_) task();
               });
  }

  void close() {
    failed_ = true;
    connection_->transport().close();
  }

  void destroy() {
    destroyed_ = true;
    next_write_ = nullptr;
    on_stop_ = nullptr;
    close();
  }

  void set_timeouts(Millis read, Millis write) {
    read_timeout_ = read;
    write_timeout_ = write;
  }

  void set_on_stop(std::function<void()> task) {
    if (connection_->core().stopping) {
      post(std::move(task));
    } else {
      on_stop_ = std::move(task);
    }
  }

 private:
  class Deadline final : public Timed {
   public:
    Deadline(Worker& worker, StreamState& state) : Timed(worker), state_(state) {}

   private:
    void on_due() override { state_.close(); }
    StreamState& state_;
  };

  std::shared_ptr<Connection> connection_;
  Deadline read_deadline_;
  Deadline write_deadline_;
  std::string head_;
  std::string unread_;
  bool head_pending_ = false;
  bool failed_ = false;
  bool destroyed_ = false;
  Millis read_timeout_{0};
  Millis write_timeout_{0};
  std::function<void()> next_write_;
  std::function<void()> on_stop_;
};

class SocketStream final : public ByteStream {
 public:
  explicit SocketStream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
  ~SocketStream() override { state_->destroy(); }

  void read_some(MutableBytes into, ReadDone done) override {
    state_->read_some(into, std::move(done));
  }
  void write(Bytes bytes, WriteDone done) override { state_->write(bytes, std::move(done)); }
  void post(std::function<void()> task) override { state_->post(std::move(task)); }
  void set_timeouts(Millis read, Millis write) override { state_->set_timeouts(read, write); }
  void on_server_stop(std::function<void()> task) override { state_->set_on_stop(std::move(task)); }
  void close() override { state_->close(); }

 private:
  std::shared_ptr<StreamState> state_;
};

std::unique_ptr<ByteStream> open_stream(Upgrade::Impl& impl, std::string head) {
  std::shared_ptr<Connection> connection = impl.take();
  if (!connection) return nullptr;
  std::string unread = connection->take_unread();
  auto state =
      std::make_shared<StreamState>(std::move(connection), std::move(head), std::move(unread));
  state->start();
  return std::make_unique<SocketStream>(std::move(state));
}

}  // namespace

Upgrade::Impl::Impl(std::shared_ptr<Connection> connection, std::shared_ptr<Exchange> exchange,
                    const Request& request)
    : connection_(std::move(connection)), exchange_(std::move(exchange)), request_(request) {}

Upgrade::Impl::~Impl() {
  if (connection_) exchange_->answer(error_response(500, "internal error"));
}

void Upgrade::Impl::refuse(Response response) {
  connection_.reset();
  exchange_->answer(std::move(response));
}

std::shared_ptr<Connection> Upgrade::Impl::take() {
  std::shared_ptr<Connection> connection = std::move(connection_);
  if (!connection || !exchange_->claim()) return nullptr;
  exchange_->outcome = Exchange::Outcome::kTaken;
  exchange_->finish();
  return connection;
}

Upgrade::Upgrade(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Upgrade::Upgrade(Upgrade&&) noexcept = default;
Upgrade& Upgrade::operator=(Upgrade&&) noexcept = default;
Upgrade::~Upgrade() = default;

const Request& Upgrade::request() const { return impl_->request(); }

void Upgrade::refuse(Response response) && { impl_->refuse(std::move(response)); }

std::unique_ptr<ByteStream> Upgrade::take(std::vector<Field> fields) && {
  std::string head;
  append_switching_head(head, fields);
  return open_stream(*impl_, std::move(head));
}

std::unique_ptr<ByteStream> Upgrade::take_silently() && { return open_stream(*impl_, {}); }

Upgrade make_upgrade(std::shared_ptr<Connection> connection, std::shared_ptr<Exchange> exchange,
                     const Request& request) {
  return Upgrade(
      std::make_unique<Upgrade::Impl>(std::move(connection), std::move(exchange), request));
}

}  // namespace es::net

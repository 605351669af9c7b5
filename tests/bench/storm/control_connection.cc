#include "tests/bench/storm/control_connection.h"

#include "common/base/base64.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <stdexcept>
#include <sys/random.h>
#include <utility>

namespace es::storm {
namespace {

using asio::ip::tcp;
constexpr asio::use_awaitable_t<Executor> kAwait;
constexpr size_t kReadLen = 64U << 10U;
constexpr std::chrono::seconds kAnswerTime{120};

void check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(std::string(status.error().what));
}

Awaitable<Socket> connect(tcp::endpoint server, asio::ip::address source, Executor executor) {
  Socket socket(executor, server.protocol());
  if (!source.is_unspecified()) socket.bind({source, 0});
  co_await socket.async_connect(server, kAwait);
  socket.set_option(tcp::no_delay(true));
  co_return socket;
}

}  // namespace

noise::Key random_key() {
  noise::Key key;
  if (getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    throw std::runtime_error("no randomness");
  }
  return key;
}

Awaitable<std::string> http_get(tcp::endpoint server, std::string host, std::string path) {
  const Executor executor = co_await asio::this_coro::executor;
  Socket socket = co_await connect(server, {}, executor);
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(request), kAwait);
  std::string answer;
  boost::system::error_code ec;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer), asio::redirect_error(kAwait, ec));
  const size_t body = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.1 200") || body == std::string::npos) {
    throw std::runtime_error("GET " + path + ": " + answer.substr(0, answer.find('\r')));
  }
  co_return answer.substr(body + 4);
}

ControlConnection::ControlConnection(asio::io_context& io)
    : io_(io), socket_(io), http_(h2::ClientSession::create(*this).value()), input_(kReadLen) {}

Awaitable<std::shared_ptr<ControlConnection>> ControlConnection::open(asio::io_context& io,
                                                                      const Target& target,
                                                                      asio::ip::address source,
                                                                      noise::Key machine_private) {
  auto connection = std::make_shared<ControlConnection>(io);
  co_await connection->handshake(target, source, machine_private);
  asio::co_spawn(io, read_loop(connection), [connection](const std::exception_ptr& error) {
    if (error == nullptr) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      connection->fail(e.what());
    }
  });
  co_return connection;
}

Awaitable<void> ControlConnection::handshake(const Target& target, asio::ip::address source,
                                             noise::Key machine_private) {
  socket_ = co_await connect(target.server, source, io_.get_executor());
  const auto initiator =
      noise::Initiator::create(machine_private, target.server_key, random_key(), kCapabilityVersion)
          .value();
  const std::string request =
      "POST /ts2021 HTTP/1.1\r\nHost: " + target.host +
      "\r\nContent-Length: 0\r\nConnection: upgrade\r\n"
      "Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: " +
      base64_encode(initiator.initiation(), Base64Alphabet::kStandardPadded) + "\r\n\r\n";
  co_await asio::async_write(socket_, asio::buffer(request), kAwait);
  std::string head;
  const size_t end = co_await asio::async_read_until(socket_, asio::dynamic_buffer(head, kReadLen),
                                                     "\r\n\r\n", kAwait);
  if (!head.starts_with("HTTP/1.1 101")) {
    throw std::runtime_error("upgrade: " + head.substr(0, head.find('\r')));
  }
  unread_.assign(head.begin() + static_cast<std::ptrdiff_t>(end), head.end());
  while (unread_.size() < noise::kResponseLen) {
    const size_t n = co_await socket_.async_read_some(asio::buffer(input_), kAwait);
    unread_.insert(unread_.end(), input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(n));
  }
  const auto session = initiator.finish(Bytes(unread_).first(noise::kResponseLen));
  if (!session.ok()) throw std::runtime_error(std::string(session.error().what));
  receiver_.emplace(noise::RecordReceiver::create(session->receive_key).value());
  sender_.emplace(noise::RecordSender::create(session->send_key).value());
  unread_.erase(unread_.begin(), unread_.begin() + noise::kResponseLen);
}

Awaitable<void> ControlConnection::read_loop(std::shared_ptr<ControlConnection> self) {
  self->read_at_ = std::chrono::steady_clock::now();
  self->take(std::exchange(self->unread_, {}));
  while (!self->closed_) {
    const size_t n = co_await self->socket_.async_read_some(asio::buffer(self->input_), kAwait);
    self->read_at_ = std::chrono::steady_clock::now();
    self->take(Bytes(self->input_).first(n));
  }
}

void ControlConnection::take(Bytes bytes) {
  if (closed_) return;
  plain_.clear();
  http_in_.clear();
  check(receiver_->open(bytes, plain_));
  check(early_.read(plain_, http_in_));
  check(http_.receive(http_in_));
  if (!broken_stream_.empty()) throw std::runtime_error(broken_stream_);
  flush();
}

void ControlConnection::flush() {
  if (writing_ || closed_) return;
  std::vector<uint8_t> plain;
  if (!http_.take_output(SIZE_MAX, plain)) return;
  output_.clear();
  check(sender_->seal(plain, output_));
  writing_ = true;
  asio::async_write(socket_, asio::buffer(output_),
                    [self = shared_from_this()](boost::system::error_code ec, size_t) {
                      self->writing_ = false;
                      if (ec) return self->fail("write: " + ec.message());
                      self->flush();
                    });
}

void ControlConnection::fail(const std::string& why) {
  if (std::exchange(closed_, true)) return;
  failure_ = why;
  for (auto& [id, call] : calls_) call.done.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (on_end_) std::exchange(on_end_, nullptr)(why);
}

void ControlConnection::close() {
  closed_ = true;
  on_end_ = nullptr;
  for (auto& [id, call] : calls_) call.done.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

h2::StreamId ControlConnection::request(std::string path, std::string body) {
  if (closed_) throw std::runtime_error("the connection has ended: " + failure_);
  const auto id = http_.request({.method = "POST",
                                 .path = std::move(path),
                                 .authority = "control",
                                 .scheme = "https",
                                 .headers = {}},
                                h2::Chunk::share(std::make_shared<const std::string>(body)));
  if (!id.ok()) throw std::runtime_error(std::string(id.error().what));
  calls_.try_emplace(*id, io_);
  flush();
  return *id;
}

Awaitable<Answer> ControlConnection::post(std::string path, std::string body) {
  const auto self = shared_from_this();
  const h2::StreamId id = request(std::move(path), std::move(body));
  Call& call = calls_.at(id);  // stays until it is taken out below
  if (!call.over) {
    call.done.expires_after(kAnswerTime);
    boost::system::error_code ec;
    co_await call.done.async_wait(asio::redirect_error(kAwait, ec));
  }
  const bool over = call.over;
  Answer answer = std::move(call.answer);
  calls_.erase(id);
  if (!over) {
    throw std::runtime_error(failure_.empty() ? "no answer in time" : "no answer: " + failure_);
  }
  co_return answer;
}

void ControlConnection::stream(std::string path, std::string body, OnMessage on_message,
                               OnEnd on_end) {
  on_end_ = std::move(on_end);
  calls_.at(request(std::move(path), std::move(body))).on_message = std::move(on_message);
}

void ControlConnection::on_response(h2::StreamId id, h2::Response response) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  it->second.answer.status = response.status;
  if (it->second.on_message && response.status != 200) {
    broken_stream_ = "a map stream was answered with " + std::to_string(response.status);
  }
}

void ControlConnection::on_body(h2::StreamId id, Bytes piece) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  Call& call = it->second;
  if (!call.on_message) {
    call.answer.body += as_text(piece);
    return;
  }
  call.partial += as_text(piece);
  size_t done = 0;
  for (;;) {
    ByteReader reader(as_bytes(std::string_view(call.partial).substr(done)));
    const auto len = reader.u32le();
    if (!len || reader.remaining() < *len) break;
    call.on_message(read_at_, call.partial.substr(done + 4, *len));
    done += 4 + *len;
  }
  call.partial.erase(0, done);
}

void ControlConnection::on_closed(h2::StreamId id, h2::ErrorCode) {
  const auto it = calls_.find(id);
  if (it == calls_.end()) return;
  it->second.over = true;
  it->second.done.cancel();
  if (it->second.on_message) broken_stream_ = "a map stream ended";
}

}  // namespace es::storm

// Internal to net: the socket of one connection, plain or TLS, TCP or unix.
#pragma once

#include "native/net/worker.h"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <memory>
#include <utility>

namespace es::net {

using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;

// An AsyncStream as Beast wants it. One read and one write may be pending at once.
class Transport {
 public:
  using executor_type = Executor;
  using Tls = boost::asio::ssl::stream<Socket>;

  explicit Transport(Socket socket) : socket_(std::move(socket)) {}
  Transport(Socket socket, boost::asio::ssl::context& tls)
      : socket_(socket.get_executor()), tls_(std::make_unique<Tls>(std::move(socket), tls)) {}

  executor_type get_executor() { return lowest().get_executor(); }
  Socket& lowest() { return tls_ ? tls_->next_layer() : socket_; }
  Tls* tls() { return tls_.get(); }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    if (tls_) return tls_->async_read_some(into, std::forward<Token>(token));
    return socket_.async_read_some(into, std::forward<Token>(token));
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    if (tls_) return tls_->async_write_some(from, std::forward<Token>(token));
    return socket_.async_write_some(from, std::forward<Token>(token));
  }

  // Pending operations end with operation_aborted; the socket stays open.
  void cancel() {
    boost::system::error_code ignored;
    lowest().cancel(ignored);
  }
  void shutdown_send() {
    boost::system::error_code ignored;
    lowest().shutdown(Socket::shutdown_send, ignored);
  }
  void close() {
    boost::system::error_code ignored;
    lowest().close(ignored);
  }

 private:
  Socket socket_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace es::net

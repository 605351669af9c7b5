// Internal to net: one accepted connection speaking HTTP/1.1 until it closes or is taken over.
//
// Requests are answered one after the other. Pipelined ones wait in the input buffer, whose size
// bounds them; answers to requests that are already there are sent together. Each phase has its
// deadline (options.h). Lives on its worker's thread.
#pragma once

#include "common/gate/gate.h"
#include "native/net/exchange.h"
#include "native/net/options.h"
#include "native/net/request_parser.h"
#include "native/net/response_writer.h"
#include "native/net/router.h"
#include "native/net/server_core.h"
#include "native/net/transport.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <memory>
#include <optional>
#include <string>

namespace es::net {

template <class T>
using Awaitable = boost::asio::awaitable<T, Executor>;
inline constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable_t<Executor>{});

class Connection final : public std::enable_shared_from_this<Connection>, private Timed {
 public:
  struct Parts {
    std::shared_ptr<ServerCore> core;
    std::shared_ptr<Worker> worker;
    Service service;
    Transport transport;
    std::shared_ptr<boost::asio::ssl::context> tls;  // of the transport, or null
    Peer peer;
    ConnectionSlot slot;
  };
  // Call on the worker's thread. Whoever lets the last reference go, on whatever thread (a handler
  // may drop its Upgrade anywhere): it is destroyed on the worker's.
  static std::shared_ptr<Connection> create(Parts parts);
  ~Connection() override;

  // Runs until the connection ends; holds a reference meanwhile.
  void start();
  // The server stops: idle connections end now, others after their next answer.
  void begin_stop();
  // Ends everything now.
  void abort();

  // For who takes the connection over.
  Transport& transport() { return transport_; }
  const std::shared_ptr<Worker>& worker() const { return worker_; }
  ServerCore& core() { return *core_; }
  // What the client sent behind its head.
  std::string take_unread();
  void set_on_stop(std::function<void()> task) { on_stop_ = std::move(task); }

 private:
  explicit Connection(Parts parts);
  enum class Phase { kIdle, kHead, kBody, kHandler, kWrite, kLinger, kTaken };
  enum class Next { kAgain, kClose, kTaken };
  enum class HeadOutcome { kComplete, kClosed, kTimedOut, kMalformed, kTooLarge, kTargetTooLong };

  Awaitable<void> run();
  Awaitable<bool> handshake();
  Awaitable<Next> serve_one();
  Awaitable<HeadOutcome> read_head();
  Awaitable<unsigned> read_body(RequestParser& parser);
  Awaitable<Next> call_handler(const Route& route);
  Awaitable<Next> answer(Response response);
  Awaitable<bool> flush();
  Awaitable<bool> read_more(size_t most);
  Awaitable<void> finish();

  void on_due() override;
  void prepare_request();
  void note_signature();
  Next parse_head(RequestParser& parser, Response& refusal);
  Next consult_gate(const RequestParser& parser, Response& refusal);
  Response refuse(http::Refusal refusal);
  void invoke(const Route& route, const std::shared_ptr<Exchange>& exchange);
  void note_answer(unsigned status, size_t bytes_out);
  bool wants_close(int version) const;
  std::string_view buffered() const {
    return {static_cast<const char*>(buffer_.data().data()), buffer_.size()};
  }

  std::shared_ptr<ServerCore> core_;
  std::shared_ptr<Worker> worker_;
  std::shared_ptr<const Limits> limits_;
  Service service_;
  std::shared_ptr<boost::asio::ssl::context> tls_context_;
  Transport transport_;
  Peer peer_;
  ConnectionSlot slot_;
  boost::beast::flat_buffer buffer_;
  std::string out_;  // answers not yet sent

  Phase phase_ = Phase::kIdle;
  bool timed_out_ = false;
  bool aborted_ = false;
  bool keep_ = true;
  bool linger_ = true;
  uint32_t num_requests_ = 0;
  size_t head_len_ = 0;

  // The request in hand.
  Request request_;
  std::vector<http::Field> field_views_;
  gate::Decision decision_;
  const Route* route_ = nullptr;
  int64_t started_us_ = 0;
  std::shared_ptr<Exchange> exchange_;
  std::function<void()> on_stop_;
};

}  // namespace es::net

// One control connection as a Tailscale client makes it: the ts2021 upgrade over TCP, Noise
// records, HTTP/2 inside. For the load tool; a test program may hold Asio in a header.
//
// Errors are exceptions here (std::runtime_error): a load run that fails is of no more use.
// Threads: all on the one thread that runs the io_context.
#pragma once

#include "native/h2/client_session.h"
#include "native/noise/early_payload.h"
#include "native/noise/handshake.h"
#include "native/noise/record.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace es::storm {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
template <class T>
using Awaitable = asio::awaitable<T, Executor>;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;
using TimePoint = std::chrono::steady_clock::time_point;

constexpr uint16_t kCapabilityVersion = 130;

struct Target {
  asio::ip::tcp::endpoint server;
  std::string host;  // for the Host field
  noise::Key server_key{};
};

// GET of a small document, for /key.
Awaitable<std::string> http_get(asio::ip::tcp::endpoint server, std::string host, std::string path);

noise::Key random_key();

struct Answer {
  int status = 0;
  std::string body;
};

class ControlConnection final : public h2::ClientEvents,
                                public std::enable_shared_from_this<ControlConnection> {
 public:
  // A piece of a map stream, without its length; `at` is when its last byte had come.
  using OnMessage = std::function<void(TimePoint at, std::string payload)>;
  // The stream has ended, or its connection, and not by close().
  using OnEnd = std::function<void(const std::string& why)>;

  // Connects from `source`, so that each client counts as an address of its own.
  static Awaitable<std::shared_ptr<ControlConnection>> open(asio::io_context& io,
                                                            const Target& target,
                                                            asio::ip::address source,
                                                            noise::Key machine_private);

  // A request and its whole answer.
  Awaitable<Answer> post(std::string path, std::string body);
  // A request whose answer goes on for as long as the connection lives.
  void stream(std::string path, std::string body, OnMessage on_message, OnEnd on_end);
  void close();

  // h2::ClientEvents.
  void on_response(h2::StreamId id, h2::Response response) override;
  void on_body(h2::StreamId id, Bytes piece) override;
  void on_closed(h2::StreamId id, h2::ErrorCode code) override;

  explicit ControlConnection(asio::io_context& io);  // use open()

 private:
  struct Call {
    explicit Call(asio::io_context& io) : done(io, TimePoint::max()) {}
    Answer answer;
    bool over = false;
    Timer done;
    OnMessage on_message;  // of a stream
    std::string partial;   // of its next message
  };

  Awaitable<void> handshake(const Target& target, asio::ip::address source,
                            noise::Key machine_private);
  static Awaitable<void> read_loop(std::shared_ptr<ControlConnection> self);
  void take(Bytes bytes);
  h2::StreamId request(std::string path, std::string body);
  void flush();
  void fail(const std::string& why);

  asio::io_context& io_;
  Socket socket_;
  std::optional<noise::RecordReceiver> receiver_;
  std::optional<noise::RecordSender> sender_;
  noise::EarlyPayloadReader early_;
  h2::ClientSession http_;
  std::map<h2::StreamId, Call> calls_;
  std::vector<uint8_t> input_;
  std::vector<uint8_t> unread_;  // what came behind the answer's head
  std::vector<uint8_t> plain_;
  std::vector<uint8_t> http_in_;
  std::vector<uint8_t> output_;
  TimePoint read_at_{};
  bool writing_ = false;
  bool closed_ = false;
  OnEnd on_end_;  // of the one stream
  std::string failure_;
  std::string broken_stream_;  // an event inside nghttp2, where nothing may be thrown
};

}  // namespace es::storm

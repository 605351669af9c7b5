#include "native/net/server.h"

#include "native/net/connection.h"
#include "native/net/gatekeeper.h"
#include "native/net/listen_socket.h"
#include "native/net/server_core.h"
#include "native/net/tls.h"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ssl/context.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace es::net {
namespace {

namespace asio = boost::asio;

using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;

// After running out of descriptors or memory: accepting again at once would only burn the CPU.
constexpr Millis kAcceptPause{100};
constexpr Millis kPoll{5};
constexpr Millis kAbortTime{1000};

constexpr std::string_view kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    "Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    R"({"code":14,"message":"too many connections","details":[],"title":"Service Unavailable",)"
    R"("status":503})";
static_assert(kTooMany.size() - kTooMany.find("\r\n\r\n") - 4 == 100);

struct Listener {
  ListenerOptions options;
  std::unique_ptr<Acceptor> acceptor;
  std::string address;
};

Peer peer_behind(const asio::generic::stream_protocol::endpoint& endpoint) {
  sockaddr_storage storage{};
  std::memcpy(&storage, endpoint.data(), std::min(endpoint.size(), sizeof storage));
  return peer_of(storage);
}

}  // namespace

struct Server::State {
  State(ServerOptions o, Clock clock, telemetry::Log& log, telemetry::Metrics& metrics)
      : options(std::move(o)),
        net_metrics(metrics),
        core(std::make_shared<ServerCore>(std::move(clock), log, net_metrics)) {}

  Result<void, std::string> open();
  // Null when no listener needs one.
  Result<std::shared_ptr<asio::ssl::context>, std::string> load_tls(const TlsFiles& files) const;
  Result<void, std::string> listen(const ListenerOptions& listener);
  Awaitable<void> accept_loop(Listener& listener);
  void welcome(Listener& listener, Socket socket, Peer peer, const std::shared_ptr<Worker>& worker);
  void turn_away(Socket& socket, const Listener& listener, ConnectionLedger::Full full);
  void close_listeners();
  void for_each_connection(void (Connection::*call)());
  bool wait_until_empty(Millis most);

  ServerOptions options;
  NetMetrics net_metrics;
  std::shared_ptr<ServerCore> core;
  std::vector<std::shared_ptr<Worker>> workers;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<Address> addresses;
  size_t next_worker = 0;
  bool started = false;
  bool stopped = false;
};

Result<std::shared_ptr<asio::ssl::context>, std::string> Server::State::load_tls(
    const TlsFiles& files) const {
  const bool needed = std::any_of(options.listeners.begin(), options.listeners.end(),
                                  [](const ListenerOptions& l) { return l.tls; });
  if (!needed) return std::shared_ptr<asio::ssl::context>();
  return make_tls_context(files);
}

Result<void, std::string> Server::State::open() {
  core->set_limits(options.limits);
  core->is_proxy = options.is_proxy;
  ES_TRY(auto context, load_tls(options.tls));
  if (context) core->tls.set(std::move(context));
  for (unsigned i = 0; i < std::max(1U, options.num_threads); ++i) {
    workers.push_back(std::make_shared<Worker>(options.tick));
  }
  std::vector<const Router*> watched;
  for (const ListenerOptions& listener : options.listeners) {
    ES_CHECK(listen(listener));
    const Router* router = listener.service.router;
    if (std::find(watched.begin(), watched.end(), router) == watched.end()) {
      net_metrics.watch(*router);
      watched.push_back(router);
    }
  }
  return {};
}

Result<void, std::string> Server::State::listen(const ListenerOptions& listener) {
  ListenSockets opened =
      listener.unix_path.empty()
          ? listen_tcp(listener.host, listener.port, listener.config_key)
          : listen_unix(listener.unix_path, listener.unix_mode, listener.config_key);
  ES_TRY(const std::vector<ListenSocket> sockets, std::move(opened));
  for (const ListenSocket& socket : sockets) {
    auto made = std::make_unique<Listener>();
    made->options = listener;
    made->address = socket.address;
    sockaddr_storage bound{};
    socklen_t len = sizeof bound;
    ::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&bound), &len);
    made->acceptor = std::make_unique<Acceptor>(workers.front()->context());
    const int protocol = bound.ss_family == AF_UNIX ? 0 : IPPROTO_TCP;
    made->acceptor->assign(asio::generic::stream_protocol(bound.ss_family, protocol), socket.fd);
    listeners.push_back(std::move(made));
    addresses.push_back({listener.service.name, socket.address, socket.port});
  }
  return {};
}

Awaitable<void> Server::State::accept_loop(Listener& listener) {
  while (!core->stopping) {
    const std::shared_ptr<Worker> worker = workers[next_worker++ % workers.size()];
    asio::generic::stream_protocol::endpoint endpoint;
    auto [ec, socket] =
        co_await listener.acceptor->async_accept(worker->executor(), endpoint, kAwait);
    if (!ec) {
      welcome(listener, std::move(socket), peer_behind(endpoint), worker);
      continue;
    }
    if (ec == asio::error::operation_aborted || core->stopping) co_return;
    if (ec == asio::error::connection_aborted) continue;
    core->log.write_bounded(telemetry::Level::kError, "cannot accept a connection",
                            {{"address", listener.address}, {"error", ec.message()}});
    Timer pause(workers.front()->executor());
    pause.expires_after(kAcceptPause);
    (void)co_await pause.async_wait(kAwait);
  }
}

void Server::State::welcome(Listener& listener, Socket socket, Peer peer,
                            const std::shared_ptr<Worker>& worker) {
  using Counting = ConnectionLedger::Counting;
  const bool in_all_only =
      peer.kind == Peer::Kind::kLocal || (core->is_proxy && core->is_proxy(peer.address));
  const std::shared_ptr<const Limits> limits = core->limits();
  auto admitted =
      core->ledger->admit(peer, in_all_only ? Counting::kInAllOnly : Counting::kByAddress,
                          limits->connections, limits->connections_per_address);
  if (!admitted.slot) {
    turn_away(socket, listener, admitted.full);
    return;
  }
  if (peer.kind != Peer::Kind::kLocal) {
    const int on = 1;
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  std::shared_ptr<asio::ssl::context> tls = listener.options.tls ? core->tls.get() : nullptr;
  Transport transport = tls ? Transport(std::move(socket), *tls) : Transport(std::move(socket));
  asio::post(worker->executor(),
             [parts = Connection::Parts{core, worker, listener.options.service,
                                        std::move(transport), std::move(tls), std::move(peer),
                                        *std::move(admitted.slot)}]() mutable {
               Connection::create(std::move(parts))->start();
             });
}

void Server::State::turn_away(Socket& socket, const Listener& listener,
                              ConnectionLedger::Full full) {
  const bool in_all = full == ConnectionLedger::Full::kInAll;
  net_metrics.connection_refused(in_all ? "total" : "address");
  core->log.write_bounded(
      telemetry::Level::kWarn, "connection refused: too many",
      {{"limit", in_all ? "limits.connections.total" : "limits.connections.per_address"}});
  // One try that cannot block; who is behind TLS would not understand it.
  if (!listener.options.tls) {
    (void)::send(socket.native_handle(), kTooMany.data(), kTooMany.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  boost::system::error_code ignored;
  socket.close(ignored);
}

void Server::State::close_listeners() {
  asio::post(workers.front()->executor(), [this] {
    for (const auto& listener : listeners) {
      boost::system::error_code ignored;
      listener->acceptor->close(ignored);
      if (!listener->options.unix_path.empty()) ::unlink(listener->options.unix_path.c_str());
    }
  });
}

void Server::State::for_each_connection(void (Connection::*call)()) {
  for (const auto& worker : workers) {
    asio::post(worker->executor(), [worker, call] {
      // Held, because the call may end some of them.
      std::vector<std::shared_ptr<Connection>> all;
      for (Connection* connection : worker->connections()) {
        all.push_back(connection->shared_from_this());
      }
      for (const auto& connection : all) (connection.get()->*call)();
    });
  }
}

bool Server::State::wait_until_empty(Millis most) {
  for (Millis waited{0}; waited < most; waited += kPoll) {
    if (core->ledger->size() == 0) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return core->ledger->size() == 0;
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  if (state_->started && !state_->stopped) stop(Millis{0});
}

Result<std::unique_ptr<Server>, std::string> Server::create(ServerOptions options, Clock clock,
                                                            telemetry::Log& log,
                                                            telemetry::Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(options), std::move(clock), log, metrics);
  try {
    ES_CHECK(state->open());
  } catch (const std::exception& e) {
    return std::string(e.what());
  }
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

void Server::start() {
  state_->started = true;
  for (const auto& listener : state_->listeners) {
    asio::co_spawn(state_->workers.front()->executor(), state_->accept_loop(*listener),
                   [state = state_.get()](const std::exception_ptr& failure) {
                     if (failure) state->core->log.error("a listener failed");
                   });
  }
  for (const auto& worker : state_->workers) worker->start();
}

Server::Stopped Server::stop(Millis grace) {
  State& state = *state_;
  state.core->stopping = true;
  state.close_listeners();
  state.for_each_connection(&Connection::begin_stop);
  bool empty = state.wait_until_empty(grace);
  const Stopped stopped = empty ? Stopped::kGracefully : Stopped::kByForce;
  if (!empty) {
    state.for_each_connection(&Connection::abort);
    empty = state.wait_until_empty(kAbortTime);
  }
  for (const auto& worker : state.workers) {
    worker->release();
    if (!empty) worker->stop();
  }
  for (const auto& worker : state.workers) worker->join();
  state.stopped = true;
  return stopped;
}

Result<std::function<void()>, std::string> Server::prepare_reload(const Limits& limits,
                                                                  const TlsFiles& tls) {
  ES_TRY(auto context, state_->load_tls(tls));
  return std::function<void()>([this, limits, context = std::move(context)] {
    if (context) state_->core->tls.set(context);
    state_->core->set_limits(limits);
  });
}

const std::vector<Server::Address>& Server::addresses() const { return state_->addresses; }

uint16_t Server::port(std::string_view service) const {
  for (const Address& address : state_->addresses) {
    if (address.service == service && address.port != 0) return address.port;
  }
  return 0;
}

size_t Server::num_connections() const { return state_->core->ledger->size(); }

}  // namespace es::net

// The origin's listeners and the threads behind them.
//
// create() binds everything, so that a wrong address is told before anything starts; run() serves.
// Threads: start(), stop() and prepare_reload() from one controlling thread; the rest from any.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/net/options.h"
#include "native/telemetry/log.h"
#include "native/telemetry/metrics.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

class Server {
 public:
  // The routers, gatekeepers, log and metrics must outlive the server. The error is for a person.
  static Result<std::unique_ptr<Server>, std::string> create(ServerOptions options, Clock clock,
                                                             telemetry::Log& log,
                                                             telemetry::Metrics& metrics);
  ~Server();

  void start();

  // Stops accepting, ends idle connections, lets running requests finish for `grace`, then ends
  // the rest by force. Returns when all threads have ended.
  enum class Stopped { kGracefully, kByForce };
  Stopped stop(Millis grace);

  // Loads the certificate. What comes back gives it and the limits to new connections when it is
  // called, which cannot fail; until then nothing changes.
  Result<std::function<void()>, std::string> prepare_reload(const Limits& limits,
                                                            const TlsFiles& tls);

  struct Address {
    std::string service;
    std::string text;  // "127.0.0.1:8080" or a path
    uint16_t port = 0;
  };
  const std::vector<Address>& addresses() const;
  // Of the first TCP address of that service; 0 if there is none.
  uint16_t port(std::string_view service) const;
  size_t num_connections() const;

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace es::net

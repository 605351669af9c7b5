// The origin, put together: store, directory, gate, routes, listeners.
//
// open() takes every resource or says in one line what is in the way; nothing runs before start().
// Threads: one controlling thread.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/cli/config.h"
#include "native/telemetry/log.h"

#include <memory>
#include <string>

namespace es::cli {

class Origin {
 public:
  // The log must outlive the origin.
  static Result<std::unique_ptr<Origin>, std::string> open(const Config& config,
                                                           telemetry::Log& log);
  ~Origin();

  void start();
  // Takes over what may change while running: certificates, limits, trusted proxies, DNS, maps of
  // relays, the log level; the log names what else has changed. On an error nothing changes.
  Result<void, std::string> reload(const Config& fresh);
  // Finishes running requests within `grace`, then closes the database.
  void stop(Millis grace);

 private:
  struct State;
  explicit Origin(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// The log that a configuration asks for, on stderr.
std::unique_ptr<telemetry::Log> make_log(const Config& config);

}  // namespace es::cli

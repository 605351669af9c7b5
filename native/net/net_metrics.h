// The series of the listeners: connections, requests by route, refusals, edge signatures.
//
// Threads: any, after construction; watch() every router before the server starts.
#pragma once

#include "common/gate/gate.h"
#include "native/net/router.h"
#include "native/telemetry/metrics.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace es::net {

class NetMetrics {
 public:
  explicit NetMetrics(telemetry::Metrics& metrics);
  ~NetMetrics();
  NetMetrics(const NetMetrics&) = delete;
  NetMetrics& operator=(const NetMetrics&) = delete;

  // Makes the series of a router's routes.
  void watch(const Router& router);

  enum class Closed : uint8_t { kHeaderTimeout, kBodyTimeout, kIdle, kWriteTimeout };

  void connection_opened();
  void connection_closed();
  void connection_refused(std::string_view reason);  // a literal: "total" or "address"
  void connection_timed_out(Closed why);
  void tls_failed();
  // A request that was answered; `route` is null when none matched or none was looked for.
  void answered(const Route* route, unsigned status, int64_t duration_us, size_t bytes_in,
                size_t bytes_out);
  // What the gate said: refusals by reason, signatures by verdict, keys by verdict.
  void decided(const gate::Decision& decision);
  void handler_failed();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace es::net

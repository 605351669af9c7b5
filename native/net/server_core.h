// Internal to net: what all connections of a server share.
//
// Lives until the last connection is gone. Threads: any.
#pragma once

#include "native/net/net_metrics.h"
#include "native/net/options.h"
#include "native/net/peer.h"
#include "native/net/tls.h"
#include "native/telemetry/log.h"

#include <atomic>
#include <memory>
#include <mutex>

namespace es::net {

struct ServerCore {
  ServerCore(Clock c, telemetry::Log& l, NetMetrics& m)
      : clock(std::move(c)), log(l), metrics(m), ledger(std::make_shared<ConnectionLedger>()) {}

  std::shared_ptr<const Limits> limits() const {
    const std::lock_guard lock(mutex);
    return current_limits;
  }
  void set_limits(const Limits& limits) {
    auto fresh = std::make_shared<const Limits>(limits);
    const std::lock_guard lock(mutex);
    current_limits = std::move(fresh);
  }

  const Clock clock;
  telemetry::Log& log;
  NetMetrics& metrics;
  TlsSlot tls;
  std::shared_ptr<ConnectionLedger> ledger;
  std::function<bool(std::string_view)> is_proxy;
  std::atomic<bool> stopping{false};

 private:
  mutable std::mutex mutex;
  std::shared_ptr<const Limits> current_limits = std::make_shared<const Limits>();
};

}  // namespace es::net

// What clients ask inside their control connection: /machine/register, /machine/map and the rest.
//
// Source: Tailscale clients 1.80 to 1.102. Refusals that a person must see are answers of the
// register endpoint with a text; a map request for a node that is not this machine's is a 404,
// which clients answer with backoff. Endpoints that are not served get 501, unknown paths 404:
// clients take both calmly.
//
// A map stream writes when its session has something and its last message is on the way, so a slow
// client holds one message at most besides the session's marks. Keep-alives come from tick().
// Threads: tick() and shutdown from any thread; everything else on each connection's strand.
#pragma once

#include "common/base/time.h"
#include "native/control/pings.h"
#include "native/control/ssh_checks.h"
#include "native/control/tailnet.h"
#include "native/ts2021/connection.h"

#include <functional>
#include <memory>

namespace es::api {

// What Machine tells of its work and what it needs beside the tailnet; each may be left out.
struct MachineOptions {
  // Takes answers at control::kPingAnswerPath; outlives every connection.
  control::Pings* pings = nullptr;
  // Decides about SSH log-ins under a check rule; outlives every connection. Null: all are refused.
  control::SshChecks* ssh_checks = nullptr;
  // A client's audit record, already bounded; on the connection's strand.
  std::function<void(uint64_t node, std::string_view action, std::string_view details)> on_audit;
  std::function<int64_t()> monotonic_us;  // for on_fan_out
  // From the wake-up of a session to its message being handed to the connection.
  std::function<void(int64_t us)> on_fan_out;
  std::function<void()> on_keep_alive;  // one was sent
};

class Machine {
 public:
  using Clock = std::function<WallTime()>;

  // The tailnet must outlive every connection.
  Machine(control::Tailnet& tailnet, Clock clock, MachineOptions options = {});
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // For ts2021::Options::make_handler.
  std::unique_ptr<h2::ServerHandler> serve(const std::shared_ptr<ts2021::Connection>& connection);

  // Sends keep-alives to streams that were silent for long. Call about once a second.
  void tick();

 private:
  class Handler;

  control::Tailnet& tailnet_;
  const Clock clock_;
  const std::shared_ptr<const MachineOptions> options_;
  // Of the connections with a map stream, which may outlive this.
  const std::shared_ptr<ts2021::Deadlines> keep_alives_;
};

}  // namespace es::api

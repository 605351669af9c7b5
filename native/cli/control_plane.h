// What clients join: the tailnet behind ts2021, and the embedded DERP relay beside it.
//
// Threads: one controlling thread; the routes are called on the server's.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/cli/config.h"
#include "native/control/directory.h"
#include "native/control/policy_desk.h"
#include "native/control/ssh_checks.h"
#include "native/control/tailnet.h"
#include "native/net/router.h"
#include "native/tailcfg/keys.h"
#include "native/telemetry/log.h"
#include "native/telemetry/metrics.h"

#include <functional>
#include <memory>
#include <string>

namespace es::cli {

class ControlPlane {
 public:
  // Directory, log and metrics must outlive it. The directory is closed with it, and when this
  // fails behind the tailnet: nothing of it may be called from there any more.
  static Result<std::unique_ptr<ControlPlane>, std::string> open(
      const Config& config, const tailcfg::PrivateKey& noise_key, control::Directory& directory,
      telemetry::Log& log, telemetry::Metrics& metrics);
  // After the server has stopped: no stream may be left.
  ~ControlPlane();

  void add_routes(net::Router& router);
  void start();
  // Ends the housekeeping and the relay's own socket. May be repeated.
  void stop();

  control::Tailnet& tailnet();
  control::SshChecks& ssh_checks();
  // Asks a connected client for a sign of life, for /debug/ping: by a request to this server, and
  // by c2n (its own handler's /echo). The answer is JSON and comes within five seconds, on any
  // thread.
  void ping(uint64_t node, const std::function<void(std::string json)>& answer);
  // What clients are told of relays, for /debug/derp: {"embedded":<region or
  // null>,"map":<DERPMap>}.
  std::string derp_debug_json() const;
  control::PolicyDesk& policy();
  // What the tailnet, the relay and STUN count.
  void add_metrics();
  // Takes over DNS, the maps of relays, the policy's file, and the files behind them. What is wrong
  // changes nothing.
  Result<void, std::string> reload(const Config& config);

 private:
  struct State;
  explicit ControlPlane(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace es::cli

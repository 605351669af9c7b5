// What the tailnet, the relay and STUN count, as series of /metrics (docs/operating.md lists them).
//
// Threads: any; the values are read when the page is made, from sources that must outlive it.
#pragma once

#include "native/control/tailnet.h"
#include "native/derp/hub.h"
#include "native/stun/responder.h"
#include "native/telemetry/metrics.h"
#include "native/ts2021/half_open.h"

namespace es::cli {

void add_tailnet_metrics(telemetry::Metrics& metrics, const control::Tailnet& tailnet);
void add_relay_metrics(telemetry::Metrics& metrics, const derp::Hub& hub);
void add_handshake_metrics(telemetry::Metrics& metrics, const ts2021::HalfOpen& half_open);
void add_stun_metrics(telemetry::Metrics& metrics, const stun::Counters& counters);

}  // namespace es::cli

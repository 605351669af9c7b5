// What needs no key: /health, /version, /key, /robots.txt, /; and what an operator's key opens
// besides /api/v1's records: /api/v1/edge and /ws.
//
// Source: Headscale 0.29, hscontrol/handlers.go. Threads: handlers run on any thread at once.
#pragma once

#include "common/base/time.h"
#include "native/net/router.h"
#include "native/telemetry/health.h"

#include <functional>
#include <string>

namespace es::api {

struct PublicOptions {
  std::string version;  // "0.1.0"
  std::string commit;
  std::string build_time;  // RFC 3339
  bool dirty = false;
  std::string noise_public_key;  // "mkey:..."
  telemetry::Health::Check database;
  std::function<Millis()> monotonic;
};

// The version of Headscale whose API this one offers. /version says it first, because programs that
// talk to Headscale (Headplane among them) choose what to send by it; ours follows as semver build
// metadata: "0.29.2+edgescale.0.1.0".
inline constexpr std::string_view kHeadscaleVersion = "0.29.2";

// A client of an older capability version gets no key (Headscale #3380).
inline constexpr int kMinNoiseCapability = 39;

void add_public_routes(net::Router& router, PublicOptions options);

}  // namespace es::api

// The classes of paths that both twins know, and how the gate treats each.
//
// A class is about policy (who needs a key, what may upgrade, which header set), not about which
// handler runs; the origin's router decides that. Source of the paths: Headscale 0.29's router and
// what Tailscale clients 1.80 to 1.102 request.
#pragma once

#include "common/http/hardening.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace es::http {

enum class Route : uint8_t {
  kOther,  // anything else: pages, and what the origin will answer 404 to
  kHealth,
  kVersion,
  kKey,
  kControl,     // /ts2021
  kDerp,        // /derp
  kDerpProbe,   // /derp/probe, /derp/latency-check, /generate_204, /bootstrap-dns, /verify
  kRegister,    // /register/, /auth/, /oidc/
  kApi,         // /api/
  kEcho,        // /ws
  kEdgeStatus,  // /edge/status: the Worker answers it itself
};
inline constexpr size_t kNumRoutes = static_cast<size_t>(Route::kEdgeStatus) + 1;

struct RoutePolicy {
  std::string_view name;  // for logs and metrics
  HeaderSet headers;
  enum class Key : uint8_t { kNone, kBearer } key;
  enum class WebSocket : uint8_t { kRefused, kAllowed } websocket;
};

// `path` is the path of a checked target, still encoded: an encoded spelling of a known path is
// kOther, and the origin does not know it either.
Route route_of(std::string_view path);

const RoutePolicy& policy_of(Route route);

}  // namespace es::http

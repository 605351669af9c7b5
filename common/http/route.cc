#include "common/http/route.h"

namespace es::http {
namespace {

using Key = RoutePolicy::Key;
using WebSocket = RoutePolicy::WebSocket;

constexpr RoutePolicy kPolicies[] = {
    {"other", HeaderSet::kPage, Key::kNone, WebSocket::kRefused},
    {"health", HeaderSet::kApi, Key::kNone, WebSocket::kRefused},
    {"version", HeaderSet::kApi, Key::kNone, WebSocket::kRefused},
    {"key", HeaderSet::kPublic, Key::kNone, WebSocket::kRefused},
    {"control", HeaderSet::kApi, Key::kNone, WebSocket::kAllowed},
    {"derp", HeaderSet::kApi, Key::kNone, WebSocket::kAllowed},
    {"derp_probe", HeaderSet::kPublic, Key::kNone, WebSocket::kRefused},
    {"register", HeaderSet::kPage, Key::kNone, WebSocket::kRefused},
    {"api", HeaderSet::kApi, Key::kBearer, WebSocket::kRefused},
    {"echo", HeaderSet::kApi, Key::kBearer, WebSocket::kAllowed},
    {"edge_status", HeaderSet::kApi, Key::kBearer, WebSocket::kRefused},
};
static_assert(sizeof(kPolicies) / sizeof(kPolicies[0]) == kNumRoutes);

}  // namespace

Route route_of(std::string_view path) {
  if (path == "/api" || path.starts_with("/api/")) return Route::kApi;
  if (path == "/health") return Route::kHealth;
  if (path == "/key") return Route::kKey;
  if (path == "/ts2021") return Route::kControl;
  if (path == "/derp") return Route::kDerp;
  if (path == "/version") return Route::kVersion;
  if (path.starts_with("/register/") || path.starts_with("/auth/") || path.starts_with("/oidc/")) {
    return Route::kRegister;
  }
  if (path == "/derp/probe" || path == "/derp/latency-check" || path == "/generate_204" ||
      path == "/bootstrap-dns" || path == "/verify") {
    return Route::kDerpProbe;
  }
  if (path == "/ws") return Route::kEcho;
  if (path == "/edge/status") return Route::kEdgeStatus;
  return Route::kOther;
}

const RoutePolicy& policy_of(Route route) { return kPolicies[static_cast<size_t>(route)]; }

}  // namespace es::http

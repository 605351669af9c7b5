#include "common/http/route.h"

#include <catch2/catch.hpp>

namespace es::http {

TEST_CASE("everything below /api needs a key, whatever follows") {
  for (const std::string_view path : {"/api", "/api/", "/api/v1/user", "/api/v2/x", "/api//"}) {
    CAPTURE(path);
    CHECK(policy_of(route_of(path)).key == RoutePolicy::Key::kBearer);
  }
  for (const std::string_view path : {"/apix", "/", "/health", "/API/v1/user", "/%61pi/v1"}) {
    CAPTURE(path);
    CHECK(policy_of(route_of(path)).key == RoutePolicy::Key::kNone);
  }
}

TEST_CASE("paths fall into their classes") {
  CHECK(route_of("/health") == Route::kHealth);
  CHECK(route_of("/version") == Route::kVersion);
  CHECK(route_of("/key") == Route::kKey);
  CHECK(route_of("/ts2021") == Route::kControl);
  CHECK(route_of("/derp") == Route::kDerp);
  CHECK(route_of("/derp/probe") == Route::kDerpProbe);
  CHECK(route_of("/generate_204") == Route::kDerpProbe);
  CHECK(route_of("/register/abc") == Route::kRegister);
  CHECK(route_of("/ws") == Route::kEcho);
  CHECK(route_of("/edge/status") == Route::kEdgeStatus);
  CHECK(route_of("/healthz") == Route::kOther);
  CHECK(route_of("/derpx") == Route::kOther);
}

TEST_CASE("only the control, DERP and echo paths take WebSockets") {
  for (size_t i = 0; i < kNumRoutes; ++i) {
    const Route route = static_cast<Route>(i);
    const bool expected =
        route == Route::kControl || route == Route::kDerp || route == Route::kEcho;
    CHECK((policy_of(route).websocket == RoutePolicy::WebSocket::kAllowed) == expected);
  }
}

}  // namespace es::http

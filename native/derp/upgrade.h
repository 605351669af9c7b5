// `GET /derp`, as DERP upgrade or WebSocket: from the HTTP request to the hub.
//
// Source: tailscale derp/derphttp (server side). With `Derp-Fast-Start: 1` the client already knows
// the server's key and expects DERP frames instead of a 101.
// Threads: as net::UpgradeHandler.
#pragma once

#include "native/derp/hub.h"
#include "native/net/byte_stream.h"

#include <string_view>

namespace es::derp {

// For net::Router::add_upgrade("GET", "/derp", ...). The hub outlives the router's server.
net::UpgradeHandler upgrade_handler(Hub& hub);

// The answer to what is no DERP upgrade: 426, as the reference.
net::Response upgrade_required();

// The client's address as the gate found it; its port is not known there.
Endpoint endpoint_of(std::string_view client_address);

}  // namespace es::derp

// `POST /ts2021`, and `GET /ts2021` over WebSocket: from the HTTP request to a Connection.
//
// Source: tailscale control/controlhttp (server side). The initiation comes in a header, so that
// the server speaks first after the 101. Refusals are the reference's status codes and texts.
// Threads: as net::UpgradeHandler.
#pragma once

#include "common/base/result.h"
#include "native/net/byte_stream.h"
#include "native/noise/handshake.h"
#include "native/ts2021/connection.h"

#include <array>
#include <functional>
#include <string_view>
#include <vector>

namespace es::ts2021 {

constexpr std::string_view kUpgradeName = "tailscale-control-protocol";
constexpr std::string_view kHandshakeHeader = "X-Tailscale-Handshake";

// The bytes of the handshake header (or, over WebSocket, of the query parameter): standard base64.
// Any length up to twice an initiation's is passed on, as the handshake itself answers for a wrong
// one. The error's text is the body of a 400.
Result<std::vector<uint8_t>> decode_handshake(std::string_view text);

// The keys for the next connection.
using MakeKeys = std::function<Keys()>;

// For net::Router::add_upgrade("POST", "/ts2021", ...) and ("GET", "/ts2021", ...): the client's
// Upgrade field decides. Over WebSocket the initiation is a query parameter, whose absence or bad
// text is a 400 before the upgrade, and there is no early payload. `on_failed` (may be empty) is
// told of handshakes that failed.
net::UpgradeHandler upgrade_handler(Options options, MakeKeys make_keys,
                                    std::function<void(const Error&)> on_failed);

}  // namespace es::ts2021

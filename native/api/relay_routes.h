// What relays and clients without working DNS ask: POST /verify and GET /bootstrap-dns.
//
// Source: Headscale 0.29 hscontrol/handlers.go, tailscale tailcfg.DERPAdmitClientRequest and
// net/dnsfallback. Both need no key: /verify answers only whether a node key is one of ours.
// Limits: the gate's, which counts /verify apart; it takes at most 4 KiB. Threads: handlers run on
// any thread at once.
#pragma once

#include "native/net/router.h"
#include "native/tailcfg/keys.h"

#include <functional>
#include <string>
#include <string_view>

namespace es::api {

struct RelayOptions {
  std::function<bool(const tailcfg::NodeKey&)> knows;
  // {"name":["address",...]}: of this name, or of all.
  std::function<std::string(std::string_view name)> bootstrap_dns;
};

void add_relay_routes(net::Router& router, RelayOptions options);

}  // namespace es::api

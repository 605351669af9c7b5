// How a Server listens and what it bears; every bound has a default that is safe on the Internet.
#pragma once

#include "common/base/time.h"
#include "native/net/http.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

class Gatekeeper;
class Router;

// The real clocks; native/cli gives them.
struct Clock {
  std::function<WallTime()> wall;
  std::function<int64_t()> monotonic_us;  // for durations
};

struct Limits {
  size_t header_bytes = 16 * 1024;         // request line and fields; over: 414 or 431
  size_t body_bytes = 1024 * 1024;         // over: 413
  Millis header_timeout{10'000};           // from a request's first byte to the end of its head
  Millis body_timeout{30'000};             // from there to the end of its body
  Millis idle_timeout{60'000};             // between requests
  Millis write_timeout{30'000};            // for each 64 KiB of an answer
  Millis handler_timeout{60'000};          // from a whole request to its answer; over: 504
  uint32_t connections = 10'000;           // in all; over: 503 and closed
  uint32_t connections_per_address = 256;  // IPv6 by /64; over: 503 and closed
  uint32_t requests_per_connection = 10'000;
};

// What stands behind a listener.
struct Service {
  std::string name;  // for logs: "http", "metrics", "unix"
  const Router* router = nullptr;
  Gatekeeper* gatekeeper = nullptr;
  // kLocalSocket: being able to connect was the check; no rate limit and no key.
  Trust trust = Trust::kNetwork;
};

struct ListenerOptions {
  std::string host;       // an IP address or a name; empty: every address, v6 and v4
  uint16_t port = 0;      // 0: any; Server::port() tells which
  std::string unix_path;  // not empty: a unix socket; host and port are ignored
  uint32_t unix_mode = 0770;
  bool tls = false;
  Service service;
  std::string config_key;  // named in the message when the address is taken
};

struct TlsFiles {
  std::string certificate_path;  // PEM: the chain, leaf first
  std::string key_path;          // PEM
};

struct ServerOptions {
  std::vector<ListenerOptions> listeners;
  Limits limits;
  TlsFiles tls;              // needed if a listener has tls
  unsigned num_threads = 2;  // at least 1
  Millis tick{100};          // how late a timeout may be
  // Whose connections do not count against connections_per_address: proxies that carry others.
  // The address is canonical text; called on I/O threads.
  std::function<bool(std::string_view address)> is_proxy;
};

}  // namespace es::net

// Listening sockets, with messages that tell a person which setting to change.
//
// Errors are text for the log, not for a peer. Descriptors are close-on-exec; the caller owns them.
#pragma once

#include "common/base/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace es::net {

struct ListenSocket {
  int fd = -1;
  std::string address;  // "127.0.0.1:8080", "[::1]:8080" or the path
  uint16_t port = 0;    // 0 for a unix socket
};

using ListenSockets = Result<std::vector<ListenSocket>, std::string>;

// Every address of `host`, each with SO_REUSEADDR; with port 0 all get the same one. "", "0.0.0.0"
// and "::" alike are all addresses of the machine, IPv6 and IPv4, as Headscale's listeners (Go's)
// read them; without IPv6 support, all of IPv4.
ListenSockets listen_tcp(const std::string& host, uint16_t port, const std::string& config_key);

// A unix socket of that mode. A socket file that nobody answers on is replaced; one that answers,
// or a file that is no socket, is an error. The folder is made if it is missing (mode 0750).
ListenSockets listen_unix(const std::string& path, uint32_t mode, const std::string& config_key);

}  // namespace es::net

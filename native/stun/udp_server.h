// Answers STUN on one UDP socket.
//
// A wildcard address serves every local address and answers from the one that was asked (packet
// info), as a multi-homed host must. "::" and "0.0.0.0" alike are dual-stack, where there is IPv6.
// Bounded: one datagram in memory at a time; at most 64 are handled before other work of the loop
// gets its turn; a send that would block is dropped and counted.
// Threads: open(), stop() and the destructor on the loop's thread (or before it runs); counters()
// from any thread.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/stun/responder.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace es::stun {

struct UdpConfig {
  std::string address = "::";  // an IP literal
  uint16_t port = 3478;        // 0: any free one
  Limits limits{};
};

// Milliseconds of a clock that does not go back, from any start.
using MonotonicClock = std::function<Millis()>;

class UdpServer {
 public:
  // Refuses an address that is no IP literal, kRetryLater when it cannot be bound.
  static Result<UdpServer> open(boost::asio::io_context& io, const UdpConfig& config,
                                MonotonicClock clock, uint64_t hash_key);

  UdpServer(UdpServer&&) noexcept;
  UdpServer& operator=(UdpServer&&) noexcept;
  ~UdpServer();

  uint16_t port() const;
  const Counters& counters() const;
  // Closes the socket. Idempotent.
  void stop();

 private:
  class Impl;
  explicit UdpServer(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace es::stun

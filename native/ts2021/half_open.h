// Control connections whose machine is not known yet: how many there may be, in all and for one
// network, and who makes room when all places are taken.
//
// Each costs a Diffie-Hellman computation and buffers, and anybody may have one: the server's key
// is public. The places are bounded so that whoever opens connections keeps neither the machine
// busy nor others out: where there is none left, a newcomer gets that of the oldest of the network
// that holds most, or of its own when that is at its limit or none holds more. Nobody loses a place
// that is younger than `safe_for`: a machine that is known proves itself within one round trip.
// While all are that young, newcomers are refused.
//
// A machine that waits for a person to approve it may wait long: those are counted apart. They too
// make room for a network that has fewer, but not for their own: it would only come back.
//
// Networks are counted as the request limiter counts them: IPv6 by /64. Taking and losing a place
// costs O(log n). Threads: any. Lifetime: places may outlive it.
#pragma once

#include "common/base/time.h"
#include "common/limit/client_key.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace es::ts2021 {

// Whom a connection counts against; nothing: an address that many share, one network with no limit
// but that for all.
using Network = std::optional<limit::ClientKey>;

class HalfOpen {
 public:
  struct Limits {
    uint32_t total = 4096;
    uint32_t per_address = 256;
    uint32_t waiting_total = 1024;
    uint32_t waiting_per_address = 64;
    Millis safe_for{1000};
  };
  struct Held;
  // Given back when the last copy goes.
  using Place = std::shared_ptr<Held>;

  // Addresses for which `is_shared` is true (a local proxy) carry others; it may be empty.
  HalfOpen(Limits limits, std::function<bool(std::string_view address)> is_shared);

  // Null: there is none. `now` is monotonic, here and below.
  Place take(std::string_view address, Millis now);
  static const Network& network_of(const Place& place);
  // `evicted` ends the connection, whose place somebody else has got. It is called once at most,
  // on any thread, and at once if that has happened already.
  void on_evicted(const Place& place, std::function<void()> evicted);

  // The machine seems to be known: it does not lose its place any more.
  void keep(const Place& place);
  // Counts the place among those that wait for a person; false, and nothing has changed: there is
  // none left.
  bool wait(const Place& place, Millis now);
  // Counts it as a newcomer's again, even beyond the limit for those.
  void wait_no_more(const Place& place, Millis now);

  uint32_t taken() const;  // by newcomers
  uint32_t waiting() const;
  uint64_t refused() const;
  uint64_t evicted() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace es::ts2021

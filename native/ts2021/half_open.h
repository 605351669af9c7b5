// Control connections whose machine is not known yet: how many there may be, in all and for one
// network.
//
// Each costs a Diffie-Hellman computation and buffers, and anybody may have one: the server's key
// is public. The places are bounded so that whoever opens connections keeps neither the machine
// busy nor others out. A machine that waits for a person to approve it may wait long: those are
// counted apart. Networks are counted as the request limiter counts them: IPv6 by /64. Threads:
// any. Lifetime: places may outlive it.
#pragma once

#include "common/limit/client_key.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace es::ts2021 {

// Whom a connection counts against; nothing: an address that many share, counted in all only.
using Network = std::optional<limit::ClientKey>;

class HalfOpen {
 public:
  struct Limits {
    uint32_t total = 4096;
    uint32_t per_address = 256;
    uint32_t waiting_total = 1024;
    uint32_t waiting_per_address = 64;
  };
  struct Held;
  // Given back when the last copy goes.
  using Place = std::shared_ptr<Held>;

  // Addresses for which `is_shared` is true (a local proxy) carry others and count in all only; it
  // may be empty.
  HalfOpen(Limits limits, std::function<bool(std::string_view address)> is_shared);

  // Null: there is none left.
  Place take(std::string_view address);
  static const Network& network_of(const Place& place);

  // Counts the place among those that wait for a person; false, and nothing has changed: there is
  // none left.
  bool wait(const Place& place);
  // Counts it as a newcomer's again, even beyond the limit for those.
  void wait_no_more(const Place& place);

  uint32_t taken() const;  // by newcomers
  uint32_t waiting() const;
  uint64_t refused() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace es::ts2021

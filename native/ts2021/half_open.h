// Control connections that were answered but have not proven to be a client yet: how many there may
// be, in all and for one address.
//
// Each costs a Diffie-Hellman computation and buffers before its peer has sent a byte inside Noise;
// the places are bounded so that whoever opens connections and stays silent keeps neither the
// machine busy nor others out. IPv6 addresses count by /64. Who is late is sent away by
// tick(): a WebSocket answers pings by itself and would never look idle.
// Threads: any. Lifetime: places may outlive it.
#pragma once

#include "common/base/time.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace es::ts2021 {

class HalfOpen {
 public:
  struct Limits {
    uint32_t total = 4096;
    uint32_t per_address = 256;
  };
  struct Held;
  // Given back when the last copy goes.
  using Place = std::shared_ptr<Held>;

  // Addresses for which `is_shared` is true (a local proxy) carry others and count in all only; it
  // may be empty.
  HalfOpen(Limits limits, std::function<bool(std::string_view address)> is_shared);

  // Null: there is none left.
  Place take(std::string_view address);

  // `late` is called once, by tick(), if the place is still held at `deadline` (monotonic); it must
  // not let go of the place inside the call.
  void set_deadline(const Place& place, Millis deadline, std::function<void()> late);
  void tick(Millis now);

  uint32_t taken() const;
  uint64_t refused() const;

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace es::ts2021

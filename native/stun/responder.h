// Decides about one datagram: an answer or silence, with a limit for each source.
//
// The limit is a token bucket for each IPv4 address and IPv6 /64, in a table of fixed size: when a
// flood of distinct (forged) sources fills it, the source in a set that was quiet the longest is
// forgotten, so memory stays flat and honest clients are still answered. Many clients share an
// address behind NAT, so the default is generous: about one request a client every 5 s while it
// measures, for some thousand clients.
// Time is an argument; it may stand still or jump back, which refills nothing.
// Threads: one caller at a time; counters() may be read from any thread.
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "native/stun/message.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

namespace es::stun {

struct Limits {
  uint32_t per_second = 200;   // sustained answers a source
  uint32_t burst = 400;        // at once, after a pause
  uint32_t table_sets = 4096;  // rounded up to a power of two; 4 sources each, 32 bytes a source
};

struct Counters {
  std::atomic<uint64_t> answered_v4{0};
  std::atomic<uint64_t> answered_v6{0};
  std::atomic<uint64_t> ignored{0};       // not a request that deserves an answer
  std::atomic<uint64_t> rate_limited{0};  // a good request of a source over its limit
  std::atomic<uint64_t> send_failed{0};   // counted by the socket driver
};

class Responder {
 public:
  // `hash_key` is random: without it a peer could choose sources that share a set.
  Responder(const Limits& limits, uint64_t hash_key);

  // The length of the answer in `reply` (at least kMaxResponseLen), or nullopt for silence.
  std::optional<size_t> handle(Bytes datagram, const Endpoint& source, Millis now,
                               MutableBytes reply);

  Counters& counters() { return counters_; }

 private:
  static constexpr size_t kWays = 4;

  struct Bucket {
    uint64_t prefix_high = 0;
    uint64_t prefix_low = 0;
    int64_t filled_at_ms = 0;
    uint32_t tokens = 0;
    bool used = false;
  };

  bool take_token(const Endpoint& source, Millis now);
  Bucket& bucket_of(uint64_t high, uint64_t low, Millis now);

  Limits limits_;
  uint64_t hash_key_;
  uint64_t set_mask_;
  std::vector<Bucket> buckets_;
  Counters counters_;
};

}  // namespace es::stun

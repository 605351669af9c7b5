// The rate limiter of both twins: an exact sliding log for each client, in a bounded table.
//
// Two properties, whatever the timing of the requests (docs/architecture.md):
//   A  a client gets at most max_requests + burst grants in any half-open interval of `window`;
//   B  a client that was idle for a window gets max_requests + burst at once, and one that never
//      asks for more than max_requests in a window is never refused.
// The log is exact as long as it fits: a request is granted if and only if the grant
// max_requests + burst ago is at least a window old. Where more grants than kMaxEntries must be
// remembered, or memory runs short, neighbouring grants merge into batches of at most burst + 1
// that expire together, when the newest of them does. That only ever refuses, so A holds; one batch
// at most straddles the start of a window, so what is overcounted is at most `burst`, and B holds.
//
// Memory: 32 bytes for a client with one grant, 32 more for every further 7 grants at different
// milliseconds, at most 1 KiB a client; all of it is handed in at creation, and nothing is
// allocated. A full table forgets expired clients first, then the one with the fewest live grants
// (the oldest among equals) out of 16 candidates that a keyed hash picks: a client over its limit
// is the heaviest and stays refused while it keeps sending. Property A is per remembered client:
// one that was forgotten starts afresh.
//
// Time: wall-clock times may jump; see forward_clock.h. Threads: none of its own; callers of one
// Limiter must not overlap.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/limit/client_key.h"
#include "common/limit/forward_clock.h"
#include "common/limit/siphash.h"

#include <cstddef>
#include <cstdint>

namespace es::limit {

inline constexpr Millis kMaxWindow{12 * 60 * 60 * 1000};
inline constexpr uint32_t kMaxPermits = 3000;

struct Limit {
  uint32_t max_requests = 100;  // 1 or more, steadily, in a window
  Millis window{60'000};        // 1 ms to kMaxWindow
  uint32_t burst = 20;          // may be 0

  // What a client may use in any one window; at most kMaxPermits.
  uint32_t permits() const { return max_requests + burst; }

  friend bool operator==(const Limit&, const Limit&) = default;
};

// Ok, or which bound is broken.
Status validate_limit(const Limit& limit);

struct Admission {
  enum class Outcome : uint8_t { kGranted, kRefused };

  Outcome outcome = Outcome::kRefused;
  uint32_t limit = 0;      // Limit::permits()
  uint32_t remaining = 0;  // what the client may still use at this moment
  Millis retry_after{0};   // 0 when granted; else the earliest time at which it would be
  Millis reset_after{0};   // until nothing of what the client used counts any more

  bool granted() const { return outcome == Outcome::kGranted; }
};

struct LimiterStats {
  uint64_t evicted_live = 0;  // clients forgotten while they had live grants
  uint64_t coarsened = 0;     // logs merged early because the pool was empty
  size_t max_clients = 0;
  size_t max_chunks = 0;
  size_t chunks_in_use = 0;
};

class Limiter {
 public:
  static constexpr size_t kMinMemory = 4096;

  // `memory` must be all zero (fresh pages are) and outlive the limiter; half of it holds clients,
  // half the logs of busy ones. `seed` comes from the host's random source. Refuses a limit that
  // validate_limit refuses, and less than kMinMemory bytes.
  static Result<Limiter> create(const Limit& limit, MutableBytes memory, const SipKey& seed);

  // Takes `permits` (1 to Limit::permits()) for this client, all or none. A refusal takes nothing.
  Admission admit(const ClientKey& client, WallTime now, uint32_t permits = 1) {
    return admit(client, hash_of(seed_, client), now, permits);
  }
  // What admit() would answer; changes nothing.
  Admission peek(const ClientKey& client, WallTime now, uint32_t permits = 1) const {
    return peek(client, hash_of(seed_, client), now, permits);
  }

  // The same for who has the client's hash_of() by this table's seed already.
  Admission admit(const ClientKey& client, uint64_t hash, WallTime now, uint32_t permits);
  Admission peek(const ClientKey& client, uint64_t hash, WallTime now, uint32_t permits) const;

  const Limit& limit() const { return limit_; }
  const LimiterStats& stats() const { return stats_; }

 private:
  struct Slot;
  struct Chunk;

  Limiter() = default;
  Slot* find(const ClientKey& client, uint64_t hash) const;
  Slot* claim(const ClientKey& client, uint64_t hash, uint64_t now);
  Slot* lightest(uint64_t hash, uint64_t now);
  static void occupy(Slot& slot, const ClientKey& client);
  Slot* set_of(uint32_t hash_half) const;
  bool expired(uint64_t grant, uint64_t now) const { return now - grant >= window_; }
  void drop_expired(Slot& slot, uint64_t now);
  void release_log(Slot& slot);
  void record(Slot& slot, uint64_t now, uint32_t permits);
  bool push_newest(Slot& slot, uint64_t now);
  bool append_entry(Slot& slot, uint32_t entry);
  void merge_neighbours(Slot& slot);
  uint32_t take_chunk();
  void reclaim(uint64_t now);
  Admission answer(const Slot* slot, uint64_t now, uint32_t permits) const;

  Limit limit_;
  uint64_t window_ = 0;
  uint32_t batch_ = 1;      // grants in a closed batch of the configured log
  uint32_t max_batch_ = 1;  // the most that property B allows
  SipKey seed_;
  ForwardClock clock_;
  Slot* slots_ = nullptr;
  size_t num_sets_ = 0;
  size_t hand_ = 0;  // where reclaim() goes on
  Chunk* chunks_ = nullptr;
  uint32_t num_chunks_ = 0;
  uint32_t fresh_chunk_ = 0;          // chunks from here on were never used
  uint32_t free_chunk_ = 0xffffffff;  // the first of the free list, if any
  LimiterStats stats_;
};

}  // namespace es::limit

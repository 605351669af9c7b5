// The authority over one client's permits: grants leases to isolates and counts every permit as
// used until the latest time at which it may have been, plus a window.
//
// Properties, over all isolates together, for every order, delay and loss of messages:
//   hard  the client gets at most max_requests + burst in any window. A lease granted at T for
//         `duration` counts in full until T + duration + kLeaseSlack + window, unless its isolate
//         reports what it used; that then counts until the reported last use, which network delay
//         can only make later than it was, plus a window. In any window all leases with a use in
//         it were still counted when the latest of them was granted, so their sum is bounded.
//   soft  with one isolate and no loss: idle for a window means everything is free again; a steady
//         max_requests in a window is never refused (a lease of k permits overcounts at most k - 1,
//         and k <= burst / 2 + 1); at 100 a minute with a burst of 20 a call serves at least 10.
// While other isolates hold unreported leases, a lease takes at most half of what is left.
//
// State: save() and load() carry it over an eviction of the Durable Object; save it before the
// reply leaves. One that was lost must start with fresh(), whose ids come from the time, so that an
// old report meets no new lease. Bounded: kMaxLeases outstanding and kMaxUses reported; beyond that
// the oldest are merged towards later times (counted longer, never shorter). Time: forward_clock.h;
// load() adds the wall time that passed since save(). Threads: one caller.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/limit/forward_clock.h"
#include "common/limit/lease_message.h"
#include "common/limit/limiter.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace es::limit {

struct LeaseTerms {
  Millis duration{15'000};    // 100 ms to 5 min
  uint32_t max_permits = 20;  // 1 to 1000; a lease is also at most burst / 2 + 1
};

// What a lease may outlive its duration by without harm: clock rates that differ, clocks that stand
// still while a request runs (Workers), reordered times.
inline constexpr Millis kLeaseSlack{2'000};

class LeaseAuthority {
 public:
  static constexpr size_t kMaxLeases = 32;
  static constexpr size_t kMaxUses = 64;
  // The longest state that save() writes.
  static constexpr size_t kMaxSavedLen = 40 + kMaxLeases * 20 + kMaxUses * 12;

  // A client of whom nothing is known.
  static Result<LeaseAuthority> fresh(const Limit& limit, const LeaseTerms& terms, WallTime now);

  // What save() wrote. Refuses anything else; the caller then starts with fresh(). The limit may
  // have changed in between.
  static Result<LeaseAuthority> load(const Limit& limit, const LeaseTerms& terms, WallTime now,
                                     Bytes saved);

  // Layout, big-endian: u8 version, u8 num_leases, u8 num_uses, u8 zero, u32 zero, u64 clock,
  // u64 wall ms, u64 next id, u64 zero, then leases {u64 id, u64 granted at, u32 permits} and uses
  // {u64 at, u32 num}. Times are counts of this clock.
  void save(ByteWriter& out) const;

  LeaseReply handle(const LeaseRequest& request, WallTime now);

  // Permits that count as used at this moment.
  uint32_t counted(WallTime now);

  // After this time nothing counts any more and the state may be deleted.
  Millis idle_after(WallTime now);

 private:
  struct Lease {
    uint64_t id = 0;
    uint64_t granted_at = 0;
    uint32_t permits = 0;
  };
  struct Use {  // `num` permits, the last of them used no later than `at`
    uint64_t at = 0;
    uint32_t num = 0;
  };

  LeaseAuthority() = default;
  static Result<LeaseAuthority> make(const Limit& limit, const LeaseTerms& terms);
  void drop_expired(uint64_t now);
  void settle(const LeaseRequest& request, uint64_t now);
  void add_use(uint64_t at, uint32_t num);
  void add_lease(const Lease& lease);
  uint64_t latest_use(const Lease& lease) const;
  uint64_t expiry(uint64_t used_at) const { return used_at + window_; }
  uint32_t sum() const;
  uint32_t lease_size(uint32_t free, uint32_t wanted) const;
  uint64_t next_expiry(uint64_t now) const;
  uint64_t last_expiry(uint64_t now) const;

  Limit limit_;
  LeaseTerms terms_;
  uint64_t window_ = 0;
  ForwardClock clock_;
  uint64_t next_id_ = 1;
  size_t num_leases_ = 0;
  size_t num_uses_ = 0;
  std::array<Lease, kMaxLeases> leases_{};
  std::array<Use, kMaxUses> uses_{};
};

}  // namespace es::limit

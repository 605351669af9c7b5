// The isolate's side of rate limiting with leases: permits that the authority of a client
// (lease_authority.h) lends to this isolate for some seconds, spent here without asking.
//
// Use, for each request of a client:
//   take() -> kGranted or kRefused: done, no call.
//          -> kAsk: ask() writes the message; send it to the client's authority; pass the answer to
//             on_reply(), or call on_failure(); then take() again for every waiting request, with
//             the time of that moment. A request that sees kAsk a third time gives up (the network
//             is slower than a lease is long, or the permits went to others) as if nobody answered.
//          -> kWait: another request of this client has asked; wait for that answer, then take().
// A lease counts from the moment its request left, so it ends here before the authority thinks that
// it does. What is left of a lease is given up when the next request leaves or the lease ends.
// Forgetting a lease (eviction, a lost reply, a clock that jumps back) only makes the authority
// count all of its permits as used.
//
// Memory: kSlotLen bytes a client, handed in at creation; a full table forgets the candidate that
// was used least recently, one that is not refused at the moment first. Time: forward_clock.h; the
// isolate's clock must run at the authority's rate (they need not agree), within kLeaseSlack a
// lease. Threads: as limiter.h.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/limit/client_key.h"
#include "common/limit/forward_clock.h"
#include "common/limit/lease_message.h"
#include "common/limit/limiter.h"
#include "common/limit/siphash.h"

#include <cstddef>
#include <cstdint>

namespace es::limit {

// After this long without an answer an ask counts as failed.
inline constexpr Millis kAskTimeout{5'000};

struct LeaseDecision {
  enum class Outcome : uint8_t { kGranted, kRefused, kAsk, kWait };

  Outcome outcome = Outcome::kAsk;
  // As in Admission, as far as this isolate knows; all zero for kAsk and kWait.
  uint32_t limit = 0;
  uint32_t remaining = 0;
  Millis retry_after{0};
  Millis reset_after{0};
};

class LeaseTable {
 public:
  static constexpr size_t kMinMemory = 4096;
  static constexpr size_t kSlotLen = 96;

  // `memory` must be all zero and outlive the table; `seed` is random, and differs between
  // isolates.
  static Result<LeaseTable> create(const Limit& limit, MutableBytes memory, const SipKey& seed);

  // Spends one permit of this client's lease, if it has one.
  LeaseDecision take(const ClientKey& client, WallTime now) {
    return take(client, hash_of(seed_, client), now);
  }
  // The same for who has the client's hash_of() by this table's seed already.
  LeaseDecision take(const ClientKey& client, uint64_t hash, WallTime now);

  // The message for the authority; from now on take() answers kWait. It reports the previous lease
  // and what was granted without one, and gives up what is left of the lease. `wanted` is how many
  // requests wait for the answer.
  struct Ask {
    LeaseRequestBytes message;
    uint32_t nonce;  // for on_failure()
  };
  Ask ask(const ClientKey& client, WallTime now, uint32_t wanted = 1);

  // Takes the authority's answer in. Refuses bytes that are no reply, and one that nobody waits for
  // any more (its lease then counts as used): on_failure() is due then.
  Status on_reply(const ClientKey& client, WallTime now, Bytes reply);

  // The authority did not answer the ask with this nonce: the next take() says kAsk again. Changes
  // nothing when a newer one is under way.
  void on_failure(const ClientKey& client, uint32_t nonce);

  // A request was let pass without a permit, because the authority could not be asked. The next
  // ask() reports it, so that the authority counts it too. Call after take() of that request.
  void note_unleased(const ClientKey& client);

 private:
  struct Slot;

  LeaseTable() = default;
  Slot* find(const ClientKey& client, uint64_t hash) const;
  Slot& find_or_claim(const ClientKey& client, uint64_t now);
  Slot* set_of(uint64_t hash) const;
  void expire(Slot& slot, uint64_t now) const;
  uint64_t advance(WallTime now);

  Limit limit_;
  SipKey seed_;
  ForwardClock clock_;
  uint32_t clock_epoch_ = 0;  // changes when the wall clock jumps back: older leases are void
  uint32_t next_nonce_ = 1;
  Slot* slots_ = nullptr;
  size_t num_sets_ = 0;
};

}  // namespace es::limit

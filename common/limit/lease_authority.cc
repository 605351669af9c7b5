#include "common/limit/lease_authority.h"

#include <algorithm>
#include <utility>

namespace es::limit {
namespace {

constexpr uint8_t kSavedVersion = 1;
constexpr Millis kMinDuration{100};
constexpr Millis kMaxDuration{5 * 60 * 1000};
constexpr uint32_t kMaxLeasePermits = 1000;

uint32_t to_u32(uint64_t ms) { return static_cast<uint32_t>(std::min<uint64_t>(ms, 0xffffffff)); }

}  // namespace

Result<LeaseAuthority> LeaseAuthority::make(const Limit& limit, const LeaseTerms& terms) {
  ES_CHECK(validate_limit(limit));
  if (terms.duration < kMinDuration || terms.duration > kMaxDuration) {
    return refuse("lease: the duration must be 100 ms to 5 min");
  }
  if (terms.max_permits < 1 || terms.max_permits > kMaxLeasePermits) {
    return refuse("lease: max_permits must be 1 to 1000");
  }
  LeaseAuthority authority;
  authority.limit_ = limit;
  authority.terms_ = terms;
  authority.window_ = static_cast<uint64_t>(limit.window.count());
  return authority;
}

Result<LeaseAuthority> LeaseAuthority::fresh(const Limit& limit, const LeaseTerms& terms,
                                             WallTime now) {
  ES_TRY(LeaseAuthority authority, make(limit, terms));
  authority.clock_.advance(now);
  // 2^20 ids a millisecond: no lost predecessor with the same clock reached this one.
  authority.next_id_ = (static_cast<uint64_t>(unix_ms(now)) << 20) | 1;
  return authority;
}

void LeaseAuthority::save(ByteWriter& out) const {
  out.u8(kSavedVersion);
  out.u8(static_cast<uint8_t>(num_leases_));
  out.u8(static_cast<uint8_t>(num_uses_));
  out.u8(0);
  out.u32be(0);
  out.u64be(clock_.last());
  out.u64be(static_cast<uint64_t>(unix_ms(clock_.last_wall())));
  out.u64be(next_id_);
  out.u64be(0);
  for (size_t i = 0; i < num_leases_; ++i) {
    out.u64be(leases_[i].id);
    out.u64be(leases_[i].granted_at);
    out.u32be(leases_[i].permits);
  }
  for (size_t i = 0; i < num_uses_; ++i) {
    out.u64be(uses_[i].at);
    out.u32be(uses_[i].num);
  }
}

Result<LeaseAuthority> LeaseAuthority::load(const Limit& limit, const LeaseTerms& terms,
                                            WallTime now, Bytes saved) {
  constexpr Error kBad = refuse("lease state: not what save() writes");
  ES_TRY(LeaseAuthority authority, make(limit, terms));
  if (saved.size() < 40) return kBad;
  ByteReader in(saved);
  const uint8_t version = *in.u8();
  const size_t num_leases = *in.u8();
  const size_t num_uses = *in.u8();
  const uint8_t zero = *in.u8();
  const uint32_t zeros = *in.u32be();
  const uint64_t count = *in.u64be();
  const uint64_t wall = *in.u64be();
  const uint64_t next_id = *in.u64be();
  const uint64_t more_zeros = *in.u64be();
  if (version != kSavedVersion || zero != 0 || zeros != 0 || more_zeros != 0 || next_id == 0 ||
      num_leases > kMaxLeases || num_uses > kMaxUses ||
      in.remaining() != num_leases * 20 + num_uses * 12) {
    return kBad;
  }
  for (size_t i = 0; i < num_leases; ++i) {
    const Lease lease{*in.u64be(), *in.u64be(), *in.u32be()};
    if (lease.id == 0 || lease.id >= next_id || lease.granted_at > count || lease.permits == 0 ||
        lease.permits > kMaxPermits) {
      return kBad;
    }
    authority.leases_[i] = lease;
  }
  // A use may lie in the future by a lease that was merged before it ended.
  const uint64_t latest = count + static_cast<uint64_t>((kMaxDuration + kLeaseSlack).count());
  if (count > latest) return kBad;
  for (size_t i = 0; i < num_uses; ++i) {
    const Use use{*in.u64be(), *in.u32be()};
    if (use.at > latest || use.num == 0 || use.num > kMaxPermits) return kBad;
    if (i > 0 && use.at < authority.uses_[i - 1].at) return kBad;
    authority.uses_[i] = use;
  }
  authority.num_leases_ = num_leases;
  authority.num_uses_ = num_uses;
  authority.next_id_ = next_id;
  authority.clock_ = ForwardClock::restore(count, wall_time_ms(static_cast<int64_t>(wall)));
  authority.clock_.advance(now);
  return authority;
}

uint64_t LeaseAuthority::latest_use(const Lease& lease) const {
  return lease.granted_at + static_cast<uint64_t>((terms_.duration + kLeaseSlack).count());
}

void LeaseAuthority::drop_expired(uint64_t now) {
  const auto uses_end =
      std::remove_if(uses_.begin(), uses_.begin() + static_cast<std::ptrdiff_t>(num_uses_),
                     [&](const Use& use) { return expiry(use.at) <= now; });
  num_uses_ = static_cast<size_t>(uses_end - uses_.begin());
  const auto leases_end =
      std::remove_if(leases_.begin(), leases_.begin() + static_cast<std::ptrdiff_t>(num_leases_),
                     [&](const Lease& lease) { return expiry(latest_use(lease)) <= now; });
  num_leases_ = static_cast<size_t>(leases_end - leases_.begin());
}

// Keeps the uses in the order of their times.
void LeaseAuthority::add_use(uint64_t at, uint32_t num) {
  if (num_uses_ == kMaxUses) {
    // The two nearest neighbours become one at the later of them: counted longer, never shorter.
    size_t closest = 1;
    for (size_t i = 2; i < num_uses_; ++i) {
      if (uses_[i].at - uses_[i - 1].at < uses_[closest].at - uses_[closest - 1].at) closest = i;
    }
    // No limit is larger, and load() takes no more.
    uses_[closest].num = std::min(uses_[closest].num + uses_[closest - 1].num, kMaxPermits);
    for (size_t i = closest; i < num_uses_; ++i) uses_[i - 1] = uses_[i];
    --num_uses_;
  }
  size_t i = num_uses_++;
  for (; i > 0 && uses_[i - 1].at > at; --i) uses_[i] = uses_[i - 1];
  uses_[i] = {at, num};
}

void LeaseAuthority::add_lease(const Lease& lease) {
  if (num_leases_ == kMaxLeases) {
    // The oldest one is counted as used in full; its report will find nothing.
    const auto oldest = std::min_element(
        leases_.begin(), leases_.end(),
        [](const Lease& a, const Lease& b) { return a.granted_at < b.granted_at; });
    add_use(latest_use(*oldest), oldest->permits);
    *oldest = leases_[--num_leases_];
  }
  leases_[num_leases_++] = lease;
}

// Takes in the report. One about a lease that is not outstanding (a repeated, late or made-up one)
// changes nothing.
void LeaseAuthority::settle(const LeaseRequest& request, uint64_t now) {
  if (request.unleased > 0) {
    const uint64_t at = now - std::min<uint64_t>(request.unleased_age_ms, now);
    if (expiry(at) > now) add_use(at, std::min<uint32_t>(request.unleased, kMaxPermits));
  }
  const auto end = leases_.begin() + static_cast<std::ptrdiff_t>(num_leases_);
  const auto lease = std::find_if(leases_.begin(), end,
                                  [&](const Lease& l) { return l.id == request.previous_id; });
  if (request.previous_id == 0 || lease == end) return;
  const Lease settled = *lease;
  *lease = leases_[--num_leases_];
  const uint32_t used = std::min<uint32_t>(request.previous_used, settled.permits);
  if (used == 0) return;
  // The age was right when the message left; since then the last use has only got older. It was
  // within the lease, whatever the message says.
  const uint64_t age = request.last_use_age_ms;
  const uint64_t reported = age < now ? now - age : 0;
  const uint64_t at = std::clamp(reported, settled.granted_at, latest_use(settled));
  if (expiry(at) > now) add_use(at, used);
}

uint32_t LeaseAuthority::sum() const {
  uint64_t total = 0;
  for (size_t i = 0; i < num_leases_; ++i) total += leases_[i].permits;
  for (size_t i = 0; i < num_uses_; ++i) total += uses_[i].num;
  return to_u32(total);
}

// A lease of k permits overcounts by at most k - 1 when it is settled, and the next one must still
// find k: twice that must fit into the burst.
uint32_t LeaseAuthority::lease_size(uint32_t free, uint32_t wanted) const {
  uint32_t size = std::min(terms_.max_permits, limit_.burst / 2 + 1);
  // A caller with many requests waiting may have more: they are used at once, so that they
  // overcount nothing.
  size = std::max(size, std::min(wanted, terms_.max_permits));
  if (num_leases_ > 0) size = std::min(size, free / 2 + 1);
  return std::min(size, free);
}

uint64_t LeaseAuthority::next_expiry(uint64_t now) const {
  uint64_t next = now + static_cast<uint64_t>(limit_.window.count());
  for (size_t i = 0; i < num_uses_; ++i) next = std::min(next, expiry(uses_[i].at));
  for (size_t i = 0; i < num_leases_; ++i) {
    next = std::min(next, expiry(latest_use(leases_[i])));
  }
  return next;
}

uint64_t LeaseAuthority::last_expiry(uint64_t now) const {
  uint64_t last = now;
  for (size_t i = 0; i < num_uses_; ++i) last = std::max(last, expiry(uses_[i].at));
  for (size_t i = 0; i < num_leases_; ++i) last = std::max(last, expiry(latest_use(leases_[i])));
  return last;
}

LeaseReply LeaseAuthority::handle(const LeaseRequest& request, WallTime wall) {
  const uint64_t now = clock_.advance(wall);
  drop_expired(now);
  settle(request, now);
  LeaseReply reply;
  reply.nonce = request.nonce;
  const uint32_t counted_now = sum();
  // A limit that was lowered meanwhile may be exceeded by what is outstanding.
  const uint32_t free = limit_.permits() - std::min(counted_now, limit_.permits());
  const uint32_t permits = lease_size(free, request.wanted);
  if (permits == 0) {
    reply.retry_after_ms = to_u32(std::max<uint64_t>(next_expiry(now) - now, 1));
  } else {
    reply.lease_id = next_id_++;
    reply.permits = static_cast<uint16_t>(permits);
    reply.duration_ms = to_u32(static_cast<uint64_t>(terms_.duration.count()));
    add_lease({reply.lease_id, now, permits});
  }
  reply.remaining = free - permits;
  reply.reset_after_ms = to_u32(last_expiry(now) - now);
  return reply;
}

uint32_t LeaseAuthority::counted(WallTime wall) {
  drop_expired(clock_.advance(wall));
  return sum();
}

Millis LeaseAuthority::idle_after(WallTime wall) {
  const uint64_t now = clock_.advance(wall);
  return Millis{static_cast<int64_t>(last_expiry(now) - now)};
}

}  // namespace es::limit

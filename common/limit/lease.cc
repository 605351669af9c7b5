#include "common/limit/lease.h"

#include <algorithm>

namespace es::limit {
namespace {

constexpr size_t kWays = 8;

Millis to_millis(uint64_t ms) { return Millis{static_cast<int64_t>(ms)}; }

uint64_t left_until(uint64_t end, uint64_t now) { return end > now ? end - now : 0; }

}  // namespace

struct LeaseTable::Slot {
  uint64_t key;
  uint64_t lease_id;       // 0: none to report
  uint64_t asked_at;       // when the outstanding request left, and when the lease's clock started
  uint64_t touched_at;     // last take(), for eviction
  uint64_t blocked_until;  // refused locally until then
  uint32_t duration_ms;    // of the lease, from asked_at of its request
  uint32_t last_use_ms;    // after lease_start
  uint32_t reset_ms;       // the authority's reset_after, at the reply
  uint32_t nonce;          // of the outstanding request; 0: none
  uint32_t clock_epoch;
  uint32_t remaining;  // at the authority
  uint64_t lease_start;
  uint64_t replied_at;
  uint32_t unleased_at;  // low bits of the time of the last grant without a lease
  uint16_t permits;      // left
  uint16_t used;
  uint16_t unleased;           // granted without a lease and not reported
  uint16_t unleased_reported;  // of them, in the outstanding request
  uint8_t kind;                // ClientKey::Kind; 0 is an empty slot
};

Result<LeaseTable> LeaseTable::create(const Limit& limit, MutableBytes memory, const SipKey& seed) {
  static_assert(sizeof(Slot) <= kSlotLen);
  ES_CHECK(validate_limit(limit));
  if (memory.size() < kMinMemory) return refuse("leases: not enough memory for the table");
  const size_t skip = (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  memory = memory.subspan(skip);
  LeaseTable table;
  table.limit_ = limit;
  table.seed_ = seed;
  // Replies meant for another table's nonces must not fit this one's.
  table.next_nonce_ = static_cast<uint32_t>(siphash(seed, 0, 0)) | 1;
  table.slots_ = reinterpret_cast<Slot*>(memory.data());
  table.num_sets_ = memory.size() / (kWays * sizeof(Slot));
  return table;
}

LeaseTable::Slot* LeaseTable::set_of(uint64_t hash) const {
  return slots_ + static_cast<size_t>((hash >> 32) * num_sets_ >> 32) * kWays;
}

LeaseTable::Slot* LeaseTable::find(const ClientKey& client, uint64_t hash) const {
  Slot* set = set_of(hash);
  for (Slot* slot = set; slot < set + kWays; ++slot) {
    if (slot->key == client.value && slot->kind == static_cast<uint8_t>(client.kind)) return slot;
  }
  return nullptr;
}

// A new client takes an empty slot, else the least recently used one that is not refusing somebody,
// else the least recently used.
LeaseTable::Slot& LeaseTable::find_or_claim(const ClientKey& client, uint64_t now) {
  const uint64_t hash = hash_of(seed_, client);
  if (Slot* slot = find(client, hash); slot != nullptr) return *slot;
  Slot* set = set_of(hash);
  Slot* best = set;
  for (Slot* slot = set; slot < set + kWays; ++slot) {
    if (slot->kind == 0) {
      best = slot;
      break;
    }
    const bool blocks = slot->blocked_until > now;
    const bool best_blocks = best->blocked_until > now;
    if (blocks != best_blocks ? best_blocks : slot->touched_at < best->touched_at) best = slot;
  }
  *best = Slot{};
  best->key = client.value;
  best->kind = static_cast<uint8_t>(client.kind);
  best->clock_epoch = clock_epoch_;
  return *best;
}

// Time that went by unseen while the wall clock jumped back would let a lease live too long: every
// lease from before is void then, its report too.
uint64_t LeaseTable::advance(WallTime now) {
  if (clock_.jumps_back(now)) ++clock_epoch_;
  return clock_.advance(now);
}

void LeaseTable::expire(Slot& slot, uint64_t now) const {
  if (slot.clock_epoch != clock_epoch_) {
    slot.lease_id = 0;
    slot.permits = 0;
    slot.used = 0;
    slot.nonce = 0;
    slot.clock_epoch = clock_epoch_;
  }
  if (now - slot.lease_start >= slot.duration_ms) slot.permits = 0;
}

LeaseDecision LeaseTable::take(const ClientKey& client, uint64_t hash, WallTime wall) {
  const uint64_t now = advance(wall);
  LeaseDecision out;
  Slot* slot = find(client, hash);
  if (slot == nullptr) return out;
  slot->touched_at = now;
  expire(*slot, now);
  if (slot->permits > 0) {
    --slot->permits;
    ++slot->used;
    slot->last_use_ms = static_cast<uint32_t>(now - slot->lease_start);
    out.outcome = LeaseDecision::Outcome::kGranted;
    out.limit = limit_.permits();
    out.remaining = std::min(out.limit, slot->remaining + slot->permits);
    out.reset_after = limit_.window;
    return out;
  }
  if (slot->blocked_until > now) {
    out.outcome = LeaseDecision::Outcome::kRefused;
    out.limit = limit_.permits();
    out.retry_after = to_millis(slot->blocked_until - now);
    out.reset_after = to_millis(left_until(slot->replied_at + slot->reset_ms, now));
    return out;
  }
  if (slot->nonce != 0 && now - slot->asked_at < static_cast<uint64_t>(kAskTimeout.count())) {
    out.outcome = LeaseDecision::Outcome::kWait;
  }
  return out;
}

LeaseTable::Ask LeaseTable::ask(const ClientKey& client, WallTime wall, uint32_t wanted) {
  const uint64_t now = advance(wall);
  Slot& slot = find_or_claim(client, now);
  expire(slot, now);
  slot.touched_at = now;
  slot.asked_at = now;
  slot.nonce = next_nonce_;
  next_nonce_ += 2;  // stays odd, so never 0
  slot.permits = 0;  // given up: the report says that they were not used
  LeaseRequest request;
  request.nonce = slot.nonce;
  request.previous_id = slot.lease_id;
  request.wanted = std::max(wanted, uint32_t{1});
  if (slot.lease_id != 0 && slot.used > 0) {
    request.previous_used = slot.used;
    const uint64_t age = now - slot.lease_start - slot.last_use_ms;
    request.last_use_age_ms = static_cast<uint32_t>(std::min<uint64_t>(age, 0xffffffff));
  }
  slot.unleased_reported = slot.unleased;
  if (slot.unleased > 0) {
    request.unleased = slot.unleased;
    request.unleased_age_ms = static_cast<uint32_t>(now) - slot.unleased_at;
  }
  return {encode(request), slot.nonce};
}

Status LeaseTable::on_reply(const ClientKey& client, WallTime wall, Bytes data) {
  const uint64_t now = advance(wall);
  const auto reply = decode_lease_reply(data);
  Slot* slot = find(client, hash_of(seed_, client));
  if (slot == nullptr) return refuse("lease reply: nobody waits for it");
  expire(*slot, now);
  if (!reply.ok()) return reply.error();
  if (slot->nonce == 0 || slot->nonce != reply->nonce) {
    return refuse("lease reply: nobody waits for it");
  }
  slot->nonce = 0;
  // The report was received: it must not be made again for another lease.
  slot->lease_id = reply->lease_id;
  slot->used = 0;
  slot->unleased = static_cast<uint16_t>(slot->unleased - slot->unleased_reported);
  slot->unleased_reported = 0;
  slot->last_use_ms = 0;
  slot->remaining = reply->remaining;
  slot->reset_ms = reply->reset_after_ms;
  slot->replied_at = now;
  slot->lease_start = slot->asked_at;
  slot->permits = reply->permits;
  slot->duration_ms = reply->duration_ms;
  slot->blocked_until = reply->granted() ? 0 : now + reply->retry_after_ms;
  return {};
}

void LeaseTable::on_failure(const ClientKey& client, uint32_t nonce) {
  Slot* slot = find(client, hash_of(seed_, client));
  if (slot != nullptr && slot->nonce == nonce) slot->nonce = 0;
}

void LeaseTable::note_unleased(const ClientKey& client) {
  Slot* slot = find(client, hash_of(seed_, client));
  if (slot == nullptr) return;
  if (slot->unleased < 0xffff) ++slot->unleased;
  slot->unleased_at = static_cast<uint32_t>(slot->touched_at);
}

}  // namespace es::limit

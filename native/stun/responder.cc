#include "native/stun/responder.h"

#include <algorithm>
#include <bit>

namespace es::stun {

namespace {

// splitmix64's finaliser over both halves and the key: enough to spread a table that only limits
// rates, and one multiply chain.
uint64_t mix(uint64_t high, uint64_t low, uint64_t key) {
  uint64_t x = high ^ key;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x ^= low + key;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

}  // namespace

Responder::Responder(const Limits& limits, uint64_t hash_key)
    : limits_(limits),
      hash_key_(hash_key),
      set_mask_(std::bit_ceil(uint64_t{std::clamp(limits.table_sets, 1U, 1U << 20U)}) - 1),
      buckets_((set_mask_ + 1) * kWays) {}

std::optional<size_t> Responder::handle(Bytes datagram, const Endpoint& source, Millis now,
                                        MutableBytes reply) {
  const auto tx_id = parse_request(datagram);
  if (!tx_id) {
    counters_.ignored.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  if (!take_token(source, now)) {
    counters_.rate_limited.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  ByteWriter writer(reply);
  write_response(*tx_id, source, writer);
  if (!writer.ok()) return std::nullopt;
  auto& answered = source.is_v4() ? counters_.answered_v4 : counters_.answered_v6;
  answered.fetch_add(1, std::memory_order_relaxed);
  return writer.written().size();
}

bool Responder::take_token(const Endpoint& source, Millis now) {
  ByteReader reader(source.ip);
  const uint64_t high = reader.u64be().value();
  const uint64_t low = source.is_v4() ? reader.u64be().value() : 0;  // IPv6 counts by /64
  Bucket& bucket = bucket_of(high, low, now);
  const int64_t elapsed_ms = now.count() - bucket.filled_at_ms;
  if (elapsed_ms < 0) {
    bucket.filled_at_ms = now.count();
  } else if (limits_.per_second > 0) {
    // A source quiet for longer than it takes to fill up is simply full.
    const int64_t full_ms = int64_t{limits_.burst} * 1000 / limits_.per_second + 1;
    const int64_t gained = std::min(elapsed_ms, full_ms) * limits_.per_second / 1000;
    if (gained > 0) {
      bucket.tokens =
          static_cast<uint32_t>(std::min<int64_t>(int64_t{bucket.tokens} + gained, limits_.burst));
      // Keep the part of a token that is not earned yet.
      bucket.filled_at_ms = elapsed_ms >= full_ms
                                ? now.count()
                                : bucket.filled_at_ms + gained * 1000 / limits_.per_second;
    }
  }
  if (bucket.tokens == 0) return false;
  --bucket.tokens;
  return true;
}

Responder::Bucket& Responder::bucket_of(uint64_t high, uint64_t low, Millis now) {
  Bucket* const set = &buckets_[(mix(high, low, hash_key_) & set_mask_) * kWays];
  Bucket* victim = set;
  for (Bucket* b = set; b != set + kWays; ++b) {
    if (b->used && b->prefix_high == high && b->prefix_low == low) return *b;
    if (!b->used) {
      if (victim->used) victim = b;
    } else if (victim->used && b->filled_at_ms < victim->filled_at_ms) {
      victim = b;
    }
  }
  *victim = {high, low, now.count(), limits_.burst, true};
  return *victim;
}

}  // namespace es::stun

#include "common/limit/limiter.h"

#include <algorithm>
#include <array>

namespace es::limit {
namespace {

constexpr size_t kWays = 8;            // slots in a set; a client may be in either of two sets
constexpr size_t kChunkEntries = 7;    // so that a chunk is 32 bytes
constexpr uint32_t kMaxEntries = 209;  // in at most 31 chunks: with the slot, 1 KiB
constexpr uint32_t kNoChunk = 0xffffffff;
constexpr size_t kReclaimSets = 8;

// A closed batch in a log: 27 bits of time, 5 bits of count - 1.
//
// An entry's age is unambiguous modulo 2^27 ms: what is older than a window when a client is
// granted something is dropped then, and a client whose newest grant is older than a window is
// dropped whole, so an entry that is looked at is younger than two windows.
constexpr uint32_t kTimeBits = 27;
constexpr uint32_t kTimeMask = (uint32_t{1} << kTimeBits) - 1;
constexpr uint32_t kMaxEntryCount = 32;
static_assert(2 * static_cast<uint64_t>(kMaxWindow.count()) <= kTimeMask);
static_assert(ForwardClock::kMaxStep > 2 * static_cast<uint64_t>(kMaxWindow.count()));

constexpr uint32_t make_entry(uint64_t time, uint32_t count) {
  return (static_cast<uint32_t>(time) & kTimeMask) << 5 | (count - 1);
}
constexpr uint32_t entry_count(uint32_t entry) { return (entry & 31) + 1; }
constexpr uint64_t entry_time(uint32_t entry, uint64_t now) {
  return now - ((static_cast<uint32_t>(now) - (entry >> 5)) & kTimeMask);
}

Millis to_millis(uint64_t ms) { return Millis{static_cast<int64_t>(ms)}; }

}  // namespace

// The newest batch stands in the slot; older ones are a queue of entries in linked chunks.
struct Limiter::Slot {
  uint64_t key;
  uint64_t newest;       // time of the newest batch
  uint32_t first_chunk;  // oldest; kNoChunk when the queue is empty
  uint32_t last_chunk;
  uint16_t newest_count;  // permits of the newest batch
  uint16_t older_count;   // permits in the queue
  uint8_t first_entry;    // of the first chunk
  uint8_t end_entry;      // one past the last, of the last chunk
  uint8_t kind;           // ClientKey::Kind; 0 is an empty slot
  uint8_t num_entries;

  bool used() const { return kind != 0; }
  uint32_t live() const { return uint32_t{newest_count} + older_count; }
};

struct Limiter::Chunk {
  uint32_t next;
  std::array<uint32_t, kChunkEntries> entries;
};

Status validate_limit(const Limit& limit) {
  if (limit.max_requests < 1) return refuse("rate limit: max_requests must be at least 1");
  if (limit.window < Millis{1}) return refuse("rate limit: the window must be at least 1 ms");
  if (limit.window > kMaxWindow) return refuse("rate limit: the window must be at most 12 hours");
  if (limit.max_requests > kMaxPermits || limit.burst > kMaxPermits ||
      limit.permits() > kMaxPermits) {
    return refuse("rate limit: max_requests + burst must be at most 3000");
  }
  const uint32_t batch = (limit.permits() + kMaxEntries - 1) / kMaxEntries;
  if (batch > limit.burst + 1) {
    return refuse(
        "rate limit: burst is too small for so many max_requests: a steady client could be "
        "refused; raise burst to max_requests / 200");
  }
  return {};
}

Result<Limiter> Limiter::create(const Limit& limit, MutableBytes memory, const SipKey& seed) {
  static_assert(sizeof(Slot) == 32 && sizeof(Chunk) == 32);
  static_assert(sizeof(Slot) + 31 * sizeof(Chunk) <= 1024 && kMaxEntries <= 30 * kChunkEntries + 1);
  ES_CHECK(validate_limit(limit));
  constexpr size_t kAlign = 64;
  const size_t skip = (kAlign - reinterpret_cast<uintptr_t>(memory.data()) % kAlign) % kAlign;
  if (memory.size() < kMinMemory) return refuse("rate limit: not enough memory for the table");
  memory = memory.subspan(skip);

  Limiter limiter;
  limiter.limit_ = limit;
  limiter.window_ = static_cast<uint64_t>(limit.window.count());
  limiter.batch_ = (limit.permits() + kMaxEntries - 1) / kMaxEntries;
  limiter.max_batch_ = std::min(limit.burst + 1, kMaxEntryCount);
  limiter.seed_ = seed;
  limiter.num_sets_ = memory.size() / 2 / (kWays * sizeof(Slot));
  limiter.slots_ = reinterpret_cast<Slot*>(memory.data());
  memory = memory.subspan(limiter.num_sets_ * kWays * sizeof(Slot));
  limiter.chunks_ = reinterpret_cast<Chunk*>(memory.data());
  limiter.num_chunks_ =
      static_cast<uint32_t>(std::min<size_t>(memory.size() / sizeof(Chunk), kNoChunk - 1));
  limiter.stats_.max_clients = limiter.num_sets_ * kWays;
  limiter.stats_.max_chunks = limiter.num_chunks_;
  return limiter;
}

Limiter::Slot* Limiter::set_of(uint32_t hash_half) const {
  const auto set = static_cast<size_t>(uint64_t{hash_half} * num_sets_ >> 32);
  return slots_ + set * kWays;
}

Limiter::Slot* Limiter::find(const ClientKey& client, uint64_t hash) const {
  for (const uint32_t half : {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)}) {
    Slot* set = set_of(half);
    for (size_t i = 0; i < kWays; ++i) {
      if (set[i].key == client.value && set[i].kind == static_cast<uint8_t>(client.kind)) {
        return &set[i];
      }
    }
  }
  return nullptr;
}

// A slot for a client that has none: a free or expired one of the emptier of its two sets, else the
// one whose loss forgets least.
Limiter::Slot* Limiter::claim(const ClientKey& client, uint64_t hash, uint64_t now) {
  std::array<Slot*, 2> free{};
  std::array<size_t, 2> num_free{};
  for (size_t s = 0; s < 2; ++s) {
    Slot* set = set_of(static_cast<uint32_t>(hash >> 32 * s));
    for (Slot* slot = set; slot < set + kWays; ++slot) {
      if (slot->used() && !expired(slot->newest, now)) continue;
      free[s] = slot;
      ++num_free[s];
    }
  }
  Slot* slot = num_free[1] > num_free[0] ? free[1] : free[0];
  if (slot == nullptr) {
    slot = lightest(hash, now);
    ++stats_.evicted_live;
  }
  if (slot->used()) release_log(*slot);
  occupy(*slot, client);
  return slot;
}

// Of the slots where a client with this hash may be, all of them live: the one with the fewest
// grants, the oldest among equals.
Limiter::Slot* Limiter::lightest(uint64_t hash, uint64_t now) {
  Slot* best = nullptr;
  for (const uint32_t half : {static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)}) {
    Slot* set = set_of(half);
    for (Slot* slot = set; slot < set + kWays; ++slot) {
      drop_expired(*slot, now);
      if (best == nullptr || slot->live() < best->live() ||
          (slot->live() == best->live() && slot->newest < best->newest)) {
        best = slot;
      }
    }
  }
  return best;
}

void Limiter::occupy(Slot& slot, const ClientKey& client) {
  slot = Slot{};
  slot.key = client.value;
  slot.kind = static_cast<uint8_t>(client.kind);
  slot.first_chunk = slot.last_chunk = kNoChunk;
}

void Limiter::release_log(Slot& slot) {
  if (slot.first_chunk != kNoChunk) {
    uint32_t num = 1;
    for (uint32_t c = slot.first_chunk; c != slot.last_chunk; c = chunks_[c].next) ++num;
    chunks_[slot.last_chunk].next = free_chunk_;
    free_chunk_ = slot.first_chunk;
    stats_.chunks_in_use -= num;
  }
  slot.first_chunk = slot.last_chunk = kNoChunk;
  slot.older_count = 0;
  slot.num_entries = 0;
}

// Forgets what is a window old; a slot of which nothing is left becomes empty.
void Limiter::drop_expired(Slot& slot, uint64_t now) {
  if (expired(slot.newest, now)) {
    release_log(slot);
    slot.kind = 0;
    return;
  }
  while (slot.num_entries > 0) {
    Chunk& chunk = chunks_[slot.first_chunk];
    const uint32_t entry = chunk.entries[slot.first_entry];
    if (!expired(entry_time(entry, now), now)) return;
    slot.older_count = static_cast<uint16_t>(slot.older_count - entry_count(entry));
    ++slot.first_entry;
    --slot.num_entries;
    if (slot.num_entries == 0) {
      release_log(slot);
    } else if (slot.first_entry == kChunkEntries) {
      const uint32_t spent = slot.first_chunk;
      slot.first_chunk = chunk.next;
      slot.first_entry = 0;
      chunk.next = free_chunk_;
      free_chunk_ = spent;
      --stats_.chunks_in_use;
    }
  }
}

uint32_t Limiter::take_chunk() {
  uint32_t taken = kNoChunk;
  if (free_chunk_ != kNoChunk) {
    taken = free_chunk_;
    free_chunk_ = chunks_[taken].next;
  } else if (fresh_chunk_ < num_chunks_) {
    taken = fresh_chunk_++;
  } else {
    return kNoChunk;
  }
  ++stats_.chunks_in_use;
  return taken;
}

// Walks some sets, dropping what expired and merging logs, to find chunks when the pool is empty.
void Limiter::reclaim(uint64_t now) {
  for (size_t n = 0; n < kReclaimSets; ++n) {
    Slot* set = slots_ + hand_ * kWays;
    hand_ = hand_ + 1 == num_sets_ ? 0 : hand_ + 1;
    for (Slot* slot = set; slot < set + kWays; ++slot) {
      if (slot->used()) drop_expired(*slot, now);
      if (slot->used()) merge_neighbours(*slot);
    }
  }
}

// Rewrites the queue with neighbours merged into batches of at most max_batch_, in place: the
// writing end never passes the reading end.
void Limiter::merge_neighbours(Slot& slot) {
  if (max_batch_ == 1 || slot.num_entries < 2) return;
  uint32_t read_chunk = slot.first_chunk;
  size_t read = slot.first_entry;
  uint32_t write_chunk = slot.first_chunk;
  size_t write = slot.first_entry;
  uint32_t merged = chunks_[read_chunk].entries[read];
  size_t num_written = 0;
  const auto put = [&](uint32_t entry) {
    if (write == kChunkEntries) {
      write_chunk = chunks_[write_chunk].next;
      write = 0;
    }
    chunks_[write_chunk].entries[write++] = entry;
    ++num_written;
  };
  for (size_t n = 1; n < slot.num_entries; ++n) {
    if (++read == kChunkEntries) {
      read_chunk = chunks_[read_chunk].next;
      read = 0;
    }
    const uint32_t entry = chunks_[read_chunk].entries[read];
    const uint32_t sum = entry_count(merged) + entry_count(entry);
    if (sum <= max_batch_) {
      merged = (entry & ~uint32_t{31}) | (sum - 1);
    } else {
      put(merged);
      merged = entry;
    }
  }
  put(merged);
  if (num_written < slot.num_entries) ++stats_.coarsened;
  if (write_chunk != slot.last_chunk) {
    const uint32_t spare = chunks_[write_chunk].next;
    uint32_t num = 1;
    for (uint32_t c = spare; c != slot.last_chunk; c = chunks_[c].next) ++num;
    chunks_[slot.last_chunk].next = free_chunk_;
    free_chunk_ = spare;
    stats_.chunks_in_use -= num;
    slot.last_chunk = write_chunk;
  }
  slot.end_entry = static_cast<uint8_t>(write);
  slot.num_entries = static_cast<uint8_t>(num_written);
}

bool Limiter::append_entry(Slot& slot, uint32_t entry) {
  if (slot.first_chunk == kNoChunk || slot.end_entry == kChunkEntries) {
    const uint32_t chunk = take_chunk();
    if (chunk == kNoChunk) return false;
    if (slot.first_chunk == kNoChunk) {
      slot.first_chunk = chunk;
      slot.first_entry = 0;
    } else {
      chunks_[slot.last_chunk].next = chunk;
    }
    slot.last_chunk = chunk;
    slot.end_entry = 0;
  }
  chunks_[slot.last_chunk].entries[slot.end_entry++] = entry;
  ++slot.num_entries;
  slot.older_count = static_cast<uint16_t>(slot.older_count + entry_count(entry));
  return true;
}

// Closes the newest batch by moving it into the queue. False when there is no room: the newest
// batch then has what could not be moved and must be extended instead.
bool Limiter::push_newest(Slot& slot, uint64_t now) {
  while (slot.newest_count > 0) {
    const uint32_t count = std::min<uint32_t>(slot.newest_count, kMaxEntryCount);
    const uint32_t entry = make_entry(slot.newest, count);
    if (slot.num_entries == kMaxEntries) merge_neighbours(slot);
    if (slot.num_entries == kMaxEntries) return false;
    if (!append_entry(slot, entry)) {
      reclaim(now);
      if (!append_entry(slot, entry)) return false;
    }
    slot.newest_count = static_cast<uint16_t>(slot.newest_count - count);
  }
  return true;
}

void Limiter::record(Slot& slot, uint64_t now, uint32_t permits) {
  // Grants of one millisecond are one batch without loss; others join it until it is as large as
  // the configured log needs.
  const bool same_time = slot.newest == now;
  const bool joins = slot.newest_count + permits <= batch_;
  if (slot.newest_count > 0 && !same_time && !joins) push_newest(slot, now);
  slot.newest = now;
  slot.newest_count = static_cast<uint16_t>(slot.newest_count + permits);
}

Admission Limiter::answer(const Slot* slot, uint64_t now, uint32_t permits) const {
  Admission out;
  out.limit = limit_.permits();
  uint32_t live = 0;
  if (slot != nullptr && !expired(slot->newest, now)) {
    live = slot->live();
    out.reset_after = to_millis(slot->newest + window_ - now);
  }
  // Walk from the oldest grant: what has expired does not count, and when enough of the rest will
  // have expired, the request fits.
  const uint32_t allowed = out.limit - permits;
  uint64_t fits_at = now;
  uint32_t chunk = live > 0 ? slot->first_chunk : kNoChunk;
  size_t at = live > 0 ? slot->first_entry : 0;
  const size_t num_entries = live > 0 ? slot->num_entries : 0;
  uint32_t left = live;  // of live, after those that expire by fits_at
  size_t n = 0;
  for (; n < num_entries; ++n, ++at) {
    if (at == kChunkEntries) {
      chunk = chunks_[chunk].next;
      at = 0;
    }
    const uint32_t entry = chunks_[chunk].entries[at];
    const uint64_t time = entry_time(entry, now);
    const bool gone = expired(time, now);
    if (gone) live -= entry_count(entry);
    if (!gone && left <= allowed) break;
    left -= entry_count(entry);
    if (!gone) fits_at = time + window_;
  }
  if (left > allowed) fits_at = slot->newest + window_;
  out.remaining = out.limit - live;
  out.retry_after = to_millis(fits_at - now);
  out.outcome = live <= allowed ? Admission::Outcome::kGranted : Admission::Outcome::kRefused;
  return out;
}

Admission Limiter::peek(const ClientKey& client, uint64_t hash, WallTime now,
                        uint32_t permits) const {
  const uint32_t asked = std::clamp(permits, uint32_t{1}, limit_.permits());
  return answer(find(client, hash), clock_.at(now), asked);
}

Admission Limiter::admit(const ClientKey& client, uint64_t hash, WallTime now, uint32_t permits) {
  const uint32_t asked = std::clamp(permits, uint32_t{1}, limit_.permits());
  const uint64_t time = clock_.advance(now);
  Slot* slot = find(client, hash);
  if (slot != nullptr) drop_expired(*slot, time);
  if (slot == nullptr) {
    slot = claim(client, hash, time);
  } else if (!slot->used()) {
    occupy(*slot, client);
  }
  Admission out;
  out.limit = limit_.permits();
  if (slot->live() + asked > out.limit) return answer(slot, time, asked);
  record(*slot, time, asked);
  out.outcome = Admission::Outcome::kGranted;
  out.remaining = out.limit - slot->live();
  out.reset_after = limit_.window;
  return out;
}

}  // namespace es::limit

#include "common/limit/limiter.h"

#include "tests/unit/common/limit/exact_model.h"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace es::limit {
namespace {

constexpr SipKey kSeed{0x0123456789abcdef, 0xfedcba9876543210};

ClientKey client(uint64_t n) { return {n, ClientKey::Kind::kIpv4}; }

// A limiter with its memory.
struct Table {
  explicit Table(const Limit& limit, size_t bytes = 64 * 1024)
      : memory(bytes), limiter(Limiter::create(limit, memory, kSeed)) {
    REQUIRE(limiter.ok());
  }
  Limiter* operator->() { return &limiter.value(); }

  std::vector<uint8_t> memory;
  Result<Limiter> limiter;
};

// Gaps between requests that look for trouble: bursts, the edges of the window, long silences.
uint64_t random_gap(std::mt19937_64& random, const Limit& limit) {
  const auto window = static_cast<uint64_t>(limit.window.count());
  switch (random() % 12) {
    case 0:
      return window;
    case 1:
      return window - 1;
    case 2:
      return window + random() % 3;
    case 3:
      return random() % (2 * window);
    case 4:
    case 5:
      return random() % (2 * window / limit.permits() + 2);
    case 6:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

TEST_CASE("the limiter answers exactly like a log of all grants") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Limit limits[] = {{100, Millis{60'000}, 20}, {1, Millis{1}, 0},   {1, Millis{1000}, 0},
                          {3, Millis{50}, 2},        {9, Millis{977}, 0}, {5, Millis{10}, 204},
                          {209, kMaxWindow, 0},      {1, Millis{7}, 208}, {60, Millis{10'000}, 8}};
  for (const Limit& limit : limits) {
    CAPTURE(limit.max_requests, limit.window.count(), limit.burst);
    Table table(limit);
    std::map<uint64_t, ExactModel> models;
    uint64_t now = 0;
    for (int i = 0; i < 20'000; ++i) {
      now += random_gap(random, limit);
      const uint64_t who = random() % 3 == 0 ? 0 : random() % 5;
      const auto asked =
          static_cast<uint32_t>(random() % 10 == 0 ? 1 + random() % limit.permits() : 1);
      const WallTime wall = wall_time_ms(kStart + static_cast<int64_t>(now));
      const Admission wanted = models.try_emplace(who, limit).first->second.admit(now, asked);
      const Admission peeked = table->peek(client(who), wall, asked);
      const Admission answer = table->admit(client(who), wall, asked);
      if (!(answer == wanted) || peeked.outcome != wanted.outcome ||
          peeked.retry_after != wanted.retry_after) {
        CAPTURE(i, who, asked, answer, wanted, peeked);
        FAIL("differs from the model");
      }
    }
    CHECK(table->stats().evicted_live == 0);
    CHECK(table->stats().coarsened == 0);
  }
}

TEST_CASE("peek says what is left without taking it") {
  Table table({2, Millis{100}, 1});
  const auto at = [](int64_t ms) { return wall_time_ms(kStart + ms); };
  const Admission before = table->peek(client(1), at(0));
  CHECK(before.granted());
  CHECK(before.remaining == 3);
  CHECK(before.reset_after == Millis{0});
  CHECK(table->admit(client(1), at(0)).granted());
  CHECK(table->admit(client(1), at(40), 2).granted());
  for (int i = 0; i < 3; ++i) {
    const Admission full = table->peek(client(1), at(60), 1);
    CHECK_FALSE(full.granted());
    CHECK(full.remaining == 0);
    CHECK(full.retry_after == Millis{40});
    CHECK(table->peek(client(1), at(60), 3).retry_after == Millis{80});
  }
  const Admission later = table->peek(client(1), at(100), 1);
  CHECK(later.granted());
  CHECK(later.remaining == 1);
  CHECK(later.reset_after == Millis{40});
}

TEST_CASE("a grant counts for exactly one window") {
  Table table({1, Millis{60'000}, 0});
  const auto at = [](int64_t ms) { return wall_time_ms(kStart + ms); };
  CHECK(table->admit(client(1), at(0)).granted());
  const Admission refused = table->admit(client(1), at(59'999));
  CHECK_FALSE(refused.granted());
  CHECK(refused.retry_after == Millis{1});
  CHECK(table->admit(client(1), at(60'000)).granted());
}

TEST_CASE("121 quick requests give 120 answers and then a refusal") {
  Table table(Limit{});
  const WallTime now = wall_time_ms(kStart);
  for (uint32_t i = 0; i < 120; ++i) {
    const Admission answer = table->admit(client(7), now);
    CHECK(answer.granted());
    CHECK(answer.remaining == 119 - i);
  }
  const Admission refused = table->admit(client(7), now);
  CHECK_FALSE(refused.granted());
  CHECK(refused.retry_after == Millis{60'000});
  CHECK(table->admit(client(8), now).granted());
}

TEST_CASE("both properties hold when grants are merged into batches") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Limit& limit : {Limit{1000, Millis{60'000}, 200}, Limit{1000, Millis{60'000}, 5},
                             Limit{2800, Millis{1'000}, 200}, Limit{205, Millis{500}, 5},
                             Limit{210, Millis{60'000}, 1}}) {
    CAPTURE(limit.max_requests, limit.window.count(), limit.burst);
    const auto window = static_cast<uint64_t>(limit.window.count());
    Table table(limit);
    WindowGuard guard(limit);
    uint64_t now = 0;
    const auto admit = [&] {
      const bool granted =
          table->admit(client(1), wall_time_ms(kStart + static_cast<int64_t>(now))).granted();
      if (granted) guard.granted(now);
      return granted;
    };
    for (int round = 0; round < 6; ++round) {
      // A: however it is hammered.
      for (int i = 0; i < 5'000; ++i) {
        now += random() % 4 == 0 ? random() % (window / limit.permits() * 2 + 2) : 0;
        admit();
      }
      // B: idle for a window, then everything at once.
      now += window;
      for (uint32_t i = 0; i < limit.permits(); ++i) REQUIRE(admit());
      REQUIRE_FALSE(admit());
      // B: never more than max_requests in a window, in any rhythm, is never refused.
      now += window;
      std::deque<uint64_t> sent;
      for (int i = 0; i < 8'000; ++i) {
        now += random() % 3 == 0 ? random() % (window / limit.max_requests * 3 + 2) : 0;
        while (!sent.empty() && now - sent.front() >= window) sent.pop_front();
        if (sent.size() == limit.max_requests) now = sent.front() + window;
        while (!sent.empty() && now - sent.front() >= window) sent.pop_front();
        sent.push_back(now);
        REQUIRE(admit());
      }
    }
    CHECK(guard.held());
    CHECK(table->stats().chunks_in_use <= 31);  // with the slot, 1 KiB
  }
}

TEST_CASE("a log never needs more than 1 KiB") {
  for (const Limit& limit : {Limit{}, Limit{209, Millis{60'000}, 0}, Limit{2500, Millis{9000}, 500},
                             Limit{1, Millis{60'000}, 2999}}) {
    CAPTURE(limit.max_requests, limit.burst);
    Table table(limit);
    size_t most = 0;
    for (int64_t i = 0; i < 20'000; ++i) {
      table->admit(client(1), wall_time_ms(kStart + i));
      most = std::max(most, table->stats().chunks_in_use);
    }
    CHECK(32 + 32 * most <= 1024);
  }
}

TEST_CASE("a wall clock that jumps back frees nobody and locks nobody longer than a window") {
  Table table({2, Millis{60'000}, 0});
  const auto at = [](int64_t ms) { return wall_time_ms(kStart + ms); };
  CHECK(table->admit(client(1), at(0)).granted());
  CHECK(table->admit(client(1), at(30'000)).granted());
  // An hour back: the clock goes on from there.
  CHECK(table->admit(client(1), at(-3'600'000)).retry_after == Millis{30'000});
  CHECK_FALSE(table->admit(client(1), at(-3'600'000 + 29'999)).granted());
  CHECK(table->admit(client(1), at(-3'600'000 + 30'000)).granted());
  CHECK_FALSE(table->admit(client(1), at(-3'600'000 + 59'999)).granted());
  CHECK(table->admit(client(1), at(-3'600'000 + 60'000)).granted());
}

TEST_CASE("times that arrive out of order do not make the clock run fast") {
  Table table({1, Millis{60'000}, 0});
  CHECK(table->admit(client(1), wall_time_ms(kStart)).granted());
  // Two callers whose readings of one clock differ by 900 ms take turns, for 50 s of real time.
  for (int64_t ms = 0; ms < 50'000; ms += 100) {
    CHECK_FALSE(table->admit(client(1), wall_time_ms(kStart + ms)).granted());
    CHECK_FALSE(table->admit(client(1), wall_time_ms(kStart + ms + 900)).granted());
  }
  CHECK(table->admit(client(1), wall_time_ms(kStart + 60'000)).granted());
}

TEST_CASE("the ends of the time range neither wrap nor free too much") {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  Table table({2, Millis{60'000}, 0});
  CHECK(table->admit(client(1), wall_time_ms(kMin)).granted());
  CHECK(table->admit(client(1), wall_time_ms(kMin + 1)).granted());
  CHECK_FALSE(table->admit(client(1), wall_time_ms(kMin + 2)).granted());
  CHECK(table->admit(client(1), wall_time_ms(kMax)).granted());
  CHECK(table->admit(client(1), wall_time_ms(kMin)).granted());
  CHECK_FALSE(table->admit(client(1), wall_time_ms(kMin)).granted());
  CHECK_FALSE(table->peek(client(1), wall_time_ms(kMin + 59'999)).granted());
  CHECK(table->peek(client(1), wall_time_ms(kMin + 60'000)).granted());
}

TEST_CASE("random jumps of the wall clock never let more than the limit through") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Limit limit{10, Millis{1'000}, 3};
  Table table(limit);
  WindowGuard guard(limit);  // on real time
  uint64_t real = 0;
  int64_t offset = 0;  // of the wall clock; only ever back, a jump forward looks like idleness
  for (int i = 0; i < 200'000; ++i) {
    real += random() % 3 == 0 ? random() % 60 : 0;
    if (random() % 500 == 0) offset -= static_cast<int64_t>(random() % 1'000'000'000);
    if (random() % 50 == 0) offset -= static_cast<int64_t>(random() % 20);
    const WallTime wall = wall_time_ms(kStart + static_cast<int64_t>(real) + offset);
    if (table->admit(client(1), wall).granted()) guard.granted(real);
  }
  CHECK(guard.held());
  CHECK(guard.most() == limit.permits());
}

TEST_CASE("grants of 150 years ago do not come back when times wrap") {
  // Entries hold 27 bits of time; this walks past many multiples of that, sparsely and densely.
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Limit limit{20, kMaxWindow, 5};
  Table table(limit);
  ExactModel model(limit);
  uint64_t now = 0;
  for (int i = 0; i < 50'000; ++i) {
    now += random() % 20 == 0 ? random() % ForwardClock::kMaxStep : random() % 3'000'000;
    const Admission wanted = model.admit(now);
    const Admission answer =
        table->admit(client(1), wall_time_ms(kStart + static_cast<int64_t>(now)));
    if (!(answer == wanted)) {
      CAPTURE(i, answer, wanted);
      FAIL("differs from the model");
    }
  }
}

TEST_CASE("a client over its limit that keeps sending stays refused while a flood passes") {
  Table table(Limit{}, 1 << 19);  // 8 thousand slots; tests/bench has the million
  uint64_t over_limit_granted = 0;
  WindowGuard guard{Limit{}};
  for (uint64_t i = 0; i < 300'000; ++i) {
    const uint64_t ms = i / 15;  // 20 s in all: within one window
    const WallTime now = wall_time_ms(kStart + static_cast<int64_t>(ms));
    table->admit(client(1'000'000 + i), now);
    if (i % 10 == 0 && table->admit(client(1), now).granted()) {
      ++over_limit_granted;
      guard.granted(ms);
    }
  }
  CHECK(over_limit_granted == 120);
  CHECK(guard.held());
  CHECK(table->stats().evicted_live > 280'000);
}

TEST_CASE("a flood takes the place of expired clients before that of live ones") {
  Table table({10, Millis{1'000}, 0}, 64 * 1024);
  const size_t clients = table->stats().max_clients;
  for (uint64_t i = 0; i < clients; ++i) table->admit(client(i), wall_time_ms(kStart));
  const uint64_t evicted = table->stats().evicted_live;
  // Balanced over two sets each, a table as full as this loses few.
  CHECK(evicted < clients / 8);
  for (uint64_t i = 0; i < clients / 2; ++i) {
    table->admit(client(1'000'000 + i), wall_time_ms(kStart + 1'000));
  }
  CHECK(table->stats().evicted_live == evicted);
}

TEST_CASE("an empty pool makes logs coarser, but both properties hold") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  // 64 slots and 64 chunks for 24 clients, each of which would like 18 chunks.
  const Limit limit{100, Millis{60'000}, 20};
  Table table(limit, Limiter::kMinMemory + 64);
  constexpr uint64_t kClients = 24;
  std::vector<WindowGuard> guards(kClients, WindowGuard(limit));
  uint64_t now = 0;
  for (int i = 0; i < 60'000; ++i) {
    now += random() % 40;
    const uint64_t who = random() % kClients;
    if (table->admit(client(who), wall_time_ms(kStart + static_cast<int64_t>(now))).granted()) {
      guards[who].granted(now);
    }
  }
  CHECK(table->stats().coarsened > 0);
  CHECK(table->stats().chunks_in_use <= table->stats().max_chunks);
  for (const WindowGuard& guard : guards) CHECK(guard.held());
  // B: steady clients under the same pressure.
  now += 60'000;
  for (int i = 0; i < 600 * static_cast<int>(kClients); ++i) {
    if (i % static_cast<int>(kClients) == 0) now += 600;
    const auto who = static_cast<uint64_t>(i) % kClients;
    REQUIRE(table->admit(client(who), wall_time_ms(kStart + static_cast<int64_t>(now))).granted());
  }
  now += 60'000;
  for (uint32_t i = 0; i < limit.permits(); ++i) {
    REQUIRE(table->admit(client(3), wall_time_ms(kStart + static_cast<int64_t>(now))).granted());
  }
  CHECK(table->stats().evicted_live == 0);
}

TEST_CASE("many random clients in a small table keep the chunk pool sound") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Table table({6, Millis{300}, 30}, 8'192);
  uint64_t now = 0;
  for (int i = 0; i < 300'000; ++i) {
    now += random() % 8 == 0 ? random() % 20 : 0;
    const uint64_t who = random() % (1 + random() % 400);
    table->admit(client(who), wall_time_ms(kStart + static_cast<int64_t>(now)),
                 static_cast<uint32_t>(1 + random() % 2));
  }
  CHECK(table->stats().chunks_in_use <= table->stats().max_chunks);
  // All expired: claiming every slot anew gives every chunk back.
  now += 300;
  for (uint64_t i = 0; i < 20'000; ++i) {
    table->admit(client(1'000'000 + i), wall_time_ms(kStart + static_cast<int64_t>(now)));
  }
  CHECK(table->stats().chunks_in_use == 0);
}

TEST_CASE("the kinds of client do not mix") {
  Table table({1, Millis{1'000}, 0});
  const WallTime now = wall_time_ms(kStart);
  CHECK(table->admit({0, ClientKey::Kind::kIpv4}, now).granted());
  CHECK(table->admit({0, ClientKey::Kind::kIpv6}, now).granted());
  CHECK(table->admit(kUnknownClient, now).granted());
  CHECK_FALSE(table->admit(kUnknownClient, now).granted());
}

TEST_CASE("a limit that could not keep its promises is refused with the reason") {
  const auto error = [](const Limit& limit) {
    const Status status = validate_limit(limit);
    return status.ok() ? std::string("ok") : std::string(status.error().what);
  };
  CHECK(error(Limit{}) == "ok");
  CHECK(error({209, Millis{1}, 0}) == "ok");
  CHECK(error({2800, kMaxWindow, 200}) == "ok");
  CHECK(error({0, Millis{1000}, 20}).find("max_requests") != std::string::npos);
  CHECK(error({1, Millis{0}, 20}).find("at least 1 ms") != std::string::npos);
  CHECK(error({1, Millis{-5}, 20}).find("at least 1 ms") != std::string::npos);
  CHECK(error({1, kMaxWindow + Millis{1}, 20}).find("12 hours") != std::string::npos);
  CHECK(error({2900, Millis{1000}, 101}).find("at most 3000") != std::string::npos);
  CHECK(error({0xffffffff, Millis{1000}, 2}).find("at most 3000") != std::string::npos);
  CHECK(error({1, Millis{1000}, 0xffffffff}).find("at most 3000") != std::string::npos);
  CHECK(error({210, Millis{1000}, 0}).find("raise burst") != std::string::npos);
  CHECK(error({1000, Millis{1000}, 3}).find("raise burst") != std::string::npos);
  std::vector<uint8_t> small(Limiter::kMinMemory - 1);
  CHECK_FALSE(Limiter::create(Limit{}, small, kSeed).ok());
}

TEST_CASE("memory may start at any address") {
  std::vector<uint8_t> memory(Limiter::kMinMemory + 64);
  for (size_t skip = 0; skip < 64; skip += 7) {
    std::fill(memory.begin(), memory.end(), uint8_t{0});
    auto limiter =
        Limiter::create({1, Millis{1'000}, 0}, MutableBytes(memory).subspan(skip), kSeed);
    REQUIRE(limiter.ok());
    for (uint64_t i = 0; i < 500; ++i) {
      CHECK(limiter->admit(client(i), wall_time_ms(kStart)).granted());
    }
  }
}

}  // namespace es::limit

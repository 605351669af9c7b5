// Isolates and the authority together, in a simulated world with one real clock, private offsets,
// network delays, lost messages and restarts.
#include "common/limit/lease.h"

#include "common/limit/lease_authority.h"
#include "tests/unit/common/limit/exact_model.h"

#include <catch2/catch.hpp>

#include <map>
#include <optional>
#include <random>
#include <vector>

namespace es::limit {
namespace {

using Outcome = LeaseDecision::Outcome;

constexpr ClientKey kClient{0xc0000201, ClientKey::Kind::kIpv4};

struct Isolate {
  Isolate(const Limit& limit, uint64_t n, int64_t offset_ms)
      : memory(LeaseTable::kMinMemory),
        table(LeaseTable::create(limit, memory, SipKey{n, ~n})),
        offset(offset_ms) {
    REQUIRE(table.ok());
  }
  WallTime wall(int64_t real) const { return wall_time_ms(kStart + real + offset); }

  std::vector<uint8_t> memory;
  Result<LeaseTable> table;
  int64_t offset;            // of its wall clock
  std::vector<int> waiting;  // for each request that waits for the answer, the asks it saw
};

struct World {
  World(const Limit& l, const LeaseTerms& t, size_t num_isolates, uint64_t seed)
      : limit(l),
        terms(t),
        random(seed),
        authority(LeaseAuthority::fresh(l, t, wall_time_ms(kStart))),
        guard(l) {
    REQUIRE(authority.ok());
    for (size_t i = 0; i < num_isolates; ++i) {
      isolates.emplace_back(l, i + 1, static_cast<int64_t>(random() % 7'200'000) - 3'600'000);
    }
  }

  // A message or a waiting event in flight.
  struct Flight {
    enum class Kind { kRequest, kReply, kTimeout } kind;
    size_t isolate;
    std::vector<uint8_t> bytes;
    uint32_t nonce = 0;  // of the ask that timed out
  };

  int64_t delay() { return static_cast<int64_t>(random() % static_cast<uint64_t>(max_delay + 1)); }
  bool lost() { return loss_per_mille > 0 && random() % 1000 < loss_per_mille; }

  // Everything that arrives by `time`, in order.
  void run_until(int64_t time) {
    while (!flights.empty() && flights.begin()->first <= time) {
      const auto [at, flight] = *flights.begin();
      flights.erase(flights.begin());
      now = at;
      arrive(flight);
    }
    now = time;
  }

  void arrive(const Flight& flight) {
    Isolate& isolate = isolates[flight.isolate];
    switch (flight.kind) {
      case Flight::Kind::kRequest: {
        ++calls;
        const auto request = decode_lease_request(flight.bytes);
        REQUIRE(request.ok());
        const LeaseReply reply = authority->handle(*request, authority_wall());
        if (lost()) return;
        const auto bytes = encode(reply);
        flights.emplace(now + delay(),
                        Flight{Flight::Kind::kReply, flight.isolate, {bytes.begin(), bytes.end()}});
        return;
      }
      case Flight::Kind::kReply:
        (void)isolate.table->on_reply(kClient, isolate.wall(now), flight.bytes);
        wake(flight.isolate);
        return;
      case Flight::Kind::kTimeout:
        isolate.table->on_failure(kClient, flight.nonce);
        wake(flight.isolate);
    }
  }

  void wake(size_t i) {
    std::vector<int> woken;
    woken.swap(isolates[i].waiting);
    for (const int asks_seen : woken) send(i, asks_seen);
  }

  // One request of the client at isolate i, at this moment. Its outcome may come later.
  // A request that saw three asks without a permit gives up, as the gate does.
  void send(size_t i, int asks_seen = 0) {
    Isolate& isolate = isolates[i];
    const LeaseDecision decision = isolate.table->take(kClient, isolate.wall(now));
    switch (decision.outcome) {
      case Outcome::kGranted:
        ++granted;
        guard.granted(static_cast<uint64_t>(now));
        return;
      case Outcome::kRefused:
        ++refused;
        return;
      case Outcome::kWait:
        isolate.waiting.push_back(asks_seen + 1);
        return;
      case Outcome::kAsk: {
        if (asks_seen >= 3) {
          ++gave_up;
          return;
        }
        isolate.waiting.push_back(asks_seen + 1);
        const auto [bytes, nonce] = isolate.table->ask(
            kClient, isolate.wall(now), static_cast<uint32_t>(isolate.waiting.size()));
        ++asks;
        if (!lost()) {
          flights.emplace(now + delay(),
                          Flight{Flight::Kind::kRequest, i, {bytes.begin(), bytes.end()}});
        }
        if (loss_per_mille > 0) {
          flights.emplace(now + 300, Flight{Flight::Kind::kTimeout, i, {}, nonce});
        }
      }
    }
  }

  WallTime authority_wall() const { return wall_time_ms(kStart + now); }

  // The Durable Object is evicted and comes back from its storage.
  void restart_authority() {
    std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
    ByteWriter out(buffer);
    authority->save(out);
    REQUIRE(out.ok());
    auto loaded = LeaseAuthority::load(limit, terms, authority_wall(), out.written());
    REQUIRE(loaded.ok());
    *authority = *loaded;
  }

  Limit limit;
  LeaseTerms terms;
  std::mt19937_64 random;
  Result<LeaseAuthority> authority;
  WindowGuard guard;
  std::vector<Isolate> isolates;
  std::multimap<int64_t, Flight> flights;
  int64_t now = 0;
  int64_t max_delay = 0;
  uint64_t loss_per_mille = 0;
  uint64_t granted = 0, refused = 0, gave_up = 0, asks = 0, calls = 0;
};

}  // namespace

TEST_CASE("over all isolates together no window ever holds more than the limit") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  uint64_t total_granted = 0;
  for (int round = 0; round < 18; ++round) {
    const Limit limit = round % 3 == 0   ? Limit{100, Millis{60'000}, 20}
                        : round % 3 == 1 ? Limit{10, Millis{5'000}, 10}
                                         : Limit{30, Millis{20'000}, 0};
    const LeaseTerms terms{Millis{round % 2 == 0 ? 15'000 : 1'000},
                           static_cast<uint32_t>(1 + random() % 20)};
    World world(limit, terms, 1 + random() % 40, random());
    world.max_delay = static_cast<int64_t>(random() % 3'000);
    world.loss_per_mille = round % 4 == 0 ? 0 : random() % 400;
    CAPTURE(round, world.max_delay, world.loss_per_mille, world.isolates.size());
    int64_t time = 0;
    for (int i = 0; i < 2'000; ++i) {
      const uint64_t pick = random() % 100;
      time += pick < 60   ? 0
              : pick < 90 ? static_cast<int64_t>(random() % 100)
              : pick < 99 ? static_cast<int64_t>(random() % 3'000)
                          : static_cast<int64_t>(random() % 90'000);
      world.run_until(time);
      if (random() % 200 == 0) world.restart_authority();
      // The isolates' clocks are stepped back now and then, a little or a lot.
      if (random() % 300 == 0) {
        world.isolates[random() % world.isolates.size()].offset -=
            static_cast<int64_t>(random() % 2 == 0 ? random() % 300 : random() % 1'000'000);
      }
      world.send(random() % world.isolates.size());
    }
    world.run_until(time + 100'000);
    CHECK(world.guard.held());
    total_granted += world.granted;
  }
  CHECK(total_granted > 1'000);
}

TEST_CASE("with one isolate a client idle for a window gets everything at once") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  for (const int64_t max_delay : {int64_t{0}, int64_t{80}}) {
    World world({100, Millis{60'000}, 20}, {}, 1, seed);
    world.max_delay = max_delay;
    int64_t time = 0;
    for (int round = 0; round < 20; ++round) {
      const uint64_t before = world.granted;
      for (int i = 0; i < 121; ++i) {
        world.send(0);
        world.run_until(time += max_delay * 2);
      }
      world.run_until(time += 20 * max_delay);
      CHECK(world.granted - before == 120);
      // Idle since the last answer: a window, and what the network may have added to the report.
      time += 60'000 + 2 * max_delay + static_cast<int64_t>(world.random() % 3) * 1'000;
      world.run_until(time);
    }
    CHECK(world.guard.held());
    CHECK(world.guard.most() == 120);
  }
}

TEST_CASE("a steady client is never refused and costs at most one call for every ten requests") {
  const uint64_t seed = fresh_seed();
  CAPTURE(seed);
  for (const int64_t max_delay : {int64_t{0}, int64_t{50}, int64_t{250}}) {
    CAPTURE(max_delay);
    // Even: one every 600 ms.
    World even({100, Millis{60'000}, 20}, {}, 1, seed);
    even.max_delay = max_delay;
    for (int64_t i = 0; i < 3'000; ++i) {
      even.run_until(i * 600);
      even.send(0);
    }
    even.run_until(3'000 * 600 + 10'000);
    CHECK(even.refused == 0);
    CHECK(even.granted == 3'000);
    CHECK(even.asks * 10 <= even.granted);

    // In any rhythm with at most 100 in a window.
    World random_rhythm({100, Millis{60'000}, 20}, {}, 1, seed + 1);
    random_rhythm.max_delay = max_delay;
    std::deque<int64_t> sent;
    int64_t time = 0;
    for (int i = 0; i < 5'000; ++i) {
      time += random_rhythm.random() % 3 == 0 ? static_cast<int64_t>(random_rhythm.random() % 3'000)
                                              : 0;
      while (!sent.empty() && time - sent.front() >= 60'000) sent.pop_front();
      // Delay moves requests: 2 * max_delay is the most by which a grant can come late.
      if (sent.size() == 100) time = sent.front() + 60'000 + 4 * max_delay;
      while (!sent.empty() && time - sent.front() >= 60'000) sent.pop_front();
      sent.push_back(time);
      random_rhythm.run_until(time);
      random_rhythm.send(0);
    }
    random_rhythm.run_until(time + 10'000);
    CHECK(random_rhythm.refused == 0);
  }
}

TEST_CASE("after a refusal the isolate refuses without a call until the time it was told") {
  World world({5, Millis{10'000}, 0}, {Millis{1'000}, 1}, 1, 1);
  for (int i = 0; i < 6; ++i) world.send(0), world.run_until(0);
  CHECK(world.granted == 5);
  CHECK(world.refused == 1);
  const uint64_t calls = world.calls;
  for (int64_t ms = 1; ms < 10'000; ms += 13) {
    world.run_until(ms);
    const auto decision = world.isolates[0].table->take(kClient, world.isolates[0].wall(ms));
    REQUIRE(decision.outcome == Outcome::kRefused);
    REQUIRE(decision.retry_after == Millis{10'000 - ms});
    REQUIRE(decision.reset_after == Millis{10'000 - ms});
    REQUIRE(decision.limit == 5);
  }
  CHECK(world.calls == calls);
  world.run_until(10'000);
  world.send(0);
  world.run_until(10'000);
  CHECK(world.granted == 6);
}

TEST_CASE("requests that come while an ask is out wait for it, and a lost one times out") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  CHECK(table.take(kClient, wall(0)).outcome == Outcome::kAsk);
  CHECK(table.take(kClient, wall(0)).outcome == Outcome::kAsk);  // nobody has asked yet
  const auto first = decode_lease_request(table.ask(kClient, wall(0)).message);
  CHECK(table.take(kClient, wall(1)).outcome == Outcome::kWait);
  CHECK(table.take(kClient, wall(4'999)).outcome == Outcome::kWait);
  CHECK(table.take(kClient, wall(5'000)).outcome == Outcome::kAsk);
  const auto second = decode_lease_request(table.ask(kClient, wall(5'000)).message);
  // The first answer comes after all: its lease is not ours any more.
  const LeaseReply late = world.authority->handle(*first, wall_time_ms(kStart + 5'001));
  CHECK_FALSE(table.on_reply(kClient, wall(5'001), encode(late)).ok());
  CHECK(table.take(kClient, wall(5'001)).outcome == Outcome::kWait);
  const LeaseReply reply = world.authority->handle(*second, wall_time_ms(kStart + 5'002));
  CHECK(table.on_reply(kClient, wall(5'002), encode(reply)).ok());
  CHECK(table.take(kClient, wall(5'002)).outcome == Outcome::kGranted);
  // The same answer again brings nothing.
  CHECK_FALSE(table.on_reply(kClient, wall(5'003), encode(reply)).ok());
}

TEST_CASE("a reply of garbage ends the waiting and grants nothing") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const WallTime wall = world.isolates[0].wall(0);
  const uint32_t nonce = table.ask(kClient, wall).nonce;
  CHECK_FALSE(table.on_reply(kClient, wall, as_bytes("garbage")).ok());
  table.on_failure(kClient, nonce);
  CHECK(table.take(kClient, wall).outcome == Outcome::kAsk);
}

TEST_CASE("the failure of an old ask leaves a newer one alone") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  const uint32_t first = table.ask(kClient, wall(0)).nonce;
  const auto second = table.ask(kClient, wall(5'000));
  CHECK(first != second.nonce);
  table.on_failure(kClient, first);
  CHECK(table.take(kClient, wall(5'001)).outcome == Outcome::kWait);
  const auto request = decode_lease_request(second.message);
  CHECK(request->nonce == second.nonce);
  const LeaseReply reply = world.authority->handle(*request, wall_time_ms(kStart + 5'002));
  CHECK(table.on_reply(kClient, wall(5'002), encode(reply)).ok());
  CHECK(table.take(kClient, wall(5'002)).outcome == Outcome::kGranted);
}

TEST_CASE("what was granted without a lease is reported once, and the authority counts it") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  const uint32_t lost = table.ask(kClient, wall(0)).nonce;
  table.on_failure(kClient, lost);
  for (int64_t i = 0; i < 100; ++i) {
    CHECK(table.take(kClient, wall(i)).outcome == Outcome::kAsk);
    table.note_unleased(kClient);
  }
  const auto ask = table.ask(kClient, wall(1'000));
  const auto request = decode_lease_request(ask.message);
  CHECK(request->unleased == 100);
  CHECK(request->unleased_age_ms == 901);
  const LeaseReply reply = world.authority->handle(*request, wall_time_ms(kStart + 1'010));
  CHECK(reply.permits + reply.remaining == 20);
  CHECK(world.authority->counted(wall_time_ms(kStart + 1'010)) == 100U + reply.permits);
  REQUIRE(table.on_reply(kClient, wall(1'020), encode(reply)).ok());
  // Not again, and one that came while the report was under way is in the next.
  CHECK(decode_lease_request(table.ask(kClient, wall(2'000)).message)->unleased == 0);
}

TEST_CASE("a grant without a lease that comes after the report left is in the next one") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  table.on_failure(kClient, table.ask(kClient, wall(0)).nonce);
  (void)table.take(kClient, wall(1));
  table.note_unleased(kClient);
  const auto request = decode_lease_request(table.ask(kClient, wall(2)).message);
  CHECK(request->unleased == 1);
  (void)table.take(kClient, wall(3));
  table.note_unleased(kClient);
  const LeaseReply reply = world.authority->handle(*request, wall_time_ms(kStart + 4));
  REQUIRE(table.on_reply(kClient, wall(4), encode(reply)).ok());
  CHECK(decode_lease_request(table.ask(kClient, wall(5)).message)->unleased == 1);
}

TEST_CASE("an authority that hears of far too many grants lends nothing and can still be saved") {
  auto authority = LeaseAuthority::fresh({}, {}, wall_time_ms(kStart));
  for (uint32_t i = 0; i < 2 * LeaseAuthority::kMaxUses; ++i) {
    const LeaseReply reply = authority->handle(
        {.nonce = i, .unleased_age_ms = i, .unleased = 3'000}, wall_time_ms(kStart + 1'000));
    CHECK_FALSE(reply.granted());
  }
  std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
  ByteWriter out(buffer);
  authority->save(out);
  auto loaded = LeaseAuthority::load({}, {}, wall_time_ms(kStart + 1'000), out.written());
  REQUIRE(loaded.ok());
  CHECK_FALSE(loaded->handle({.nonce = 1}, wall_time_ms(kStart + 1'000)).granted());
}

TEST_CASE("a lease ends with its time, counted from when it was asked for") {
  World world(Limit{}, {Millis{15'000}, 20}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  const auto request = decode_lease_request(table.ask(kClient, wall(0)).message);
  const LeaseReply reply = world.authority->handle(*request, wall_time_ms(kStart + 2'000));
  CHECK(reply.permits == 11);
  CHECK(table.on_reply(kClient, wall(4'000), encode(reply)).ok());
  CHECK(table.take(kClient, wall(14'999)).outcome == Outcome::kGranted);
  CHECK(table.take(kClient, wall(15'000)).outcome == Outcome::kAsk);
  // The report says one used, 5 s ago at 20 s.
  const auto report = decode_lease_request(table.ask(kClient, wall(20'000)).message);
  CHECK(report->previous_id == reply.lease_id);
  CHECK(report->previous_used == 1);
  CHECK(report->last_use_age_ms == 5'001);
}

TEST_CASE("a clock that jumps back voids the leases of its isolate") {
  World world(Limit{}, {}, 1, 1);
  LeaseTable& table = *world.isolates[0].table;
  const auto wall = [&](int64_t ms) { return world.isolates[0].wall(ms); };
  const auto request = decode_lease_request(table.ask(kClient, wall(0)).message);
  const LeaseReply reply = world.authority->handle(*request, wall_time_ms(kStart));
  REQUIRE(table.on_reply(kClient, wall(0), encode(reply)).ok());
  CHECK(table.take(kClient, wall(10)).outcome == Outcome::kGranted);
  CHECK(table.take(kClient, wall(-5'000)).outcome == Outcome::kAsk);
  CHECK(decode_lease_request(table.ask(kClient, wall(-5'000)).message)->previous_id == 0);
}

TEST_CASE("the authority counts a lease in full until its last possible use is a window old") {
  const Limit limit{100, Millis{60'000}, 20};
  auto authority = LeaseAuthority::fresh(limit, {Millis{15'000}, 20}, wall_time_ms(kStart));
  REQUIRE(authority.ok());
  const auto at = [](int64_t ms) { return wall_time_ms(kStart + ms); };
  const LeaseReply lease = authority->handle({1, 0, 0, 0, 1}, at(0));
  CHECK(lease.permits == 11);
  CHECK(lease.remaining == 109);
  const int64_t end = 15'000 + kLeaseSlack.count() + 60'000;
  CHECK(authority->counted(at(end - 1)) == 11);
  CHECK(authority->counted(at(end)) == 0);
}

TEST_CASE("a report cannot date a use before its lease or free more than the lease had") {
  const Limit limit{100, Millis{60'000}, 20};
  const auto at = [](int64_t ms) { return wall_time_ms(kStart + ms); };
  auto authority = LeaseAuthority::fresh(limit, {}, at(0));
  const LeaseReply lease = authority->handle({1, 0, 0, 0, 1}, at(0));
  // Claims that the last use was an hour ago: it counts from the lease's start at the earliest.
  const LeaseReply next = authority->handle({2, lease.lease_id, 65'535, 3'600'000, 1}, at(5'000));
  CHECK(authority->counted(at(5'000)) == 11U + next.permits);
  CHECK(authority->counted(at(59'999)) == 11U + next.permits);
  CHECK(authority->counted(at(60'000)) == next.permits);
  // The same report again changes nothing.
  const LeaseReply again = authority->handle({3, lease.lease_id, 0, 0, 1}, at(60'001));
  CHECK(authority->counted(at(60'001)) == uint32_t{next.permits} + again.permits);
}

TEST_CASE("while others hold leases one takes at most half of what is left") {
  const Limit limit{10, Millis{60'000}, 10};
  auto authority = LeaseAuthority::fresh(limit, {}, wall_time_ms(kStart));
  std::vector<int> sizes;
  for (uint32_t n = 1;; ++n) {
    const LeaseReply reply = authority->handle({n, 0, 0, 0, 1}, wall_time_ms(kStart));
    if (!reply.granted()) {
      CHECK(reply.retry_after_ms == 60'000);  // the others may report earlier; ask again then
      break;
    }
    sizes.push_back(reply.permits);
  }
  CHECK(sizes == std::vector<int>{6, 6, 5, 2, 1});
}

TEST_CASE("more isolates than the authority can list only make it count longer") {
  const Limit limit{2'000, Millis{60'000}, 400};
  auto authority = LeaseAuthority::fresh(limit, {Millis{15'000}, 1}, wall_time_ms(kStart));
  uint32_t total = 0;
  for (uint32_t n = 1; n <= 500; ++n) {
    const LeaseReply reply =
        authority->handle({n, 0, 0, 0, 1}, wall_time_ms(kStart + static_cast<int64_t>(n)));
    total += reply.permits;
    REQUIRE(authority->counted(wall_time_ms(kStart + static_cast<int64_t>(n))) == total);
  }
  CHECK(total == 500);
  std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
  ByteWriter out(buffer);
  authority->save(out);
  REQUIRE(out.ok());
  CHECK(out.written().size() == LeaseAuthority::kMaxSavedLen);
  CHECK(LeaseAuthority::load(limit, {}, wall_time_ms(kStart + 500), out.written())
            ->counted(wall_time_ms(kStart + 500)) == total);
  CHECK(authority->counted(wall_time_ms(kStart + 500 + 15'000 + 2'000 + 60'000)) == 0);
}

TEST_CASE("a saved state of any other length or with impossible fields is refused") {
  const Limit limit;
  auto authority = LeaseAuthority::fresh(limit, {}, wall_time_ms(kStart));
  const LeaseReply lease = authority->handle({1, 0, 0, 0, 1}, wall_time_ms(kStart));
  (void)authority->handle({2, lease.lease_id, 4, 0, 1}, wall_time_ms(kStart + 5));
  std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
  ByteWriter out(buffer);
  authority->save(out);
  const Bytes saved = out.written();
  REQUIRE(saved.size() == 40 + 20 + 12);
  const auto loads = [&](Bytes bytes) {
    return LeaseAuthority::load(limit, {}, wall_time_ms(kStart + 10), bytes).ok();
  };
  CHECK(loads(saved));
  for (size_t len = 0; len < saved.size(); ++len) CHECK_FALSE(loads(saved.first(len)));
  for (const size_t at : {0U, 1U, 2U, 3U, 4U, 32U}) {
    std::vector<uint8_t> bytes(saved.begin(), saved.end());
    bytes[at] ^= 0x40;
    CAPTURE(at);
    CHECK_FALSE(loads(bytes));
  }
}

TEST_CASE("a state that was lost starts with ids that no old report names") {
  auto first = LeaseAuthority::fresh({}, {}, wall_time_ms(kStart));
  uint64_t last = 0;
  for (uint32_t n = 0; n < 10; ++n) {
    last = std::max(last, first->handle({1, 0, 0, 0, 1}, wall_time_ms(kStart)).lease_id);
  }
  auto second = LeaseAuthority::fresh({}, {}, wall_time_ms(kStart + 1));
  CHECK(second->handle({1, 0, 0, 0, 1}, wall_time_ms(kStart + 1)).lease_id > last);
}

TEST_CASE("lease terms out of range are refused") {
  const WallTime now = wall_time_ms(kStart);
  CHECK_FALSE(LeaseAuthority::fresh({}, {Millis{99}, 20}, now).ok());
  CHECK_FALSE(LeaseAuthority::fresh({}, {Millis{300'001}, 20}, now).ok());
  CHECK_FALSE(LeaseAuthority::fresh({}, {Millis{15'000}, 0}, now).ok());
  CHECK_FALSE(LeaseAuthority::fresh({}, {Millis{15'000}, 1'001}, now).ok());
  CHECK_FALSE(LeaseAuthority::fresh({0, Millis{1}, 0}, {}, now).ok());
  std::vector<uint8_t> small(LeaseTable::kMinMemory - 1);
  CHECK_FALSE(LeaseTable::create({}, small, {}).ok());
}

TEST_CASE("a flood of clients does not push out one that is being refused") {
  std::vector<uint8_t> memory(64 * 1024);
  auto table = LeaseTable::create({}, memory, {1, 2});
  const WallTime now = wall_time_ms(kStart);
  const auto request = decode_lease_request(table->ask(kClient, now).message);
  REQUIRE(
      table->on_reply(kClient, now, encode(LeaseReply{request->nonce, 0, 0, 0, 30'000, 0, 60'000}))
          .ok());
  for (uint64_t i = 0; i < 100'000; ++i) {
    (void)table->ask({i, ClientKey::Kind::kIpv6}, now);
    if (i % 1'000 == 0) REQUIRE(table->take(kClient, now).outcome == Outcome::kRefused);
  }
}

}  // namespace es::limit

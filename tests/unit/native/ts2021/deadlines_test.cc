#include "native/ts2021/deadlines.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using es::Millis;
using es::ts2021::Deadlines;

TEST_CASE("an alarm rings once for each time that it is set") {
  Deadlines deadlines;
  int rings = 0;
  const auto alarm = deadlines.add([&] { ++rings; });
  deadlines.tick(Millis(1000));
  CHECK(rings == 0);
  alarm->set(Millis(2000));
  deadlines.tick(Millis(1999));
  CHECK(rings == 0);
  deadlines.tick(Millis(2000));
  CHECK(rings == 1);
  deadlines.tick(Millis(9000));
  CHECK(rings == 1);
  alarm->set(Millis(500));  // long over
  deadlines.tick(Millis(9000));
  CHECK(rings == 2);
}

TEST_CASE("the time that was set last counts, earlier or later") {
  Deadlines deadlines;
  int rings = 0;
  const auto alarm = deadlines.add([&] { ++rings; });
  alarm->set(Millis(1000));
  alarm->set(Millis(3000));
  deadlines.tick(Millis(1500));
  CHECK(rings == 0);
  alarm->set(Millis(2000));
  deadlines.tick(Millis(2000));
  CHECK(rings == 1);
  alarm->set(Millis(4000));
  alarm->set(Millis::max());
  deadlines.tick(Millis(5000));
  CHECK(rings == 1);
}

TEST_CASE("an alarm may be set again, and another may end, while it rings") {
  Deadlines deadlines;
  std::shared_ptr<Deadlines::Alarm> first;
  std::shared_ptr<Deadlines::Alarm> second;
  int rings = 0;
  first = deadlines.add([&] {
    ++rings;
    second.reset();
    first->set(Millis(2000));
  });
  second = deadlines.add([&] { first->set(Millis::max()); });
  first->set(Millis(1000));
  second->set(Millis(1500));
  deadlines.tick(Millis(1000));
  CHECK(rings == 1);
  CHECK(second == nullptr);
  deadlines.tick(Millis(2000));
  CHECK(rings == 2);
}

TEST_CASE("alarms that other threads set, move and end are each heard") {
  constexpr int kRounds = 3000;
  Deadlines deadlines;
  std::atomic<int> left{0};
  std::atomic<bool> lost{false};
  std::vector<std::thread> threads;
  std::atomic<int64_t> now{1};
  for (int t = 0; t < 3; ++t) {
    ++left;
    threads.emplace_back([&, t] {
      const auto rings = std::make_shared<std::atomic<int>>(0);  // it may ring while it ends
      auto alarm = deadlines.add([rings] { ++*rings; });
      for (int i = 1; i <= kRounds && !lost; ++i) {
        // Away, then back: what the ticking thread does in between must not swallow it.
        alarm->set(Millis(now + 1000));
        alarm->set(Millis(now + (i + t) % 3));
        const int64_t began = now;
        while (*rings < i && !lost) {
          std::this_thread::yield();
          if (now - began > 1'000'000) lost = true;
        }
      }
      alarm.reset();
      --left;
    });
  }
  while (left > 0) deadlines.tick(Millis(++now));
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(lost);
}

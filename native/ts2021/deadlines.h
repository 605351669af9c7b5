// What wakes control connections when their time is over.
//
// A connection that waits for its client's bytes does nothing by itself, and one whose client sends
// a byte now and then is never idle: so a clock of the server looks after all of them.
// Threads: any. Lifetime: outlives the connections.
#pragma once

#include "common/base/time.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace es::ts2021 {

class Deadlines {
 public:
  // One connection's; deadlines are monotonic, Millis::max() is none.
  class Alarm {
   public:
    void set(Millis at) { at_.store(at, std::memory_order_relaxed); }

   private:
    friend class Deadlines;
    std::atomic<Millis> at_{Millis::max()};
    std::function<void()> ring_;
  };

  // `ring` is called by tick() when the alarm's time has come, once for each time that it is set.
  // The alarm ends with its last copy.
  std::shared_ptr<Alarm> add(std::function<void()> ring);
  // A second late costs nobody much: call it about twice a second.
  void tick(Millis now);

 private:
  std::mutex mutex_;
  std::unordered_map<const Alarm*, std::weak_ptr<Alarm>> alarms_;
};

}  // namespace es::ts2021

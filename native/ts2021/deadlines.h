// What wakes connections when their time is over.
//
// A connection that waits for its client's bytes does nothing by itself, and one whose client sends
// a byte now and then is never idle: so a clock of the server looks after all of them. A tick costs
// what is due, and a deadline that moves away costs a store.
// Threads: any. Lifetime: outlives the alarms.
#pragma once

#include "common/base/time.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace es::ts2021 {

class Deadlines {
 public:
  // One connection's; deadlines are on the clock of tick(), Millis::max() is none.
  class Alarm : public std::enable_shared_from_this<Alarm> {
   public:
    void set(Millis at);

   private:
    friend class Deadlines;
    Alarm(Deadlines& owner, std::function<void()> ring) : owner_(owner), ring_(std::move(ring)) {}

    Deadlines& owner_;
    const std::function<void()> ring_;
    std::atomic<Millis> at_{Millis::max()};
    // Its key in the queue, which may be too early: then tick() moves it on. Written under the
    // lock.
    std::atomic<Millis> looked_at_{Millis::max()};
    std::multimap<Millis, Alarm*>::iterator place_;  // under the lock
  };

  // `ring` is called by tick() when the alarm's time has come, once for each time that it is set.
  // The alarm ends with its last copy.
  std::shared_ptr<Alarm> add(std::function<void()> ring);
  // A second late costs nobody much: call it about twice a second.
  void tick(Millis now);

 private:
  void move(Alarm& alarm, Millis to);  // under the lock

  std::mutex mutex_;
  std::multimap<Millis, Alarm*> queue_;
};

}  // namespace es::ts2021

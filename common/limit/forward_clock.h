// Milliseconds that only move forward, fed by a wall clock that may not.
//
// A step back of more than kReorder is a jump of the wall clock: it adds nothing and the count goes
// on from there, so that nobody is freed early, and nobody waits longer than the time that passed
// unseen between two calls. A smaller one is taken for callers who read the clock in one order and
// called in another: the count stands still until the wall clock has caught up (at most kReorder),
// because adding the same stretch twice would make time run fast. A step forward is at most
// kMaxStep, which is longer than any window, so the count cannot overflow.
#pragma once

#include "common/base/time.h"

#include <cstdint>

namespace es::limit {

class ForwardClock {
 public:
  static constexpr int64_t kReorder = 1'000;
  // Longer than twice the longest window (limiter.h), so that it expires everything.
  static constexpr uint64_t kMaxStep = uint64_t{1} << 28;

  // The count at `wall`, which becomes the last time seen.
  uint64_t advance(WallTime wall) {
    now_ = at(wall);
    if (!started_ || unix_ms(wall) > last_wall_ || jumps_back(wall)) last_wall_ = unix_ms(wall);
    started_ = true;
    return now_;
  }

  // What advance(wall) would return.
  uint64_t at(WallTime wall) const {
    const int64_t wall_ms = unix_ms(wall);
    if (!started_ || wall_ms <= last_wall_) return now_;
    const uint64_t step = distance(last_wall_, wall_ms);
    return now_ + (step < kMaxStep ? step : kMaxStep);
  }

  // True when advance(wall) would see a jump back.
  bool jumps_back(WallTime wall) const {
    return started_ && unix_ms(wall) < last_wall_ &&
           distance(unix_ms(wall), last_wall_) > static_cast<uint64_t>(kReorder);
  }

  // Goes on from a saved count, last fed with `wall`.
  static ForwardClock restore(uint64_t count, WallTime wall) {
    ForwardClock clock;
    clock.now_ = count;
    clock.last_wall_ = unix_ms(wall);
    clock.started_ = true;
    return clock;
  }
  WallTime last_wall() const { return wall_time_ms(last_wall_); }
  uint64_t last() const { return now_; }

 private:
  // Unsigned: the difference of two int64_t always fits a uint64_t.
  static uint64_t distance(int64_t from, int64_t to) {
    return static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
  }

  uint64_t now_ = 0;
  int64_t last_wall_ = 0;
  bool started_ = false;
};

}  // namespace es::limit

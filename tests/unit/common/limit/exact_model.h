// What the limiter must do, written down as slowly and plainly as possible.
#pragma once

#include "common/limit/limiter.h"

#include <catch2/catch.hpp>

#include <cstdint>
#include <deque>
#include <random>

namespace es::limit {

// The log of one client: all grant times of the last window, on a clock that only moves forward.
class ExactModel {
 public:
  explicit ExactModel(const Limit& limit)
      : permits_(limit.permits()), window_(static_cast<uint64_t>(limit.window.count())) {}

  Admission admit(uint64_t now, uint32_t asked = 1) {
    while (!grants_.empty() && now - grants_.front() >= window_) grants_.pop_front();
    Admission out;
    out.limit = permits_;
    if (grants_.size() + asked > permits_) {
      const size_t must_go = grants_.size() + asked - permits_;
      out.retry_after = millis(grants_[must_go - 1] + window_ - now);
    } else {
      for (uint32_t i = 0; i < asked; ++i) grants_.push_back(now);
      out.outcome = Admission::Outcome::kGranted;
    }
    out.remaining = permits_ - static_cast<uint32_t>(grants_.size());
    out.reset_after = grants_.empty() ? Millis{0} : millis(grants_.back() + window_ - now);
    return out;
  }

 private:
  static Millis millis(uint64_t ms) { return Millis{static_cast<int64_t>(ms)}; }

  uint32_t permits_;
  uint64_t window_;
  std::deque<uint64_t> grants_;
};

// Property A, checked from outside: no window ever holds more grants than the limit has permits.
class WindowGuard {
 public:
  explicit WindowGuard(const Limit& limit)
      : permits_(limit.permits()), window_(static_cast<uint64_t>(limit.window.count())) {}

  void granted(uint64_t now) {
    while (!grants_.empty() && now - grants_.front() >= window_) grants_.pop_front();
    grants_.push_back(now);
    if (grants_.size() > most_) most_ = grants_.size();
  }
  bool held() const { return most_ <= permits_; }
  size_t most() const { return most_; }

 private:
  uint32_t permits_;
  uint64_t window_;
  std::deque<uint64_t> grants_;
  size_t most_ = 0;
};

inline bool operator==(const Admission& a, const Admission& b) {
  return a.outcome == b.outcome && a.limit == b.limit && a.remaining == b.remaining &&
         a.retry_after == b.retry_after && a.reset_after == b.reset_after;
}

inline std::ostream& operator<<(std::ostream& out, const Admission& a) {
  return out << (a.granted() ? "granted" : "refused") << " remaining " << a.remaining << " retry "
             << a.retry_after.count() << " reset " << a.reset_after.count();
}

// A different seed each run, logged by CAPTURE where it is used; set it here to repeat one.
inline uint64_t fresh_seed() { return std::random_device{}(); }

inline constexpr int64_t kStart = 1'800'000'000'000;

}  // namespace es::limit

#include "native/ts2021/deadlines.h"

#include <utility>
#include <vector>

namespace es::ts2021 {

std::shared_ptr<Deadlines::Alarm> Deadlines::add(std::function<void()> ring) {
  std::shared_ptr<Alarm> alarm(new Alarm, [this](const Alarm* gone) {
    {
      const std::lock_guard lock(mutex_);
      alarms_.erase(gone);
    }
    delete gone;
  });
  alarm->ring_ = std::move(ring);
  const std::lock_guard lock(mutex_);
  alarms_.emplace(alarm.get(), alarm);
  return alarm;
}

void Deadlines::tick(Millis now) {
  std::vector<std::shared_ptr<Alarm>> due;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [alarm, weak] : alarms_) {
      if (alarm->at_.load(std::memory_order_relaxed) > now) continue;
      if (auto held = weak.lock()) due.push_back(std::move(held));
    }
  }
  for (const auto& alarm : due) {
    // Whoever is woken sets the next one.
    alarm->set(Millis::max());
    alarm->ring_();
  }
}

}  // namespace es::ts2021

#include "native/ts2021/deadlines.h"

#include <utility>
#include <vector>

namespace es::ts2021 {

// set() writes at_, then reads looked_at_; tick() writes looked_at_, then reads at_. In whatever
// order they meet, one of the two sees what the other wrote.
void Deadlines::Alarm::set(Millis at) {
  at_ = at;
  if (at >= looked_at_.load()) return;
  const std::lock_guard lock(owner_.mutex_);
  if (const Millis newest = at_; newest < looked_at_.load()) owner_.move(*this, newest);
}

std::shared_ptr<Deadlines::Alarm> Deadlines::add(std::function<void()> ring) {
  std::shared_ptr<Alarm> alarm(new Alarm(*this, std::move(ring)), [this](Alarm* gone) {
    {
      const std::lock_guard lock(mutex_);
      queue_.erase(gone->place_);
    }
    delete gone;
  });
  const std::lock_guard lock(mutex_);
  alarm->place_ = queue_.emplace(Millis::max(), alarm.get());
  return alarm;
}

void Deadlines::move(Alarm& alarm, Millis to) {
  auto node = queue_.extract(alarm.place_);
  node.key() = to;
  alarm.place_ = queue_.insert(std::move(node));
  alarm.looked_at_ = to;
}

void Deadlines::tick(Millis now) {
  std::vector<std::shared_ptr<Alarm>> due;
  {
    const std::lock_guard lock(mutex_);
    while (!queue_.empty() && queue_.begin()->first <= now) {
      Alarm& alarm = *queue_.begin()->second;
      move(alarm, Millis::max());
      Millis at = alarm.at_;
      if (at > now) {
        move(alarm, at);
      } else if (alarm.at_.compare_exchange_strong(at, Millis::max())) {
        // Null while its last copy goes.
        if (auto held = alarm.weak_from_this().lock()) due.push_back(std::move(held));
      } else {
        move(alarm, at);
      }
    }
  }
  for (const auto& alarm : due) alarm->ring_();
}

}  // namespace es::ts2021

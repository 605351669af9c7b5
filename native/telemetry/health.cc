#include "native/telemetry/health.h"

#include <optional>
#include <utility>

namespace es::telemetry {

struct Health::State {
  Check check;
  std::mutex mutex;
  std::vector<Done> waiting;  // not empty: a check is under way
  std::optional<Verdict> last;
  Millis last_at{0};
};

Health::Health(Check check) : state_(std::make_shared<State>()) {
  state_->check = std::move(check);
}

void Health::ask(Millis now, Done done) {
  std::optional<Verdict> known;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->last && now - state_->last_at < kFreshFor) {
      known = state_->last;
    } else {
      state_->waiting.push_back(std::move(done));
      if (state_->waiting.size() > 1) return;
    }
  }
  if (known) {
    done(*known);
    return;
  }
  state_->check([state = state_, now](Verdict verdict) {
    std::vector<Done> waiting;
    {
      const std::lock_guard lock(state->mutex);
      state->last = verdict;
      state->last_at = now;
      waiting.swap(state->waiting);
    }
    for (const Done& waiter : waiting) waiter(verdict);
  });
}

}  // namespace es::telemetry

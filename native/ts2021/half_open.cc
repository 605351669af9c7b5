#include "native/ts2021/half_open.h"

#include <mutex>
#include <unordered_map>
#include <utility>

namespace es::ts2021 {
namespace {

struct HashKey {
  size_t operator()(const limit::ClientKey& key) const {
    return std::hash<uint64_t>()(key.value * 4 + static_cast<uint64_t>(key.kind));
  }
};

// Places of one kind.
class Count {
 public:
  Count(uint32_t total, uint32_t per_address) : total_(total), per_address_(per_address) {}

  bool has_room(const Network& network) const {
    if (taken_ >= total_) return false;
    if (!network) return true;
    const auto it = by_network_.find(*network);
    return it == by_network_.end() || it->second < per_address_;
  }
  void take(const Network& network) {
    ++taken_;
    if (network) ++by_network_[*network];
  }
  void give_back(const Network& network) {
    --taken_;
    if (!network) return;
    const auto it = by_network_.find(*network);
    if (--it->second == 0) by_network_.erase(it);
  }
  uint32_t taken() const { return taken_; }

 private:
  const uint32_t total_;
  const uint32_t per_address_;
  uint32_t taken_ = 0;
  std::unordered_map<limit::ClientKey, uint32_t, HashKey> by_network_;  // never of zero
};

}  // namespace

struct HalfOpen::State {
  State(Limits l, std::function<bool(std::string_view)> s)
      : newcomers(l.total, l.per_address),
        waiting(l.waiting_total, l.waiting_per_address),
        is_shared(std::move(s)) {}

  mutable std::mutex mutex;
  Count newcomers;
  Count waiting;
  uint64_t refused = 0;
  const std::function<bool(std::string_view)> is_shared;
};

struct HalfOpen::Held {
  Held(std::shared_ptr<State> s, Network n) : state(std::move(s)), network(n) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    const std::lock_guard lock(state->mutex);
    (waits ? state->waiting : state->newcomers).give_back(network);
  }

  const std::shared_ptr<State> state;
  const Network network;
  bool waits = false;  // under the state's mutex
};

HalfOpen::HalfOpen(Limits limits, std::function<bool(std::string_view)> is_shared)
    : state_(std::make_shared<State>(limits, std::move(is_shared))) {}

HalfOpen::Place HalfOpen::take(std::string_view address) {
  State& s = *state_;
  Network network;
  const bool shared = address.empty() || (s.is_shared && s.is_shared(address));
  if (!shared) network = limit::client_key(address);
  {
    const std::lock_guard lock(s.mutex);
    if (!s.newcomers.has_room(network)) {
      ++s.refused;
      return nullptr;
    }
    s.newcomers.take(network);
  }
  return std::make_shared<Held>(state_, network);
}

const Network& HalfOpen::network_of(const Place& place) { return place->network; }

bool HalfOpen::wait(const Place& place) {
  const std::lock_guard lock(state_->mutex);
  if (place->waits) return true;
  if (!state_->waiting.has_room(place->network)) return false;
  state_->newcomers.give_back(place->network);
  state_->waiting.take(place->network);
  place->waits = true;
  return true;
}

void HalfOpen::wait_no_more(const Place& place) {
  const std::lock_guard lock(state_->mutex);
  if (!std::exchange(place->waits, false)) return;
  state_->waiting.give_back(place->network);
  state_->newcomers.take(place->network);
}

uint32_t HalfOpen::taken() const {
  const std::lock_guard lock(state_->mutex);
  return state_->newcomers.taken();
}

uint32_t HalfOpen::waiting() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waiting.taken();
}

uint64_t HalfOpen::refused() const {
  const std::lock_guard lock(state_->mutex);
  return state_->refused;
}

}  // namespace es::ts2021

#include "native/ts2021/half_open.h"

#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace es::ts2021 {
namespace {

using Held = HalfOpen::Held;

struct HashNetwork {
  size_t operator()(const Network& network) const {
    if (!network) return 0;
    return std::hash<uint64_t>()(network->value * 4 + static_cast<uint64_t>(network->kind));
  }
};

enum class OwnNetwork : uint8_t { kMakesRoom, kDoesNot };

// The places of one kind. Each is young at first; the old ones make room for others.
class Line {
 public:
  Line(uint32_t total, uint32_t per_address, OwnNetwork own, Millis safe_for)
      : total_(total), per_address_(per_address), own_(own), safe_for_(safe_for) {}

  void enter(Held& held, Millis now);
  void leave(Held& held);
  void keep(const Held& held);
  void grow_old(Millis now);

  bool is_full_for(const Network& network) const {
    return taken_ >= total_ || is_at_limit(network);
  }
  // Who goes for a newcomer of this network; null: nobody.
  Held* in_the_way_of(const Network& network) const;
  uint32_t taken() const { return taken_; }

 private:
  using Turns = std::map<uint64_t, Held*>;  // in the order of coming
  struct Crowd {
    uint32_t taken = 0;
    Turns old;
  };
  // Before others: the network with more places, of equal ones that with the oldest.
  using Rank = std::pair<uint32_t, uint64_t>;

  static Rank rank_of(const Crowd& crowd) { return {~crowd.taken, crowd.old.begin()->first}; }
  bool is_at_limit(const Network& network) const {
    return network && taken_by(network) >= per_address_;
  }
  uint32_t taken_by(const Network& network) const {
    const auto it = crowds_.find(network);
    return it == crowds_.end() ? 0 : it->second.taken;
  }
  template <class F>
  void change(const Network& network, F how);

  const uint32_t total_;
  const uint32_t per_address_;
  const OwnNetwork own_;
  const Millis safe_for_;
  uint32_t taken_ = 0;
  uint64_t next_turn_ = 0;
  Turns young_;
  std::unordered_map<Network, Crowd, HashNetwork> crowds_;  // none is empty
  std::map<Rank, Held*> fullest_;  // the oldest of each network that has an old one
};

}  // namespace

struct HalfOpen::State {
  State(Limits l, std::function<bool(std::string_view)> s)
      : newcomers(l.total, l.per_address, OwnNetwork::kMakesRoom, l.safe_for),
        waiting(l.waiting_total, l.waiting_per_address, OwnNetwork::kDoesNot, l.safe_for),
        is_shared(std::move(s)) {}

  // False: there is no room, and nothing has changed. `tell` is then to be called without the lock.
  bool admit(Held& held, Line& line, Millis now, std::function<void()>& tell);

  mutable std::mutex mutex;
  Line newcomers;
  Line waiting;
  uint64_t refused = 0;
  uint64_t evicted = 0;
  const std::function<bool(std::string_view)> is_shared;
};

struct HalfOpen::Held {
  Held(std::shared_ptr<State> s, Network n) : state(std::move(s)), network(n) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    const std::lock_guard lock(state->mutex);
    if (line != nullptr) line->leave(*this);
  }

  const std::shared_ptr<State> state;
  const Network network;
  // Under the state's mutex.
  Line* line = nullptr;  // null: evicted
  uint64_t turn = 0;
  Millis since{0};
  std::function<void()> on_evicted;
};

namespace {

template <class F>
void Line::change(const Network& network, F how) {
  Crowd& crowd = crowds_[network];
  if (!crowd.old.empty()) fullest_.erase(rank_of(crowd));
  how(crowd);
  if (!crowd.old.empty()) fullest_.emplace(rank_of(crowd), crowd.old.begin()->second);
  if (crowd.taken == 0) crowds_.erase(network);
}

void Line::enter(Held& held, Millis now) {
  held.line = this;
  held.turn = next_turn_++;
  held.since = now;
  ++taken_;
  young_.emplace(held.turn, &held);
  change(held.network, [](Crowd& crowd) { ++crowd.taken; });
}

void Line::leave(Held& held) {
  keep(held);
  held.line = nullptr;
  --taken_;
  change(held.network, [](Crowd& crowd) { --crowd.taken; });
}

void Line::keep(const Held& held) {
  if (young_.erase(held.turn) != 0) return;
  change(held.network, [&](Crowd& crowd) { crowd.old.erase(held.turn); });
}

void Line::grow_old(Millis now) {
  while (!young_.empty()) {
    const auto [turn, held] = *young_.begin();
    if (now - held->since < safe_for_) return;
    young_.erase(young_.begin());
    change(held->network, [&, t = turn, h = held](Crowd& crowd) { crowd.old.emplace(t, h); });
  }
}

Held* Line::in_the_way_of(const Network& network) const {
  if (!is_at_limit(network) && !fullest_.empty()) {
    Held* const oldest = fullest_.begin()->second;
    if (taken_by(oldest->network) > taken_by(network)) return oldest;
  }
  const auto own = crowds_.find(network);
  const bool goes = own_ == OwnNetwork::kMakesRoom && own != crowds_.end();
  return goes && !own->second.old.empty() ? own->second.old.begin()->second : nullptr;
}

}  // namespace

bool HalfOpen::State::admit(Held& held, Line& line, Millis now, std::function<void()>& tell) {
  line.grow_old(now);
  if (line.is_full_for(held.network)) {
    Held* const gone = line.in_the_way_of(held.network);
    if (gone == nullptr) return false;
    line.leave(*gone);
    tell = std::move(gone->on_evicted);
    ++evicted;
  }
  if (held.line != nullptr) held.line->leave(held);
  line.enter(held, now);
  return true;
}

HalfOpen::HalfOpen(Limits limits, std::function<bool(std::string_view)> is_shared)
    : state_(std::make_shared<State>(limits, std::move(is_shared))) {}

HalfOpen::Place HalfOpen::take(std::string_view address, Millis now) {
  State& s = *state_;
  Network network;
  const bool shared = address.empty() || (s.is_shared && s.is_shared(address));
  if (!shared) network = limit::client_key(address);
  auto place = std::make_shared<Held>(state_, network);
  std::function<void()> tell;
  {
    const std::lock_guard lock(s.mutex);
    if (!s.admit(*place, s.newcomers, now, tell)) {
      ++s.refused;
      return nullptr;
    }
  }
  if (tell) tell();
  return place;
}

const Network& HalfOpen::network_of(const Place& place) { return place->network; }

void HalfOpen::on_evicted(const Place& place, std::function<void()> evicted) {
  {
    const std::lock_guard lock(state_->mutex);
    if (place->line != nullptr) {
      place->on_evicted = std::move(evicted);
      return;
    }
  }
  evicted();
}

void HalfOpen::keep(const Place& place) {
  const std::lock_guard lock(state_->mutex);
  if (place->line != nullptr) place->line->keep(*place);
}

bool HalfOpen::wait(const Place& place, Millis now) {
  State& s = *state_;
  std::function<void()> tell;
  {
    const std::lock_guard lock(s.mutex);
    if (place->line == &s.waiting) return true;
    if (place->line == nullptr || !s.admit(*place, s.waiting, now, tell)) return false;
  }
  if (tell) tell();
  return true;
}

void HalfOpen::wait_no_more(const Place& place, Millis now) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (place->line != &s.waiting) return;
  s.waiting.leave(*place);
  s.newcomers.enter(*place, now);
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

uint64_t HalfOpen::evicted() const {
  const std::lock_guard lock(state_->mutex);
  return state_->evicted;
}

}  // namespace es::ts2021

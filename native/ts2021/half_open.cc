#include "native/ts2021/half_open.h"

#include "common/base/ip_address.h"

#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace es::ts2021 {
namespace {

// What counts as one address: IPv6 by /64. Texts that are none count as themselves.
std::string key_of(std::string_view text) {
  const auto address = parse_ip_address(text);
  if (!address) return std::string(text);
  const size_t len = address->family == IpAddress::Family::kIpv4 ? 4 : 8;
  return {reinterpret_cast<const char*>(address->bytes.data()), len};
}

}  // namespace

struct HalfOpen::State {
  State(Limits l, std::function<bool(std::string_view)> s) : limits(l), is_shared(std::move(s)) {}

  void give_back(Held* held, const std::string& key) {
    const std::lock_guard lock(mutex);
    --taken;
    waiting.erase(held);
    if (key.empty()) return;
    const auto it = by_address.find(key);
    if (--it->second == 0) by_address.erase(it);
  }

  const Limits limits;
  const std::function<bool(std::string_view)> is_shared;
  mutable std::mutex mutex;
  uint32_t taken = 0;
  uint64_t refused = 0;
  std::unordered_map<std::string, uint32_t> by_address;  // at most limits.total entries
  std::unordered_set<Held*> waiting;                     // with a deadline
};

struct HalfOpen::Held {
  Held(std::shared_ptr<State> s, std::string k) : state(std::move(s)), key(std::move(k)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { state->give_back(this, key); }

  const std::shared_ptr<State> state;
  const std::string key;  // empty: not counted by address
  // Under the state's mutex:
  Millis deadline{0};
  std::function<void()> late;
};

HalfOpen::HalfOpen(Limits limits, std::function<bool(std::string_view)> is_shared)
    : state_(std::make_shared<State>(limits, std::move(is_shared))) {}

HalfOpen::Place HalfOpen::take(std::string_view address) {
  State& s = *state_;
  const bool shared = address.empty() || (s.is_shared && s.is_shared(address));
  std::string key = shared ? std::string() : key_of(address);
  {
    const std::lock_guard lock(s.mutex);
    const bool full = s.taken >= s.limits.total;
    const auto it = key.empty() ? s.by_address.end() : s.by_address.find(key);
    const bool crowded = it != s.by_address.end() && it->second >= s.limits.per_address;
    if (full || crowded) {
      ++s.refused;
      return nullptr;
    }
    ++s.taken;
    if (!key.empty()) ++s.by_address[key];
  }
  return std::make_shared<Held>(state_, std::move(key));
}

void HalfOpen::set_deadline(const Place& place, Millis deadline, std::function<void()> late) {
  const std::lock_guard lock(state_->mutex);
  place->deadline = deadline;
  place->late = std::move(late);
  state_->waiting.insert(place.get());
}

void HalfOpen::tick(Millis now) {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(state_->mutex);
    for (auto it = state_->waiting.begin(); it != state_->waiting.end();) {
      if ((*it)->deadline > now) {
        ++it;
        continue;
      }
      calls.push_back(std::move((*it)->late));
      it = state_->waiting.erase(it);
    }
  }
  for (const auto& call : calls) call();
}

uint32_t HalfOpen::taken() const {
  const std::lock_guard lock(state_->mutex);
  return state_->taken;
}

uint64_t HalfOpen::refused() const {
  const std::lock_guard lock(state_->mutex);
  return state_->refused;
}

}  // namespace es::ts2021

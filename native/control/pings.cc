#include "native/control/pings.h"

#include "common/base/base64.h"
#include "common/base/hex.h"

#include <array>
#include <utility>
#include <vector>

namespace es::control {
Pings::Pings(Tailnet& tailnet, std::function<void(MutableBytes)> random)
    : tailnet_(tailnet), random_(std::move(random)) {}

bool Pings::is_there(uint64_t node, Millis timeout, WallTime now, Answer answer) {
  return ask(node, "", timeout, now, std::move(answer));
}

bool Pings::c2n(uint64_t node, std::string_view http_request, Millis timeout, WallTime now,
                Answer answer) {
  return ask(node,
             ",\"Types\":\"c2n\",\"Payload\":\"" +
                 base64_encode(as_bytes(http_request), Base64Alphabet::kStandardPadded) + "\"",
             timeout, now, std::move(answer));
}

bool Pings::ask(uint64_t node, const std::string& more_members, Millis timeout, WallTime now,
                Answer answer) {
  const NodePtr target = tailnet_.node(node);
  if (target == nullptr) return false;
  std::array<uint8_t, 16> raw{};
  random_(raw);
  const std::string id = hex_encode(raw);
  {
    const std::lock_guard lock(mutex_);
    if (open_.size() >= kMaxOpenPings) return false;
    open_[id] = {target->machine_key, now + timeout, std::move(answer)};
  }
  // Inside Noise the host of a URL means nothing; a fresh id makes every URL a new one, which
  // clients insist on.
  std::string json = "{\"URL\":\"https://unused";
  json += kPingAnswerPath;
  json += "?id=" + id + "\",\"URLIsNoise\":true" + more_members + "}";
  if (tailnet_.send_ping(node, std::move(json))) return true;
  const std::lock_guard lock(mutex_);
  open_.erase(id);
  return false;
}

bool Pings::answered(std::string_view id, const tailcfg::MachineKey& machine, std::string body) {
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    const auto it = open_.find(id);
    if (it == open_.end() || it->second.machine != machine) return false;
    answer = std::move(it->second.answer);
    open_.erase(it);
  }
  answer(std::move(body));
  return true;
}

void Pings::tick(WallTime now) {
  std::vector<Answer> late;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = open_.begin(); it != open_.end();) {
      if (it->second.deadline > now) {
        ++it;
        continue;
      }
      late.push_back(std::move(it->second.answer));
      it = open_.erase(it);
    }
  }
  for (const Answer& answer : late) answer(std::nullopt);
}

void RouteProbes::tick(WallTime now) {
  if (options_.interval.count() == 0) return;
  if (last_ && now - *last_ < options_.interval) return;
  last_ = now;
  for (const uint64_t id : tailnet_.contested_routers()) {
    const bool sent = pings_.is_there(id, options_.timeout, now,
                                      [&tailnet = tailnet_, id, now](const auto& answer) {
                                        tailnet.set_responsive(id, answer.has_value(), now);
                                      });
    // It has not even read the last few questions.
    if (!sent) tailnet_.set_responsive(id, false, now);
  }
}

}  // namespace es::control

#include "native/control/ssh_checks.h"

#include <algorithm>
#include <utility>

namespace es::control {
namespace {

// One text for whatever is not to be: what exists is nobody's business who may not ask.
constexpr std::string_view kNotPermitted =
    "The policy of this tailnet does not permit this SSH connection.\r\n";
constexpr std::string_view kRejected = "This SSH connection was refused by an operator.\r\n";
constexpr std::string_view kTooLate =
    "This SSH connection was not approved in time. Connect again for a new address.\r\n";
constexpr std::string_view kTooMany =
    "Too many SSH connections wait for an approval. Try again later.\r\n";
constexpr std::string_view kReplaced = "A newer SSH connection waits in place of this one.\r\n";

// No policy asks for less (Headscale: checkPeriod is at most 168h).
constexpr Millis kMaxPeriod = std::chrono::hours(168);

// What an approval of one log-in leaves a client that has to connect anew to hear of it.
constexpr Millis kMinPeriod = std::chrono::minutes(1);

Refusal nothing_waits() {
  return {Reason::kNotFound, "no SSH log-in is waiting under this id: it was decided, or too old"};
}

tailcfg::SshAction rejection(std::string_view message) {
  tailcfg::SshAction action;
  action.reject = true;
  action.message = message;
  return action;
}

tailcfg::SshAction acceptance() {
  tailcfg::SshAction action;
  action.accept = true;
  action.allow_agent_forwarding = true;
  action.allow_local_port_forwarding = true;
  action.allow_remote_port_forwarding = true;
  return action;
}

}  // namespace

struct SshChecks::Decision {
  Verdict verdict = Verdict::kNone;
  std::string_view by;
  WallTime at{};
  uint64_t epoch = 0;  // of the policy
};

SshChecks::SshChecks(Tailnet& tailnet, Options options)
    : tailnet_(tailnet), options_(std::move(options)) {}

std::optional<SshCheck> SshChecks::rule_of(const SshLogin& login, WallTime now) const {
  if (login.login.size() > kMaxLoginLen) return std::nullopt;
  auto rule = tailnet_.ssh_check(login.source, login.destination, login.login);
  if (!rule || rule->source->expired(now) || rule->destination->expired(now)) return std::nullopt;
  return rule;
}

std::optional<SshCheck> SshChecks::rule_of(const Open& open, WallTime now) const {
  auto rule = rule_of(open.login, now);
  const bool same = rule && rule->source->node_key == open.source_key &&
                    rule->source_owner == open.source_owner && rule->period == open.period;
  return same ? std::move(rule) : std::nullopt;
}

bool SshChecks::still_decided(const Open& open, const SshCheck& rule, WallTime now) {
  if (open.verdict != Verdict::kApproved) return open.verdict == Verdict::kRejected;
  return open.decided_epoch == rule.policy_epoch &&
         now - open.decided < std::max<Millis>(rule.period, kMinPeriod);
}

void SshChecks::tell(Event event, const SshLogin& login, Calls& calls, std::string_view by) const {
  if (!options_.on_event) return;
  calls.push_back(
      [this, event, login, by = std::string(by)] { options_.on_event(event, login, by); });
}

void SshChecks::finish(OpenMap::iterator it, tailcfg::SshAction action, Calls& calls) {
  if (it->second.answer) {
    calls.push_back(
        [answer = std::move(it->second.answer), action = std::move(action)] { answer(action); });
  }
  open_.erase(it);
}

bool SshChecks::remembered(const SshLogin& login, const SshCheck& rule, WallTime now) {
  if (rule.policy_epoch != approvals_epoch_) return false;
  const auto it = approvals_.find(login);
  if (it == approvals_.end() || it->second.source_key != rule.source->node_key) return false;
  // A clock that was set back prolongs nothing.
  return now >= it->second.at && now - it->second.at < rule.period;
}

void SshChecks::remember(const Open& open, const SshCheck& rule, WallTime now) {
  if (rule.period <= std::chrono::seconds{0}) return;
  if (std::exchange(approvals_epoch_, rule.policy_epoch) != rule.policy_epoch) approvals_.clear();
  if (approvals_.size() >= kMaxApprovals && !approvals_.contains(open.login)) {
    approvals_.erase(
        std::min_element(approvals_.begin(), approvals_.end(),
                         [](const auto& a, const auto& b) { return a.second.at < b.second.at; }));
  }
  approvals_[open.login] = {open.source_key, now};
}

SshChecks::Ticket SshChecks::ask(const tailcfg::MachineKey& machine, SshLogin login,
                                 std::string_view auth_id, WallTime now, Answer answer) {
  Calls calls;
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    const auto reply = [&](tailcfg::SshAction action) {
      calls.push_back([answer = std::move(answer), action = std::move(action)] { answer(action); });
    };
    const auto rule = rule_of(login, now);
    const auto it = auth_id.empty() ? open_.end() : open_.find(auth_id);
    if (!rule || rule->destination->machine_key != machine) {
      reply(rejection(kNotPermitted));
    } else if (it != open_.end() && it->second.login == login && rule_of(it->second, now)) {
      Open& open = it->second;
      // The stream before is a dead connection's: a client asks once at a time.
      if (Answer before = std::exchange(open.answer, std::move(answer))) {
        calls.push_back([before = std::move(before)] { before(rejection(kReplaced)); });
      }
      open.ticket = ticket;
      if (still_decided(open, *rule, now)) {
        give_verdict(it, calls);
      } else {
        open.verdict = Verdict::kNone;
      }
    } else if (remembered(login, *rule, now)) {
      tell(Event::kRemembered, login, calls);
      reply(acceptance());
    } else if (!make_room_for(login, calls)) {
      reply(rejection(kTooMany));
    } else {
      reply(hold(std::move(login), *rule, now, calls));
    }
  }
  for (const auto& call : calls) call();
  return ticket;
}

tailcfg::SshAction SshChecks::hold(SshLogin login, const SshCheck& rule, WallTime now,
                                   Calls& calls) {
  const std::string id = make_auth_id(options_.random);
  tell(Event::kAsked, login, calls);
  open_[id] = Open{.login = std::move(login),
                   .source_key = rule.source->node_key,
                   .source_owner = rule.source_owner,
                   .period = rule.period,
                   .created = now};
  tailcfg::SshAction action;
  action.message =
      "# This SSH connection needs an operator's approval.\r\n# To approve it, visit: ";
  action.message += options_.server_url + "/auth/" + id;
  action.message += "\r\n# It opens as soon as it is approved.\r\n";
  // The client fills the names in, as in the policy's rule.
  action.hold_and_delegate =
      "https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
      "&auth_id=" +
      id;
  return action;
}

bool SshChecks::make_room_for(const SshLogin& login, Calls& calls) {
  struct Found {
    size_t count = 0;
    OpenMap::iterator oldest;
  };
  const auto look_for = [&](auto&& meant) {
    Found found{0, open_.end()};
    for (auto it = open_.begin(); it != open_.end(); ++it) {
      if (!meant(it->second.login)) continue;
      ++found.count;
      if (found.oldest == open_.end() || it->second.created < found.oldest->second.created) {
        found.oldest = it;
      }
    }
    return found;
  };
  const auto to_destination = [&](const SshLogin& l) { return l.destination == login.destination; };
  const Found pair =
      look_for([&](const SshLogin& l) { return to_destination(l) && l.source == login.source; });
  if (pair.count >= kMaxOpenOfPair) {
    finish(pair.oldest, rejection(kReplaced), calls);
  } else if (const Found all = look_for(to_destination); all.count >= kMaxOpenOfDestination) {
    finish(all.oldest, rejection(kTooMany), calls);
  }
  return open_.size() < options_.max_open;
}

void SshChecks::abandon(Ticket ticket) {
  Answer forgotten;  // destroyed outside the lock
  const std::lock_guard lock(mutex_);
  for (auto& [id, open] : open_) {
    if (open.ticket == ticket) forgotten = std::exchange(open.answer, nullptr);
  }
}

std::optional<PendingSshCheck> SshChecks::pending(std::string_view auth_id, WallTime now) const {
  const std::lock_guard lock(mutex_);
  const auto it = open_.find(auth_id);
  if (it == open_.end() || it->second.verdict != Verdict::kNone) return std::nullopt;
  const Open& open = it->second;
  const auto rule = rule_of(open, now);
  if (!rule) return std::nullopt;
  return PendingSshCheck{.auth_id = it->first,
                         .source = rule->source->row.given_name,
                         .source_owner = rule->source_owner,
                         .destination = rule->destination->row.given_name,
                         .login = open.login.login,
                         .period = rule->period,
                         .expires = open.created + options_.lifetime};
}

Result<void, Refusal> SshChecks::decide(std::string_view auth_id, Decision decision) {
  Calls calls;
  Result<void, Refusal> result;
  {
    const std::lock_guard lock(mutex_);
    const auto it = open_.find(auth_id);
    if (it == open_.end() || it->second.verdict != Verdict::kNone ||
        decision.at - it->second.created >= options_.lifetime) {
      return nothing_waits();
    }
    const auto rule = rule_of(it->second, decision.at);
    if (rule) decision.epoch = rule->policy_epoch;
    if (!rule) {
      tell(Event::kRejected, it->second.login, calls);
      finish(it, rejection(kNotPermitted), calls);
      result = Refusal{Reason::kConflict,
                       "the policy no longer asks for this approval, or a node is gone: the SSH "
                       "connection was refused"};
    } else if (decision.verdict == Verdict::kRejected) {
      settle(it, decision, calls);
    } else {
      const SshLogin login = it->second.login;
      remember(it->second, *rule, decision.at);
      settle(it, decision, calls);
      // What waits beside it for the same would not be asked for any more.
      for (auto other = open_.begin(); rule->period.count() > 0 && other != open_.end();) {
        const auto at = other++;
        const bool same = at->second.login == login && at->second.verdict == Verdict::kNone;
        if (same) settle(at, decision, calls);
      }
    }
  }
  for (const auto& call : calls) call();
  return result;
}

// Answers who waits; otherwise the verdict waits for him.
void SshChecks::settle(OpenMap::iterator it, const Decision& decision, Calls& calls) {
  const bool approved = decision.verdict == Verdict::kApproved;
  Open& open = it->second;
  tell(approved ? Event::kApproved : Event::kRejected, open.login, calls, decision.by);
  open.verdict = decision.verdict;
  open.decided = decision.at;
  open.decided_epoch = decision.epoch;
  if (open.answer) give_verdict(it, calls);
}

void SshChecks::give_verdict(OpenMap::iterator it, Calls& calls) {
  const bool approved = it->second.verdict == Verdict::kApproved;
  finish(it, approved ? acceptance() : rejection(kRejected), calls);
}

Result<void, Refusal> SshChecks::approve(std::string_view auth_id, std::string_view by,
                                         WallTime now) {
  return decide(auth_id, {Verdict::kApproved, by, now});
}

Result<void, Refusal> SshChecks::reject(std::string_view auth_id, std::string_view by,
                                        WallTime now) {
  return decide(auth_id, {Verdict::kRejected, by, now});
}

void SshChecks::tick(WallTime now) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    for (auto next = open_.begin(); next != open_.end();) {
      const auto it = next++;
      const Open& open = it->second;
      if (now - open.created >= options_.lifetime) {
        if (open.verdict == Verdict::kNone) tell(Event::kExpired, open.login, calls);
        finish(it, rejection(kTooLate), calls);
        continue;
      }
      if (rule_of(open, now)) continue;
      if (open.verdict == Verdict::kNone) tell(Event::kRejected, open.login, calls);
      finish(it, rejection(kNotPermitted), calls);
    }
    std::erase_if(approvals_, [&](const auto& a) { return now - a.second.at >= kMaxPeriod; });
  }
  for (const auto& call : calls) call();
}

}  // namespace es::control

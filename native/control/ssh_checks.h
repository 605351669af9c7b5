// SSH log-ins under a check rule: they wait until an operator has approved them.
//
// A client that is asked for such a log-in holds the session and asks where the rule's
// HoldAndDelegate says. It is told to show the person an address, and to ask once more; that second
// question is answered when somebody has decided, or when it is too late. An approval is remembered
// for the rule's checkPeriod, for this source, this login name and this destination.
//
// Source: tailcfg.SSHAction and the SSH server of clients 1.80 to 1.102; Headscale 0.29 for ids and
// the address. Only the destination's own machine may ask, and only about log-ins for which the
// policy has a check rule now: everything else gets one and the same refusal, and nothing is kept
// of it. The rule is looked up anew at every step, so a rule that goes ends what waits under it.
// Another policy forgets approvals, also those that nobody has fetched yet, and so does the
// source's new node key. An owner or a period other than the person who decides was shown ends the
// wait.
//
// State is memory only: a restart forgets what waits (the client is given a new address) and what
// was approved (it is asked again). At most kMaxOpenOfPair and kMaxOpenOfDestination wait, beyond
// which their own oldest goes, and Options::max_open in all; kMaxApprovals are remembered.
// Threads: methods from any thread. Answers come on the caller's thread, outside the lock.
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "native/control/registration.h"
#include "native/control/tailnet.h"
#include "native/tailcfg/ssh_policy.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::control {

inline constexpr size_t kMaxOpenOfPair = 4;
inline constexpr size_t kMaxOpenOfDestination = 64;
inline constexpr size_t kMaxApprovals = 16384;
inline constexpr size_t kMaxLoginLen = 128;

// What a destination asks about; all of it comes from the client.
struct SshLogin {
  uint64_t source = 0;
  uint64_t destination = 0;
  std::string login;  // the local user

  friend auto operator<=>(const SshLogin&, const SshLogin&) = default;
};

// What waits, for the person who decides.
struct PendingSshCheck {
  std::string auth_id;
  std::string source;  // names of nodes
  std::string source_owner;
  std::string destination;
  std::string login;  // as the client sent it
  std::chrono::seconds period{};
  WallTime expires{};
};

class SshChecks {
 public:
  using Answer = std::function<void(tailcfg::SshAction)>;
  using Ticket = uint64_t;
  enum class Event { kAsked, kRemembered, kApproved, kRejected, kExpired };

  struct Options {
    std::string server_url;        // absolute, without a trailing slash
    Millis lifetime{15 * 60'000};  // of what waits; clients give up after 30 minutes
    size_t max_open = 1024;        // beyond it new ones are refused
    std::function<void(MutableBytes)> random;
    // For the log; called outside the lock. `by`: who decided.
    std::function<void(Event, const SshLogin&, std::string_view by)> on_event;
  };

  // The tailnet must outlive it.
  SshChecks(Tailnet& tailnet, Options options);

  // A client's question. `auth_id` is empty at first, and then what the answer before gave. The
  // answer may wait; abandon() forgets it.
  Ticket ask(const tailcfg::MachineKey& machine, SshLogin login, std::string_view auth_id,
             WallTime now, Answer answer);
  void abandon(Ticket ticket);

  // What waits under this id; nullopt: nothing does, or the policy no longer asks for it.
  std::optional<PendingSshCheck> pending(std::string_view auth_id, WallTime now) const;
  Result<void, Refusal> approve(std::string_view auth_id, std::string_view by, WallTime now);
  Result<void, Refusal> reject(std::string_view auth_id, std::string_view by, WallTime now);

  // Ends what is too old and what the policy no longer allows. Call about once a second.
  void tick(WallTime now);

 private:
  enum class Verdict { kNone, kApproved, kRejected };
  struct Open {
    SshLogin login;
    tailcfg::NodeKey source_key;
    std::string source_owner;  // as they were when it was asked
    std::chrono::seconds period{};
    WallTime created{};
    Ticket ticket = 0;
    Answer answer{};                   // null: nobody waits just now
    Verdict verdict = Verdict::kNone;  // for who comes to wait after the decision
    WallTime decided{};
    uint64_t decided_epoch = 0;  // of the policy then
  };
  struct Approval {
    tailcfg::NodeKey source_key;
    WallTime at{};
  };
  using OpenMap = std::map<std::string, Open, std::less<>>;
  // Calls to make once the lock is released.
  using Calls = std::vector<std::function<void()>>;

  // All below: under the lock.
  std::optional<SshCheck> rule_of(const SshLogin& login, WallTime now) const;
  // The rule, if it is still the one that this waits under.
  std::optional<SshCheck> rule_of(const Open& open, WallTime now) const;
  static bool still_decided(const Open& open, const SshCheck& rule, WallTime now);
  bool remembered(const SshLogin& login, const SshCheck& rule, WallTime now);
  void remember(const Open& open, const SshCheck& rule, WallTime now);
  tailcfg::SshAction hold(SshLogin login, const SshCheck& rule, WallTime now, Calls& calls);
  bool make_room_for(const SshLogin& login, Calls& calls);
  void finish(OpenMap::iterator it, tailcfg::SshAction action, Calls& calls);
  struct Decision;
  void settle(OpenMap::iterator it, const Decision& decision, Calls& calls);
  void give_verdict(OpenMap::iterator it, Calls& calls);
  void tell(Event event, const SshLogin& login, Calls& calls, std::string_view by = {}) const;
  // Takes the lock.
  Result<void, Refusal> decide(std::string_view auth_id, Decision decision);

  Tailnet& tailnet_;
  const Options options_;
  mutable std::mutex mutex_;
  OpenMap open_;  // by auth id
  std::map<SshLogin, Approval> approvals_;
  uint64_t approvals_epoch_ = 0;  // of the policy that they are by
  Ticket next_ticket_ = 1;
};

}  // namespace es::control

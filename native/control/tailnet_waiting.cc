// Registrations that wait for an operator's approval: who may wait, and how it ends.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <algorithm>
#include <map>
#include <utility>

namespace es::control {
namespace {

constexpr std::string_view kTooManyWait = "too many registrations are waiting; try again";
constexpr std::string_view kBeingDecided = "this registration is being approved by somebody else";

// Of one machine; it has a node key for each of its profiles. So that no machine pushes the others'
// registrations out.
constexpr size_t kMaxRegistrationsOfMachine = 8;

// The last part of the path of an AuthURL.
std::string auth_id_of(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t slash = url.rfind('/');
  return std::string(slash == std::string_view::npos ? url : url.substr(slash + 1));
}

// As far as an approval grants it.
bool asks_for_the_same(const tailcfg::RegisterRequest& a, const tailcfg::RegisterRequest& b) {
  const tailcfg::Hostinfo& x = a.hostinfo;
  const tailcfg::Hostinfo& y = b.hostinfo;
  return x.request_tags == y.request_tags && x.routable_ips == y.routable_ips &&
         x.hostname == y.hostname && a.ephemeral == b.ephemeral;
}

}  // namespace

void Tailnet::register_followup(Registering& r, Calls& calls) {
  const auto it = registrations_.find(auth_id_of(r.request.followup));
  // Forgotten (a restart, or too long ago), or somebody else's: a new page.
  if (it == registrations_.end() || it->second.machine != r.machine ||
      it->second.request.node_key != r.request.node_key) {
    return register_interactive(r, calls);
  }
  it->second.waiters.push_back({r.ticket, std::move(r.answer)});
}

void Tailnet::register_interactive(Registering& r, Calls& calls) {
  // Asking twice for the same leads to the same page. Whoever asks for something else gets a new
  // one: an operator approves what the page says.
  std::string id;
  for (const auto& [known, registration] : registrations_) {
    if (registration.machine == r.machine && registration.request.node_key == r.request.node_key) {
      id = known;
    }
  }
  if (!id.empty() && !registrations_.at(id).deciding &&
      !asks_for_the_same(registrations_.at(id).request, r.request)) {
    tailcfg::RegisterResponse response;
    response.error = "the machine asks for something else now; try again";
    finish_waiters(id, response, calls);
    id.clear();
  }
  if (id.empty()) {
    if (!make_room_for(r.machine, r.request, r.network, calls)) {
      ++stats_.refused_registrations;
      return r.refuse(std::string(kTooManyWait), calls);
    }
    id = make_auth_id(options_.random);
    registrations_[id] = Registration{r.machine, r.request, r.now, {}, false, r.network};
  }
  tailcfg::RegisterResponse out;
  out.auth_url = options_.server_url + "/register/" + id;
  r.reply(std::move(out), calls);
}

// Nobody pushes out what an operator decides. The networks with the most give up their oldest
// first; what a machine polls for goes last, and only for a network that has fewer.
bool Tailnet::make_room_for(const tailcfg::MachineKey& machine,
                            const tailcfg::RegisterRequest& request,
                            const std::optional<limit::ClientKey>& network, Calls& calls) {
  using Waiting = std::map<std::string, Registration>::value_type;
  const auto key_of = [](const std::optional<limit::ClientKey>& n) {
    return n ? std::pair(static_cast<int>(n->kind), n->value) : std::pair(0, uint64_t{0});
  };
  std::map<std::pair<int, uint64_t>, size_t> of_network;
  size_t of_machine = 0;
  size_t bytes = 0;
  for (const auto& [id, waiting] : registrations_) {
    ++of_network[key_of(waiting.network)];
    bytes += waiting.bytes();
    if (waiting.machine == machine) ++of_machine;
  }
  const auto give_up = [&](const auto& may_go, const auto& sooner) {
    const Waiting* gone = nullptr;
    for (const Waiting& entry : registrations_) {
      if (may_go(entry.second) && (gone == nullptr || sooner(entry.second, gone->second))) {
        gone = &entry;
      }
    }
    if (gone == nullptr) return false;
    bytes -= gone->second.bytes();
    --of_network[key_of(gone->second.network)];
    tailcfg::RegisterResponse response;
    response.error = kTooManyWait;
    finish_waiters(std::string(gone->first), response, calls);
    return true;
  };
  const auto older = [](const Registration& a, const Registration& b) {
    return a.created < b.created;
  };
  if (of_machine >= kMaxRegistrationsOfMachine &&
      !give_up([&](const auto& w) { return w.machine == machine && !w.deciding; }, older)) {
    return false;
  }
  if (network && of_network[key_of(network)] >= options_.max_registrations_of_network &&
      !give_up([&](const auto& w) { return w.network == network && w.idle(); }, older)) {
    return false;
  }
  const size_t needed = request.hostinfo.full_json.size();
  while (registrations_.size() >= options_.max_registrations ||
         bytes + needed > options_.max_registration_bytes) {
    const auto fuller = [&](const Registration& a, const Registration& b) {
      const size_t x = of_network[key_of(a.network)];
      const size_t y = of_network[key_of(b.network)];
      return x != y ? x > y : older(a, b);
    };
    const size_t own = of_network[key_of(network)];
    const auto can_spare = [&](const Registration& w) {
      return !w.deciding && of_network[key_of(w.network)] > own + 1;
    };
    if (!give_up([](const auto& w) { return w.idle(); }, fuller) && !give_up(can_spare, fuller)) {
      return false;
    }
  }
  return true;
}

std::optional<PendingRegistration> Tailnet::registration(std::string_view auth_id) const {
  const std::lock_guard lock(mutex_);
  const auto it = registrations_.find(std::string(auth_id));
  if (it == registrations_.end()) return std::nullopt;
  const Registration& found = it->second;
  const tailcfg::Hostinfo& host = found.request.hostinfo;
  return PendingRegistration{.auth_id = it->first,
                             .machine_key = found.machine,
                             .node_key = found.request.node_key,
                             .hostname = host.hostname,
                             .os = host.os,
                             .client_version = host.ipn_version,
                             .tags = host.request_tags,
                             .routes = host.routable_ips,
                             .ephemeral = found.request.ephemeral,
                             .created = found.created,
                             .expires = found.created + options_.registration_lifetime};
}

void Tailnet::abandon(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, registration] : registrations_) {
    std::erase_if(registration.waiters, [&](const Waiter& w) { return w.ticket == ticket; });
  }
}

void Tailnet::finish_waiters(const std::string& auth_id, const tailcfg::RegisterResponse& response,
                             Calls& calls) {
  const auto it = registrations_.find(auth_id);
  if (it == registrations_.end()) return;
  for (Waiter& waiter : it->second.waiters) {
    calls.push_back([answer = std::move(waiter.answer), response] { answer(response); });
  }
  registrations_.erase(it);
}

void Tailnet::approve(std::string_view auth_id, uint64_t user_id, WallTime now,
                      Answer<NodePtr> answer) {
  if (directory_.user(user_id) == nullptr) {
    return answer(Refusal{Reason::kNotFound, "user not found"});
  }
  Calls calls;
  std::unique_lock lock(mutex_);
  const auto it = registrations_.find(std::string(auth_id));
  if (it == registrations_.end() || it->second.deciding) {
    const bool deciding = it != registrations_.end();
    lock.unlock();
    if (deciding) return answer(Refusal{Reason::kConflict, std::string(kBeingDecided)});
    return answer(Refusal{Reason::kNotFound, std::string(kNoSuchRegistration)});
  }
  Grant grant;
  grant.user_id = user_id;
  if (const std::string refusal = take_requested_tags(it->second.request, user_id, grant);
      !refusal.empty()) {
    // Neither side can change it any more: both are told.
    ++stats_.refused_registrations;
    tailcfg::RegisterResponse response;
    response.error = refusal;
    finish_waiters(it->first, response, calls);
    lock.unlock();
    run(calls);
    return answer(Refusal{Reason::kInvalid, refusal});
  }
  it->second.deciding = true;
  grant.ephemeral = it->second.request.ephemeral;
  grant.method = "cli";
  admit(
      it->second.machine, it->second.request, grant, now,
      [this, now, id = it->first, answer = std::move(answer)](Result<NodePtr, Refusal> done) {
        Calls waiting;
        {
          const std::lock_guard inner(mutex_);
          const Entry* entry = done.ok() ? find((*done)->row.id) : nullptr;
          const auto decided = registrations_.find(id);
          if (entry != nullptr) {
            finish_waiters(id, state_of(*entry, now), waiting);
          } else if (decided != registrations_.end()) {
            decided->second.deciding = false;
          }
        }
        run(waiting);
        answer(std::move(done));
      },
      calls);
  lock.unlock();
  run(calls);
}

void Tailnet::reject(std::string_view auth_id, Answer<void> answer) {
  Calls calls;
  Result<void, Refusal> result;
  {
    const std::lock_guard lock(mutex_);
    const auto it = registrations_.find(std::string(auth_id));
    if (it == registrations_.end()) {
      result = Refusal{Reason::kNotFound, std::string(kNoSuchRegistration)};
    } else if (it->second.deciding) {
      result = Refusal{Reason::kConflict, std::string(kBeingDecided)};
    } else {
      tailcfg::RegisterResponse response;
      response.error = "the registration was refused by an administrator";
      finish_waiters(it->first, response, calls);
    }
  }
  run(calls);
  answer(std::move(result));
}

}  // namespace es::control

// What operators ask for besides the changes of single nodes: addresses that fit the prefixes, and
// looks inside.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <nlohmann/json.hpp>

#include <utility>

namespace es::control {
namespace {

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

// Brings one address of a node into line with the pool. Says what it did; nothing when it fits.
Result<std::optional<std::string>> Tailnet::fit_address(IpAddress::Family family,
                                                        std::string& address,
                                                        NodeAddresses& taken) {
  const char* const version = family == IpAddress::Family::kIpv4 ? "IPv4 " : "IPv6 ";
  const auto before = parse_ip_address(address);
  if (!pool_.serves(family)) {
    if (address.empty()) return std::optional<std::string>();
    return std::optional("removing " + std::string(version) +
                         in_quotes(std::exchange(address, std::string())));
  }
  if (before && pool_.covers(*before)) return std::optional<std::string>();
  ES_TRY(const IpAddress fresh, pool_.allocate(family));
  (family == IpAddress::Family::kIpv4 ? taken.v4 : taken.v6) = fresh;
  address = address_text(fresh);
  return std::optional("assigned " + std::string(version) + in_quotes(address));
}

void Tailnet::backfill_addresses(Answer<std::vector<std::string>> answer) {
  store::Transaction transaction;
  std::vector<std::string> changes;
  std::vector<NodeAddresses> taken;
  std::string failure;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : nodes_) {
      const store::Node& row = entry.node->row;
      store::SetNodeAddresses fitted{id, row.ipv4, row.ipv6};
      NodeAddresses fresh;
      for (const auto& [family, address] : {std::pair{IpAddress::Family::kIpv4, &fitted.ipv4},
                                            std::pair{IpAddress::Family::kIpv6, &fitted.ipv6}}) {
        const auto done = fit_address(family, *address, fresh);
        if (!done.ok()) failure = done.error().what;
        if (!done.ok() || !*done) continue;
        changes.push_back(**done + ((*done)->starts_with("removing") ? " from" : " to") + " Node(" +
                          std::to_string(id) + ") " + in_quotes(row.given_name));
      }
      taken.push_back(fresh);
      if (fitted.ipv4 != row.ipv4 || fitted.ipv6 != row.ipv6) {
        transaction.changes.push_back(std::move(fitted));
      }
    }
    if (!failure.empty()) {
      for (const NodeAddresses& fresh : taken) pool_.release(fresh);
    }
  }
  if (!failure.empty()) return answer(Refusal{Reason::kRetryLater, failure});
  if (transaction.changes.empty()) return answer(std::move(changes));
  directory_.submit(std::move(transaction),
                    [this, changes = std::move(changes), taken = std::move(taken),
                     answer = std::move(answer)](auto done) {
                      if (done.ok()) return answer(changes);
                      {
                        const std::lock_guard lock(mutex_);
                        for (const NodeAddresses& fresh : taken) pool_.release(fresh);
                      }
                      answer(directory_.refusal_of(done.error(), "node"));
                    });
}

std::optional<std::string> Tailnet::full_map(uint64_t id, WallTime now) {
  // Outlives the lock, which its end takes.
  MapSession session(*this, id, Compression::kNone, {});
  Calls calls;
  MapPayload out(Compression::kNone);
  {
    const std::lock_guard lock(mutex_);
    Entry* const entry = find(id);
    if (entry == nullptr) return std::nullopt;
    // A new policy is brought only to who is connected.
    if (entry->session != nullptr) {
      refresh(*entry->session, calls);
    } else if (policy_ != nullptr && entry->policy_epoch != policy_epoch_) {
      sync_peers(*entry, calls);
    }
    session.limited_ = entry->node->expired(now);
    write_full(session, now, out);
    --stats_.full_maps;  // it was sent to nobody
  }
  run(calls);
  return out.finish().joined();
}

Result<PendingRegistration, Refusal> Tailnet::add_registration(
    std::string_view auth_id, std::string_view hostname, const std::vector<std::string>& routes,
    WallTime now) {
  const auto random_key = [this] {
    tailcfg::RawKey raw{};
    options_.random(raw);
    return raw;
  };
  tailcfg::RegisterRequest request;
  request.version = kMinCapabilityVersion;
  request.node_key = tailcfg::NodeKey(random_key());
  request.hostinfo = tailcfg::hostinfo_of_text(
      nlohmann::json{{"Hostname", std::string(hostname)}, {"RoutableIPs", routes}}.dump());
  const tailcfg::MachineKey machine(random_key());
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    if (registrations_.contains(std::string(auth_id))) {
      return Refusal{Reason::kConflict, "a registration waits under this id already"};
    }
    if (!make_room_for(machine, request, {}, calls)) {
      return Refusal{Reason::kRetryLater, "too many registrations are waiting"};
    }
    registrations_[std::string(auth_id)] =
        Registration{machine, std::move(request), now, {}, false};
  }
  run(calls);
  return *registration(auth_id);
}

}  // namespace es::control

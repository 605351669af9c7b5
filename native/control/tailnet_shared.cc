// What every node is told besides its peers, and what routers are asked.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <map>
#include <utility>

namespace es::control {
namespace {

// A session that does not read is asked no more than this.
constexpr size_t kMaxWaitingPings = 4;

}  // namespace

void Tailnet::mark_shared(uint8_t shared, Calls& calls) {
  for (auto& [id, entry] : nodes_) {
    if (entry.session == nullptr) continue;
    entry.session->shared_ |= shared;
    wake(*entry.session, calls);
  }
}

void Tailnet::set_dns_config(std::string json) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    if (json == dns_config_json_) return;
    dns_config_json_ = std::move(json);
    mark_shared(kDnsConfig, calls);
  }
  run(calls);
}

void Tailnet::set_derp_map(std::string json) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    if (json == derp_map_json_) return;
    derp_map_json_ = std::move(json);
    mark_shared(kDerpMap, calls);
  }
  run(calls);
}

NodePtr Tailnet::node_of(const tailcfg::MachineKey& machine, const tailcfg::NodeKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return nullptr;
  const NodePtr& node = nodes_.at(it->second).node;
  return node->machine_key == machine ? node : nullptr;
}

bool Tailnet::send_ping(uint64_t id, std::string ping_request_json) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    Entry* const entry = find(id);
    if (entry == nullptr || entry->session == nullptr) return false;
    MapSession& session = *entry->session;
    if (session.pings_.size() >= kMaxWaitingPings) return false;
    session.pings_.push_back(std::move(ping_request_json));
    wake(session, calls);
  }
  run(calls);
  return true;
}

std::vector<uint64_t> Tailnet::contested_routers() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::vector<uint64_t>> servers;
  for (const auto& [id, entry] : nodes_) {
    for (std::string& route : usable_routes(*entry.node)) {
      if (!is_exit_route(route)) servers[std::move(route)].push_back(id);
    }
  }
  std::set<uint64_t> out;
  for (const auto& [route, ids] : servers) {
    if (ids.size() < 2) continue;
    for (const uint64_t id : ids) {
      if (nodes_.at(id).session != nullptr) out.insert(id);
    }
  }
  return {out.begin(), out.end()};
}

void Tailnet::set_responsive(uint64_t id, bool responsive, WallTime asked) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    Entry* const entry = find(id);
    if (entry == nullptr || entry->responsive == responsive) return;
    // The question may have gone into a session that was dead already.
    if (!responsive && entry->last_contact > asked) return;
    entry->responsive = responsive;
    // A policy that is compiled meanwhile catches up by versions.
    change(*entry, 0, calls, [](Node&) {});
    follow(*entry, calls);
    choose_primaries(calls);
  }
  run(calls);
}

}  // namespace es::control

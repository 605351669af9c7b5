// The policy's part of the tailnet: who sees whom, and what each session has yet to hear of it.
//
// Visibility is kept as a bit for each pair of nodes, on both ends; whenever one end is looked at
// again, differences become marks in the sessions of both. A node's change looks at this node
// alone. A new policy looks at every connected node, a few at a time; a session that takes a
// message before its turn is looked at then.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace es::control {
namespace {

// Sessions that are looked at while others wait for the lock.
constexpr size_t kSlice = 16;

// "1.82.5-t1234-gabc" is 1.82.5; odd minor versions are unstable ones.
policy::Attributes attributes_of(const tailcfg::Hostinfo& host) {
  policy::Attributes out;
  const auto set = [&](const char* name, std::string value) {
    if (!value.empty()) out[name] = std::move(value);
  };
  set("node:os", host.os);
  set("node:osVersion", host.os_version);
  const std::string version = host.ipn_version.substr(0, host.ipn_version.find('-'));
  set("node:tsVersion", version);
  const size_t dot = version.find('.');
  if (dot != std::string::npos) {
    const std::string minor = version.substr(dot + 1, version.find('.', dot + 1) - dot - 1);
    const bool odd = !minor.empty() && (minor.back() - '0') % 2 != 0;
    set("node:tsReleaseTrack", odd ? "unstable" : "stable");
  }
  return out;
}

std::vector<policy::User> policy_users(const Directory& directory) {
  std::vector<policy::User> out;
  for (const auto& user : directory.users().rows) {
    out.push_back({user->id, user->name, user->email, user->provider_identifier,
                   policy::parse_role(user->role).value_or(policy::Role::kMember)});
  }
  return out;
}

}  // namespace

bool differs_for_policy(const Node& a, const Node& b) {
  return a.online != b.online || a.row.ipv4 != b.row.ipv4 || a.row.ipv6 != b.row.ipv6 ||
         a.row.user_id != b.row.user_id || a.row.tags != b.row.tags ||
         a.row.approved_routes != b.row.approved_routes ||
         a.hostinfo.routable_ips != b.hostinfo.routable_ips || a.hostinfo.os != b.hostinfo.os ||
         a.hostinfo.os_version != b.hostinfo.os_version ||
         a.hostinfo.ipn_version != b.hostinfo.ipn_version;
}

policy::Node Tailnet::policy_node(const Entry& entry) const {
  const Node& node = *entry.node;
  policy::Node out;
  out.id = node.row.id;
  out.slot = entry.slot;
  out.user = node.row.user_id;
  out.tags = node.row.tags;
  for (const std::string* text : {&node.row.ipv4, &node.row.ipv6}) {
    if (const auto a = policy::Address::parse(*text)) out.addresses.push_back(*a);
  }
  if (!node.hostinfo.routable_ips.empty()) {
    for (const std::string& route : usable_routes(node)) {
      if (const auto prefix = policy::Prefix::parse(route)) out.routes.push_back(*prefix);
    }
  }
  out.attributes = attributes_of(node.hostinfo);
  out.serving = node.online && entry.responsive && !entry.expiry_announced;
  return out;
}

bool Tailnet::sees(const Entry& viewer, const Entry& peer) const {
  if (viewer.slot == peer.slot) return false;
  return policy_ == nullptr || viewer.peers.test(peer.slot);
}

void Tailnet::mark_views(MapSession* session, uint8_t views, Calls& calls) {
  if (session == nullptr) return;
  session->views_ |= views;
  wake(*session, calls);
}

// The routes that this node serves may have moved: to it, or away.
void Tailnet::mark_router(const Entry& router, Calls& calls) {
  mark_views(router.session, kRoutes, calls);
  for_viewers(router, [&](Entry& viewer) { mark_views(viewer.session, kRoutes, calls); });
}

void Tailnet::spread(const policy::Impact& impact, Calls& calls) {
  const auto each = [&](const policy::Bits& slots, auto&& f) {
    slots.for_each([&](uint32_t slot) {
      if (slot < slots_.size() && slots_[slot] != nullptr) f(*slots_[slot]);
    });
  };
  each(impact.nodes, [&](Entry& e) {
    sync_peers(e, calls);
    mark_views(e.session, kAllViews, calls);
  });
  each(impact.filters, [&](Entry& e) { mark_views(e.session, kFilter, calls); });
  each(impact.ssh, [&](Entry& e) { mark_views(e.session, kSsh, calls); });
  each(impact.routers, [&](Entry& e) { mark_router(e, calls); });
}

// The node has changed: so may have what it sees, and what is seen of it.
void Tailnet::follow(Entry& entry, Calls& calls) {
  if (policy_ == nullptr) return;
  spread(policy_->index().put_node(policy_node(entry)), calls);
  follow_attributes(entry, calls);
}

// disable-ipv4 shows in how others see the node, and in how it sees them all.
void Tailnet::follow_attributes(Entry& entry, Calls& calls) {
  const bool disabled = policy_ != nullptr && policy_->index().ipv4_disabled(entry.node->row.id);
  if (disabled == entry.ipv4_disabled) return;
  entry.ipv4_disabled = disabled;
  change(entry, kWhole, calls, [](Node&) {});
  if (entry.session != nullptr) entry.session->policy_.ipv4_disabled = disabled;
  for (Entry* const peer : slots_) {
    if (peer == nullptr || !sees(entry, *peer)) continue;
    mark_one(entry.session, peer->node->row.id, kWhole, calls);
  }
  mark_self(entry, calls);
}

void Tailnet::follow_users(Calls& calls) {
  if (policy_ == nullptr) return;
  spread(policy_->index().set_users(policy_users(directory_)), calls);
  for (auto& [id, entry] : nodes_) follow_attributes(entry, calls);
}

// A profile goes with the nodes of its user.
void Tailnet::show_profile_again(uint64_t user, Calls& calls) {
  for (auto& [id, entry] : nodes_) {
    if (entry.session != nullptr) entry.session->profiles_.erase(user);
  }
  for (auto& [id, entry] : nodes_) {
    if (entry.node->owner() != user) continue;
    mark(entry, kWhole, calls);
    mark_self(entry, calls);
  }
}

void Tailnet::sync_peers(Entry& entry, Calls& calls) {
  entry.policy_epoch = policy_epoch_;
  const uint64_t id = entry.node->row.id;
  policy::Bits now = policy_->index().peer_slots(id);
  policy::Bits gone = entry.peers;
  gone.subtract(now);
  policy::Bits fresh = now;
  fresh.subtract(entry.peers);
  const auto tell = [&](uint32_t slot, uint8_t mark, auto&& edit) {
    Entry* const other = slot < slots_.size() ? slots_[slot] : nullptr;
    if (other == nullptr) return;
    edit(other->peers);
    mark_one(other->session, id, mark, calls);
    mark_one(entry.session, other->node->row.id, mark, calls);
  };
  gone.for_each([&](uint32_t slot) {
    tell(slot, kRemoved, [&](policy::Bits& peers) { peers.clear(entry.slot); });
  });
  fresh.for_each([&](uint32_t slot) {
    tell(slot, kWhole, [&](policy::Bits& peers) { peers.set(entry.slot); });
  });
  entry.peers = std::move(now);
}

// Looks at what may have changed for the session's node and keeps what the client has yet to hear.
void Tailnet::refresh(MapSession& session, Calls& calls) {
  if (policy_ == nullptr) return;
  Entry* const self = find(session.node_id_);
  if (self == nullptr) return;
  if (self->policy_epoch != policy_epoch_) {
    sync_peers(*self, calls);
    session.views_ = kAllViews;
  }
  if (session.full_ || session.limited_) return;  // all of it is made anew, or nothing
  const uint64_t id = session.node_id_;
  PolicyState& state = session.policy_;
  const uint8_t views = std::exchange(session.views_, 0);
  if ((views & kFilter) != 0) {
    NamedFilter filter = policy_->filter_of(id);
    const bool same =
        std::equal(filter.begin(), filter.end(), state.rules.begin(), state.rules.end(),
                   [](const NamedRule& r, uint64_t name) { return r.name == name; });
    state.next_filter = same ? nullptr : std::make_shared<const NamedFilter>(std::move(filter));
  }
  if ((views & kSsh) != 0) {
    std::string ssh = policy_->ssh_of(id);
    const bool same = hash_text(ssh) == state.ssh;
    state.next_ssh = same ? nullptr : std::make_shared<const std::string>(std::move(ssh));
  }
  if ((views & kAttributes) != 0) {
    session.self_ |= hash_text(policy_->attributes_of(id)) != state.attributes;
  }
  if ((views & kRoutes) != 0) refresh_routes(session, *self);
}

// Peers that serve other routes than before to this viewer are sent again.
void Tailnet::refresh_routes(MapSession& session, const Entry& self) {
  const SeenRoutes now = policy_->routes_of(session.node_id_);
  const SeenRoutes before = std::exchange(session.policy_.routes, now);
  if (before == now) return;
  const auto send_again = [&](const Entry& peer) {
    if (!sees(self, peer)) return;
    uint8_t& marks = session.marks_[peer.node->row.id];
    if ((marks & kRemoved) == 0) marks |= kWhole;
  };
  if (before == nullptr) {
    // It was told without a policy, when every router served everybody.
    for (const auto& [id, entry] : nodes_) {
      if (!entry.node->hostinfo.routable_ips.empty()) send_again(entry);
    }
    return;
  }
  std::vector<policy::SeenRoute> moved;
  std::set_symmetric_difference(before->begin(), before->end(), now->begin(), now->end(),
                                std::back_inserter(moved));
  for (const policy::SeenRoute& route : moved) {
    if (const Entry* const peer = find(route.peer)) send_again(*peer);
  }
}

std::string Tailnet::unknown_tag(const std::vector<std::string>& tags) const {
  const std::lock_guard lock(mutex_);
  if (policy_ == nullptr) return {};
  const auto it = std::find_if(tags.begin(), tags.end(), [&](const std::string& tag) {
    return !policy_->index().tag_exists(tag);
  });
  return it == tags.end() ? std::string() : *it;
}

// Routes that the policy approves need nobody else's word. What was approved stays approved, also
// what an operator approves meanwhile.
void Tailnet::approve_by_policy(Entry& entry, Calls& calls) {
  if (policy_ == nullptr) return;
  const Node& node = *entry.node;
  const std::vector<std::string>& approved = node.row.approved_routes;
  std::vector<std::string> more;
  for (const std::string& route : node.hostinfo.routable_ips) {
    const auto prefix = policy::Prefix::parse(route);
    if (!prefix || std::find(approved.begin(), approved.end(), route) != approved.end()) continue;
    if (policy_->index().approves_route(node.row.id, *prefix)) more.push_back(route);
  }
  if (more.empty()) return;
  submit({{store::AddNodeRoutes{node.row.id, std::move(more), {}}}}, {}, calls);
}

std::unique_ptr<CompiledPolicy> Tailnet::compile_policy(std::string_view text,
                                                        policy::Problems& problems) const {
  auto out = std::make_unique<CompiledPolicy>();
  out->policy = policy::read_policy(text, {}, problems);
  if (out->policy == nullptr) return nullptr;
  const auto read = [&](auto&& f) {
    std::vector<policy::Node> nodes;
    const std::lock_guard lock(mutex_);
    for (const auto& [id, entry] : nodes_) {
      nodes.push_back(policy_node(entry));
      f(nodes.back(), entry);
    }
    out->version = version_;
    return nodes;
  };
  out->users_version = directory_.users_version();
  std::vector<std::pair<size_t, std::string>> announced;
  const std::vector<policy::Node> nodes = read([&](const policy::Node& node, const Entry& entry) {
    out->nodes.push_back(node.id);
    for (const std::string& route : entry.node->hostinfo.routable_ips) {
      announced.emplace_back(out->nodes.size() - 1, route);
    }
  });
  out->index = std::make_unique<policy::PolicyIndex>(out->policy, policy_users(directory_), nodes);
  // The policy's tests see the routes that it approves itself.
  std::map<size_t, policy::Node> routers;
  for (const auto& [at, route] : announced) {
    const auto prefix = policy::Prefix::parse(route);
    if (!prefix || !out->index->approves_route(nodes[at].id, *prefix)) continue;
    policy::Node& node = routers.try_emplace(at, nodes[at]).first->second;
    if (std::find(node.routes.begin(), node.routes.end(), *prefix) == node.routes.end()) {
      node.routes.push_back(*prefix);
    }
  }
  for (const auto& [at, node] : routers) out->index->put_node(node);
  out->index->run_tests(problems);
  if (!problems.empty()) return nullptr;
  for (const auto& [at, node] : routers) out->index->put_node(nodes[at]);
  return out;
}

// What happened to nodes and users while the policy was compiled.
void Tailnet::catch_up(const CompiledPolicy& compiled) {
  policy::PolicyIndex& index = *compiled.index;
  for (const uint64_t id : compiled.nodes) {
    if (!nodes_.contains(id)) index.remove_node(id);
  }
  for (const auto& [id, entry] : nodes_) {
    if (entry.node->version > compiled.version) index.put_node(policy_node(entry));
  }
  if (directory_.users_version() != compiled.users_version) {
    index.set_users(policy_users(directory_));
  }
}

void Tailnet::install_policy(std::unique_ptr<CompiledPolicy> compiled) {
  Calls calls;
  std::vector<uint64_t> connected;
  {
    const std::lock_guard lock(mutex_);
    catch_up(*compiled);
    if (policy_ == nullptr) {
      // Until now everybody saw everybody.
      policy::Bits all;
      for (const auto& [id, entry] : nodes_) all.set(entry.slot);
      for (auto& [id, entry] : nodes_) {
        entry.peers = all;
        entry.peers.clear(entry.slot);
      }
    }
    policy_ = std::make_unique<PolicyView>(std::move(compiled->index));
    ++policy_epoch_;
    for (PeerBlock& block : blocks_) block.stale = true;
    choose_primaries(calls);
    for (auto& [id, entry] : nodes_) {
      follow_attributes(entry, calls);
      approve_by_policy(entry, calls);
      if (entry.session != nullptr) connected.push_back(id);
    }
  }
  run(calls);
  for (size_t at = 0; at < connected.size(); at += kSlice) {
    calls.clear();
    {
      const std::lock_guard lock(mutex_);
      for (size_t i = at; i < std::min(at + kSlice, connected.size()); ++i) {
        Entry* const entry = find(connected[i]);
        if (entry == nullptr || entry->session == nullptr) continue;
        refresh(*entry->session, calls);
        if (entry->session->has_news()) wake(*entry->session, calls);
      }
    }
    run(calls);
  }
}

bool Tailnet::has_policy() const {
  const std::lock_guard lock(mutex_);
  return policy_ != nullptr;
}

std::optional<policy::Verdict> Tailnet::explain(const policy::Address& src,
                                                const policy::Address& dst, int protocol,
                                                uint16_t port) const {
  const std::lock_guard lock(mutex_);
  if (policy_ == nullptr) return std::nullopt;
  return policy_->index().check(src, dst, protocol, port);
}

std::optional<SshCheck> Tailnet::ssh_check(uint64_t source, uint64_t destination,
                                           std::string_view login) const {
  const std::lock_guard lock(mutex_);
  if (policy_ == nullptr) return std::nullopt;
  const auto from = nodes_.find(source);
  const auto to = nodes_.find(destination);
  if (from == nodes_.end() || to == nodes_.end()) return std::nullopt;
  const auto period = policy_->index().ssh_check_period(source, destination, login);
  if (!period) return std::nullopt;
  const NodePtr& node = from->second.node;
  return SshCheck{*period, policy_epoch_, node, to->second.node, profile_of(*node).login_name};
}

}  // namespace es::control

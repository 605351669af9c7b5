#include "native/control/tailnet.h"

#include "native/control/names.h"
#include "native/control/tailnet_state.h"

#include <algorithm>
#include <utility>

namespace es::control {
namespace {

NodeAddresses addresses_of(const store::Node& row) {
  return {parse_ip_address(row.ipv4), parse_ip_address(row.ipv6)};
}

Refusal node_not_found() { return {Reason::kNotFound, "node not found"}; }

}  // namespace

Tailnet::Tailnet(Directory& directory, TailnetOptions options, AddressPool pool)
    : directory_(directory),
      options_(std::move(options)),
      dns_config_json_(options_.dns_config_json),
      derp_map_json_(options_.derp_map_json),
      pool_(std::move(pool)) {}

Tailnet::~Tailnet() = default;

Result<std::unique_ptr<Tailnet>, Refusal> Tailnet::create(Directory& directory,
                                                          std::vector<store::Node> nodes,
                                                          TailnetOptions options, WallTime now) {
  auto pool = AddressPool::create(options.addresses);
  if (!pool.ok()) return Refusal{Reason::kInvalid, std::string(pool.error().what)};
  std::unique_ptr<Tailnet> tailnet(
      new Tailnet(directory, std::move(options), std::move(pool).value()));
  Calls calls;  // nobody listens yet
  for (store::Node& row : nodes) {
    const uint64_t id = row.id;
    auto node = node_of_row(std::move(row));
    if (!node) {
      return Refusal{Reason::kBroken,
                     "the stored keys of node " + std::to_string(id) + " cannot be read"};
    }
    Entry& entry = tailnet->insert(std::move(*node));
    entry.last_contact = now;
    entry.expiry_announced = entry.node->expired(now);
  }
  tailnet->ticked_at_ = now;
  tailnet->choose_primaries(calls);
  return tailnet;
}

Tailnet::Entry* Tailnet::find(uint64_t id) {
  const auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : &it->second;
}

Tailnet::Entry* Tailnet::find(const tailcfg::NodeKey& key) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : find(it->second);
}

Tailnet::Entry* Tailnet::entry_of(const tailcfg::MachineKey& machine, const tailcfg::NodeKey& key) {
  Entry* entry = find(key);
  return entry != nullptr && entry->node->machine_key == machine ? entry : nullptr;
}

Tailnet::Entry& Tailnet::insert(Node node) {
  const uint64_t id = node.row.id;
  pool_.reserve(addresses_of(node.row));
  (void)names_.take(node.row.given_name);
  by_key_[node.node_key] = id;
  by_machine_[node.machine_key].insert(id);
  node.version = ++version_;
  quiet_until_ = {};
  Entry& entry = nodes_[id];
  entry.node = std::make_shared<const Node>(std::move(node));
  if (free_slots_.empty()) {
    entry.slot = static_cast<uint32_t>(slots_.size());
    slots_.push_back(&entry);
  } else {
    entry.slot = free_slots_.back();
    free_slots_.pop_back();
    slots_[entry.slot] = &entry;
  }
  spoil_block(entry);
  return entry;
}

void Tailnet::erase(uint64_t id, Calls& calls) {
  const auto it = nodes_.find(id);
  if (it == nodes_.end()) return;
  Entry& entry = it->second;
  const Node& node = *entry.node;
  pool_.release(addresses_of(node.row));
  names_.release(node.row.given_name);
  by_key_.erase(node.node_key);
  auto& siblings = by_machine_[node.machine_key];
  siblings.erase(id);
  if (siblings.empty()) by_machine_.erase(node.machine_key);
  if (entry.session != nullptr) {
    entry.session->ended_ = true;
    entry.session->farewell_ = farewell_json(entry);
    calls.push_back(entry.session->wake_);
    --stats_.sessions;
  }
  if (node.online) --stats_.online;
  const bool routed = !usable_routes(node).empty();
  mark(entry, kRemoved, calls);
  const uint32_t slot = entry.slot;
  entry.peers.for_each([&](uint32_t other) {
    if (other < slots_.size() && slots_[other] != nullptr) slots_[other]->peers.clear(slot);
  });
  spoil_block(entry);
  slots_[slot] = nullptr;
  free_slots_.push_back(slot);
  nodes_.erase(it);
  if (policy_ != nullptr) spread(policy_->index().remove_node(id), calls);
  if (routed) choose_primaries(calls);
}

void Tailnet::mark(Entry& entry, uint8_t marks, Calls& calls) {
  const uint64_t id = entry.node->row.id;
  for_viewers(entry, [&](Entry& viewer) { mark_one(viewer.session, id, marks, calls); });
}

void Tailnet::mark_one(MapSession* viewer, uint64_t id, uint8_t marks, Calls& calls) {
  if (viewer == nullptr || viewer->limited_) return;
  uint8_t& pending = viewer->marks_[id];
  pending = marks == kRemoved ? marks : static_cast<uint8_t>((pending & ~kRemoved) | marks);
  wake(*viewer, calls);
}

void Tailnet::mark_self(Entry& entry, Calls& calls) {
  if (entry.session == nullptr) return;
  entry.session->self_ = true;
  wake(*entry.session, calls);
}

// The client comes back at once and gets a map from the start.
void Tailnet::end_session(Entry& entry, Calls& calls) {
  if (entry.session == nullptr) return;
  entry.session->ended_ = true;
  calls.push_back(entry.session->wake_);
}

// Peers learn it, and the client gets a map without its peers, or with them again. True when routes
// may go to another router: choose_primaries() then.
bool Tailnet::set_expired(Entry& entry, bool expired, Calls& calls) {
  const bool before = std::exchange(entry.expiry_announced, expired);
  if (entry.session != nullptr && entry.session->limited_ != expired) end_session(entry, calls);
  if (before == expired) return false;
  change(entry, kWhole, calls, [](Node&) {});
  follow(entry, calls);
  return !usable_routes(*entry.node).empty();
}

void Tailnet::wake(MapSession& session, Calls& calls) {
  if (session.woken_ || session.limited_) return;
  session.woken_ = true;
  calls.push_back(session.wake_);
}

// Each route is served by one node: the one that serves it as long as it is online and answers,
// else the best of the others: one that is online and answers, one that is online, any (so that a
// route is known at all); of equals the lowest id.
void Tailnet::choose_primaries(Calls& calls) {
  std::map<std::string, std::vector<const Entry*>> servers;
  for (const auto& [id, entry] : nodes_) {
    for (std::string& route : usable_routes(*entry.node)) {
      if (!is_exit_route(route)) servers[std::move(route)].push_back(&entry);
    }
  }
  const auto fitness = [](const Entry& e) {
    return e.node->online && !e.expiry_announced ? (e.responsive ? 2 : 1) : 0;
  };
  std::map<std::string, uint64_t> chosen;
  std::map<uint64_t, std::vector<std::string>> routes_of;
  for (const auto& [route, entries] : servers) {
    const auto before = primaries_.find(route);
    const Entry* best = nullptr;
    for (const Entry* entry : entries) {
      const bool serves = before != primaries_.end() && before->second == entry->node->row.id;
      const int better = best == nullptr ? 1 : fitness(*entry) - fitness(*best);
      if (better > 0 || (better == 0 && serves && entry->node->online)) best = entry;
    }
    chosen[route] = best->node->row.id;
    routes_of[best->node->row.id].push_back(route);
  }
  primaries_ = std::move(chosen);
  if (policy_ != nullptr) {
    for (const auto& [route, id] : primaries_) {
      if (const auto prefix = policy::Prefix::parse(route)) {
        policy_->index().prefer_router(*prefix, id);
      }
    }
  }
  for (auto& [id, entry] : nodes_) {
    const auto it = routes_of.find(id);
    const std::vector<std::string> routes =
        it == routes_of.end() ? std::vector<std::string>{} : it->second;
    if (entry.node->primary_routes == routes) continue;
    // With a policy it depends on the viewer whether this makes a difference.
    change(entry, policy_ == nullptr ? kWhole : 0, calls,
           [&](Node& node) { node.primary_routes = routes; });
    if (policy_ != nullptr) mark_router(entry, calls);
    mark_self(entry, calls);
  }
}

void Tailnet::set_online(Entry& entry, bool online, WallTime now, Calls& calls) {
  entry.last_contact = now;
  if (entry.node->online == online) return;
  stats_.online = online ? stats_.online + 1 : stats_.online - 1;
  change(entry, kOnline, calls, [&](Node& node) {
    node.online = online;
    if (!online) node.row.last_seen = now;
  });
  if (!online) submit({{store::TouchNodes{{{entry.node->row.id, now}}}}}, {}, calls);
  if (!usable_routes(*entry.node).empty()) choose_primaries(calls);
}

void Tailnet::apply(std::span<const store::Transaction> commits) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    for (const store::Transaction& commit : commits) {
      for (const store::Change& change : commit.changes) apply_change(change, calls);
    }
  }
  run(calls);
}

void Tailnet::apply_routes(uint64_t id, const std::vector<std::string>& approved, Calls& calls) {
  Entry* entry = find(id);
  if (entry == nullptr) return;
  change(*entry, policy_ == nullptr ? kWhole : 0, calls,
         [&](Node& node) { node.row.approved_routes = approved; });
  mark_self(*entry, calls);
  choose_primaries(calls);
}

void Tailnet::apply_change(const store::Change& stored, Calls& calls) {
  if (const auto* c = std::get_if<store::InsertNode>(&stored)) {
    auto node = node_of_row(c->node);
    if (!node) return;
    Entry& entry = insert(std::move(*node));
    entry.last_contact = c->node.created_at;
    follow(entry, calls);  // marks it where it is seen
    if (policy_ == nullptr) mark(entry, kWhole, calls);
    approve_by_policy(entry, calls);
    if (!usable_routes(*entry.node).empty()) choose_primaries(calls);
  } else if (const auto* identity = std::get_if<store::SetNodeIdentity>(&stored)) {
    Entry* entry = find(identity->id);
    const auto key = tailcfg::NodeKey::parse(identity->node_key);
    if (entry == nullptr || !key) return;
    by_key_.erase(entry->node->node_key);
    by_key_[*key] = identity->id;
    const bool routes_go = entry->node->row.approved_routes != identity->approved_routes;
    change(*entry, kWhole, calls, [&](Node& node) {
      node.node_key = *key;
      node.row.node_key = identity->node_key;
      node.row.user_id = identity->user_id;
      node.row.tags = identity->tags;
      node.row.pre_auth_key_id = identity->pre_auth_key_id;
      node.row.register_method = identity->register_method;
      node.row.ephemeral = identity->ephemeral;
      node.row.expiry = identity->expiry;
      node.row.approved_routes = identity->approved_routes;
    });
    mark_self(*entry, calls);
    const bool expiry_turned = set_expired(*entry, entry->node->expired(ticked_at_), calls);
    if (expiry_turned || routes_go) choose_primaries(calls);
    approve_by_policy(*entry, calls);
  } else if (const auto* name = std::get_if<store::RenameNode>(&stored)) {
    Entry* entry = find(name->id);
    if (entry == nullptr) return;
    if (entry->node->row.given_name != name->given_name) {
      names_.release(entry->node->row.given_name);
      (void)names_.take(name->given_name);
    }
    change(*entry, kWhole, calls, [&](Node& node) {
      node.row.given_name = name->given_name;
      node.row.name_is_chosen = name->name_is_chosen;
    });
    mark_self(*entry, calls);
  } else if (const auto* tags = std::get_if<store::SetNodeTags>(&stored)) {
    Entry* entry = find(tags->id);
    if (entry == nullptr) return;
    change(*entry, kWhole, calls, [&](Node& node) {
      node.row.tags = tags->tags;
      node.row.user_id.reset();
    });
    mark_self(*entry, calls);
    approve_by_policy(*entry, calls);
  } else if (const auto* expiry = std::get_if<store::SetNodeExpiry>(&stored)) {
    Entry* entry = find(expiry->id);
    if (entry == nullptr) return;
    change(*entry, kWhole, calls, [&](Node& node) { node.row.expiry = expiry->expiry; });
    mark_self(*entry, calls);
    if (set_expired(*entry, entry->node->expired(ticked_at_), calls)) choose_primaries(calls);
  } else if (const auto* routes = std::get_if<store::SetNodeRoutes>(&stored)) {
    apply_routes(routes->id, routes->approved_routes, calls);
  } else if (const auto* more = std::get_if<store::AddNodeRoutes>(&stored)) {
    apply_routes(more->id, more->approved_routes, calls);
  } else if (const auto* addresses = std::get_if<store::SetNodeAddresses>(&stored)) {
    Entry* entry = find(addresses->id);
    if (entry == nullptr) return;
    pool_.release(addresses_of(entry->node->row));
    change(*entry, kWhole, calls, [&](Node& node) {
      node.row.ipv4 = addresses->ipv4;
      node.row.ipv6 = addresses->ipv6;
    });
    pool_.reserve(addresses_of(entry->node->row));
    mark_self(*entry, calls);
  } else if (const auto* gone = std::get_if<store::DeleteNode>(&stored)) {
    erase(gone->id, calls);
  } else if (std::holds_alternative<store::InsertUser>(stored) ||
             std::holds_alternative<store::RenameUser>(stored) ||
             std::holds_alternative<store::SetUserRole>(stored) ||
             std::holds_alternative<store::DeleteUser>(stored)) {
    follow_users(calls);
    if (const auto* user = std::get_if<store::RenameUser>(&stored)) {
      show_profile_again(user->id, calls);
    }
  }
  // SetNodeInfo and TouchNodes were applied before they were stored.
}

// What time alone changes of nodes: who is offline, expired, or ephemeral and gone. Remembers when
// the next of these is due, if nothing else changes until then.
void Tailnet::look_at_nodes(WallTime now, Calls& calls) {
  WallTime next = WallTime::max();
  std::vector<uint64_t> gone;
  bool routes_move = false;
  for (auto& [id, entry] : nodes_) {
    if (entry.session == nullptr && entry.offline_at) {
      if (*entry.offline_at <= now) {
        entry.offline_at.reset();
        set_online(entry, false, now, calls);
      } else {
        next = std::min(next, *entry.offline_at);
      }
    }
    const Node& node = *entry.node;
    if (node.row.ephemeral && entry.session == nullptr && !node.online) {
      const WallTime due = entry.last_contact + options_.ephemeral_timeout;
      if (due <= now) gone.push_back(id);
      next = std::min(next, std::max(due, now));
    }
    if (entry.expiry_announced) continue;
    if (node.expired(now)) {
      routes_move |= set_expired(entry, true, calls);
    } else if (node.row.expiry) {
      next = std::min(next, *node.row.expiry);
    }
  }
  if (routes_move) choose_primaries(calls);
  for (const uint64_t id : gone) {
    // Not twice while the commit is on its way.
    find(id)->last_contact = now;
    submit({{store::DeleteNode{id}}}, {}, calls);
  }
  quiet_until_ = next;
}

void Tailnet::tick(WallTime now) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    ticked_at_ = now;
    if (now >= quiet_until_) look_at_nodes(now, calls);
    for (auto it = registrations_.begin(); it != registrations_.end();) {
      const bool old = now - it->second.created >= options_.registration_lifetime;
      if (!old) {
        ++it;
        continue;
      }
      // The client asks again and gets a new page.
      tailcfg::RegisterResponse response;
      response.error = "the registration was not approved in time; try again";
      for (Waiter& waiter : it->second.waiters) {
        calls.push_back([answer = std::move(waiter.answer), response] { answer(response); });
      }
      it = registrations_.erase(it);
    }
  }
  run(calls);
}

void Tailnet::submit(store::Transaction transaction, store::Store::Done done, Calls& calls) {
  calls.push_back([this, transaction = std::move(transaction), done = std::move(done)] {
    directory_.submit(transaction, done);
  });
}

void Tailnet::store_info(Entry& entry, Calls& calls) {
  // One write at a time: what changes meanwhile goes with the next.
  if (!entry.info_stored) return;
  entry.info_stored = false;
  const store::Node& row = entry.node->row;
  store::SetNodeInfo info{.id = row.id,
                          .disco_key = row.disco_key,
                          .hostname = row.hostname,
                          .hostinfo = row.hostinfo,
                          .endpoints = row.endpoints,
                          .home_derp = row.home_derp,
                          .capability_version = row.capability_version};
  submit(
      {{std::move(info)}},
      [this, id = row.id, version = entry.node->version](auto done) {
        Calls next;
        {
          const std::lock_guard lock(mutex_);
          Entry* found = find(id);
          if (found == nullptr) return;
          found->info_stored = true;
          if (done.ok() && found->node->version != version) store_info(*found, next);
        }
        run(next);
      },
      calls);
}

std::vector<NodePtr> Tailnet::nodes() const {
  const std::lock_guard lock(mutex_);
  std::vector<NodePtr> out;
  out.reserve(nodes_.size());
  for (const auto& [id, entry] : nodes_) out.push_back(entry.node);
  return out;
}

NodePtr Tailnet::node(uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(id);
  return it == nodes_.end() ? nullptr : it->second.node;
}

bool Tailnet::knows(const tailcfg::MachineKey& key) const {
  const std::lock_guard lock(mutex_);
  return by_machine_.contains(key);
}

bool Tailnet::knows(const tailcfg::NodeKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = by_key_.find(key);
  return it != by_key_.end() && !nodes_.at(it->second).expiry_announced;
}

TailnetStats Tailnet::stats() const {
  const std::lock_guard lock(mutex_);
  TailnetStats out = stats_;
  out.nodes = nodes_.size();
  return out;
}

void Tailnet::write_node(uint64_t id, store::Change change, Answer<NodePtr> answer) {
  directory_.submit({{std::move(change)}}, [this, id, answer = std::move(answer)](auto done) {
    if (!done.ok()) return answer(directory_.refusal_of(done.error(), "node"));
    NodePtr after = node(id);
    if (after == nullptr) return answer(node_not_found());
    answer(std::move(after));
  });
}

void Tailnet::rename(uint64_t id, std::string_view label, Answer<NodePtr> answer) {
  if (const Status status = check_label(label); !status.ok()) {
    return answer(Refusal{Reason::kInvalid, std::string(status.error().what)});
  }
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = find(id);
    if (entry == nullptr) return answer(node_not_found());
    for (const auto& [other, e] : nodes_) {
      if (other != id && e.node->row.given_name == label) {
        return answer(Refusal{Reason::kConflict, "the name is taken by another node"});
      }
    }
  }
  write_node(id, store::RenameNode{id, std::string(label), true}, std::move(answer));
}

void Tailnet::set_tags(uint64_t id, std::vector<std::string> tags, Answer<NodePtr> answer) {
  if (node(id) == nullptr) return answer(node_not_found());
  if (tags.empty()) {
    return answer(Refusal{Reason::kInvalid, "cannot remove all tags from a node"});
  }
  for (const std::string& tag : tags) {
    if (const Status status = check_tag(tag); !status.ok()) {
      return answer(Refusal{Reason::kInvalid, std::string(status.error().what)});
    }
  }
  if (const std::string unknown = unknown_tag(tags); !unknown.empty()) {
    return answer(Refusal{Reason::kInvalid, "requested tags [" + unknown +
                                                "] are invalid or not permitted: the policy's "
                                                "tagOwners do not have them"});
  }
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  write_node(id, store::SetNodeTags{id, std::move(tags)}, std::move(answer));
}

void Tailnet::set_expiry(uint64_t id, std::optional<WallTime> expiry, Answer<NodePtr> answer) {
  if (node(id) == nullptr) return answer(node_not_found());
  write_node(id, store::SetNodeExpiry{id, expiry}, std::move(answer));
}

void Tailnet::approve_routes(uint64_t id, std::vector<std::string> routes, Answer<NodePtr> answer) {
  if (node(id) == nullptr) return answer(node_not_found());
  bool exit = false;
  for (const std::string& route : routes) {
    if (const auto prefix = parse_ip_prefix(route); !prefix.ok()) {
      return answer(Refusal{Reason::kInvalid, std::string(prefix.error().what)});
    }
    exit = exit || is_exit_route(route);
  }
  // An exit node serves both families.
  if (exit) routes.insert(routes.end(), {"0.0.0.0/0", "::/0"});
  std::sort(routes.begin(), routes.end());
  routes.erase(std::unique(routes.begin(), routes.end()), routes.end());
  write_node(id, store::SetNodeRoutes{id, std::move(routes)}, std::move(answer));
}

void Tailnet::remove(uint64_t id, Answer<void> answer) {
  if (node(id) == nullptr) return answer(node_not_found());
  directory_.submit({{store::DeleteNode{id}}}, [this, answer = std::move(answer)](auto done) {
    if (!done.ok()) return answer(directory_.refusal_of(done.error(), "node"));
    answer({});
  });
}

}  // namespace es::control

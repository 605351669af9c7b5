// Registration: who may be a node, by which key or whose approval.
//
// Source of the decisions: what clients 1.80 to 1.102 send and expect, and what Headscale 0.29
// answers. Refusals are answers with a text: clients show it, while they retry other failures
// silently.
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <algorithm>
#include <utility>

namespace es::control {
namespace {

// Two registrations of one machine may race for its row; the second then finds what the first made.
constexpr std::string_view kTryAgain = "the control server is busy, try again";
constexpr std::string_view kUsed =
    "this auth key was for one use and has been used; ask for a new one";

// What is missing when a node cannot be stored is its owner, deleted meanwhile.
std::string_view noun_of(const store::StoreError& error) {
  return error.kind == store::StoreErrorKind::kMissing ? "user" : "node";
}

// Headscale's words; the reason comes after them.
std::string refused_tags(const std::vector<std::string>& tags) {
  std::string out;
  for (const std::string& tag : tags) out += (out.empty() ? "" : ", ") + tag;
  return "requested tags [" + out + "] are invalid or not permitted: ";
}

bool shows_key_of(const tailcfg::RegisterRequest& request, const Node& node) {
  return node.node_key == request.node_key || node.node_key == request.old_node_key;
}

}  // namespace

tailcfg::RegisterResponse Tailnet::state_of(const Entry& entry, WallTime now) const {
  tailcfg::RegisterResponse out;
  out.user = profile_of(*entry.node);
  out.node_key_expired = entry.node->expired(now);
  out.machine_authorized = true;
  return out;
}

Tailnet::Ticket Tailnet::register_node(const tailcfg::MachineKey& machine,
                                       const tailcfg::RegisterRequest& request, WallTime now,
                                       RegisterAnswer answer,
                                       const std::optional<limit::ClientKey>& network) {
  Calls calls;
  Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    Registering r{machine, request, now, ticket, std::move(answer), network};
    Entry* entry = find(request.node_key);
    if (entry != nullptr && entry->node->machine_key != machine) {
      ++stats_.refused_registrations;
      r.refuse("node exists with a different machine key", calls);
    } else if (entry != nullptr && register_known(r, *entry, calls)) {
      // Done.
    } else if (entry == nullptr && request.expiry && *request.expiry <= now) {
      // Logging out what is not logged in.
      tailcfg::RegisterResponse out;
      out.node_key_expired = true;
      r.reply(std::move(out), calls);
    } else if (!request.auth_key.empty()) {
      register_with_key(r, calls);
    } else if (!request.followup.empty()) {
      register_followup(r, calls);
    } else {
      register_interactive(r, calls);
    }
  }
  run(calls);
  return ticket;
}

// True when the request is settled by what is known of the node.
bool Tailnet::register_known(Registering& r, Entry& entry, Calls& calls) {
  const tailcfg::RegisterRequest& request = r.request;
  const bool expired = entry.node->expired(r.now);
  if (request.expiry && *request.expiry <= r.now) {
    log_out(r, entry, calls);
    return true;
  }
  if (!expired && retag_known(r, entry, calls)) return true;
  // A restarted client repeats its key; a spent one must not keep it out.
  if (!expired && (!request.auth_key.empty() || !request.followup.empty())) {
    r.reply(state_of(entry, r.now), calls);
    return true;
  }
  if (!request.auth_key.empty() || !request.followup.empty()) return false;
  if (expired) {
    // The client makes a new key and comes back.
    r.reply(state_of(entry, r.now), calls);
    return true;
  }
  if (!request.expiry) {
    r.reply(state_of(entry, r.now), calls);
    return true;
  }
  if (entry.node->row.expiry && *request.expiry > *entry.node->row.expiry) {
    r.refuse("extending key is not allowed", calls);
    return true;
  }
  const uint64_t id = entry.node->row.id;
  store_and_answer(r, id, store::SetNodeExpiry{id, *request.expiry}, calls);
  return true;
}

void Tailnet::log_out(Registering& r, Entry& entry, Calls& calls) {
  const uint64_t id = entry.node->row.id;
  tailcfg::RegisterResponse out = state_of(entry, r.now);
  out.node_key_expired = true;
  store::Change change = store::SetNodeExpiry{id, r.now};
  if (entry.node->row.ephemeral) change = store::DeleteNode{id};
  submit(
      {{std::move(change)}},
      [out = std::move(out), answer = std::move(r.answer)](auto done) mutable {
        if (!done.ok()) {
          out = {};
          out.error = kTryAgain;
        }
        answer(std::move(out));
      },
      calls);
}

void Tailnet::register_with_key(Registering& r, Calls& calls) {
  const auto key = directory_.find_pre_auth_key(r.request.auth_key);
  std::string refusal;
  if (key == nullptr) {
    refusal = "invalid auth key: it is unknown or was deleted; ask for a new one";
  } else if (key->expired(r.now)) {
    refusal = "this auth key has expired; ask for a new one";
  } else if (key->used && !key->reusable) {
    refusal = kUsed;
  } else if (!key->tags.empty()) {
    std::vector<std::string> denied;
    for (const std::string& tag : r.request.hostinfo.request_tags) {
      if (std::find(key->tags.begin(), key->tags.end(), tag) == key->tags.end()) {
        denied.push_back(tag);
      }
    }
    if (!denied.empty()) {
      refusal = refused_tags(denied) + "the auth key has others";
    }
  }
  Grant grant;
  grant.tags = key == nullptr ? std::vector<std::string>{} : key->tags;
  if (refusal.empty() && grant.tags.empty()) {
    grant.user_id = key->user_id;
    refusal = take_requested_tags(r.request, key->user_id.value_or(0), grant);
  }
  if (!refusal.empty()) {
    ++stats_.refused_registrations;
    return r.refuse(std::move(refusal), calls);
  }
  grant.pre_auth_key_id = key->id;
  grant.use_key = !key->reusable;
  grant.ephemeral = key->ephemeral || r.request.ephemeral;
  grant.method = "authkey";
  admit(
      r.machine, r.request, grant, r.now,
      [this, now = r.now, id = key->id,
       answer = std::move(r.answer)](Result<NodePtr, Refusal> done) {
        tailcfg::RegisterResponse out;
        if (done.ok()) {
          const std::lock_guard lock(mutex_);
          const Entry* entry = find((*done)->row.id);
          if (entry != nullptr) {
            out = state_of(*entry, now);
          } else {
            out.error = kTryAgain;  // deleted the moment it came
          }
        } else if (done.error().reason == Reason::kConflict) {
          // Somebody else was faster: with the key, or with the node key or name.
          const auto key_now = directory_.pre_auth_key(id).key;
          const bool used = key_now == nullptr || (key_now->used && !key_now->reusable);
          out.error = used ? kUsed : kTryAgain;
        } else {
          out.error = done.error().text;
        }
        answer(std::move(out));
      },
      calls);
}

std::string Tailnet::take_requested_tags(const tailcfg::RegisterRequest& request, uint64_t user_id,
                                         Grant& grant) const {
  const std::vector<std::string>& wanted = request.hostinfo.request_tags;
  if (wanted.empty()) return {};
  if (policy_ == nullptr) {
    return refused_tags(wanted) + "this tailnet has no policy that says who owns them";
  }
  std::vector<std::string> denied;
  for (const std::string& tag : wanted) {
    if (!policy_->index().user_may_tag(user_id, tag)) denied.push_back(tag);
  }
  if (!denied.empty()) {
    return refused_tags(denied) + "by the tagOwners of the policy they are not this user's";
  }
  grant.user_id.reset();
  grant.vouched_by = user_id;
  grant.tags = wanted;
  std::sort(grant.tags.begin(), grant.tags.end());
  grant.tags.erase(std::unique(grant.tags.begin(), grant.tags.end()), grant.tags.end());
  return {};
}

// A user's node that asks for tags gets them if they are its user's to give. A node that has tags
// keeps them as long as its key is good, whatever it was started with: an operator may have given
// it others. To change them it must log in again.
bool Tailnet::retag_known(Registering& r, const Entry& entry, Calls& calls) {
  const Node& node = *entry.node;
  if (r.request.hostinfo.request_tags.empty() || node.tagged() || !node.row.user_id) return false;
  Grant grant;
  if (std::string refusal = take_requested_tags(r.request, *node.row.user_id, grant);
      !refusal.empty()) {
    ++stats_.refused_registrations;
    r.refuse(std::move(refusal), calls);
    return true;
  }
  const uint64_t id = node.row.id;
  store_and_answer(r, id, store::SetNodeTags{id, std::move(grant.tags)}, calls);
  return true;
}

// Whether a node that has shown its key keeps its tags, which an operator may have changed, when it
// comes back by this auth key: the one that made it as long as nobody has ended its time, or one
// that can give those tags.
bool Tailnet::may_keep_tags(const Node& node, const Grant& grant, WallTime now) const {
  if (!grant.pre_auth_key_id) return false;
  if (grant.pre_auth_key_id == node.row.pre_auth_key_id && !node.expired(now)) return true;
  return std::all_of(node.row.tags.begin(), node.row.tags.end(), [&](const std::string& tag) {
    if (grant.user_id)
      return policy_ != nullptr && policy_->index().user_may_tag(*grant.user_id, tag);
    return std::find(grant.tags.begin(), grant.tags.end(), tag) != grant.tags.end();
  });
}

// The node that this machine already is: it keeps its id and addresses. First by the key that it
// had, then one of the same owner: the user, the same tags, or the auth key that made it. By its
// key it is the same node also when it is given to tags by its user or by an auth key for tags, and
// when it has tags and an operator gives it to a user or an auth key lets it keep them.
Tailnet::Entry* Tailnet::node_to_renew(const tailcfg::MachineKey& machine,
                                       const tailcfg::RegisterRequest& request, const Grant& grant,
                                       WallTime now) {
  const auto it = by_machine_.find(machine);
  if (it == by_machine_.end()) return nullptr;
  Entry* same_owner = nullptr;
  for (const uint64_t id : it->second) {
    Entry* entry = find(id);
    const Node& node = *entry->node;
    const bool made_by_key =
        node.tagged() && grant.pre_auth_key_id && grant.pre_auth_key_id == node.row.pre_auth_key_id;
    const bool owned = grant.user_id ? node.row.user_id == grant.user_id
                                     : node.tagged() && node.row.tags == grant.tags;
    const bool given_away = !grant.tags.empty() && (!grant.vouched_by || node.tagged() ||
                                                    node.row.user_id == grant.vouched_by);
    const bool comes_back =
        node.tagged() && (!grant.pre_auth_key_id || may_keep_tags(node, grant, now));
    if (shows_key_of(request, node) && (owned || given_away || comes_back)) return entry;
    if ((owned || made_by_key) && same_owner == nullptr) same_owner = entry;
  }
  return same_owner;
}

void Tailnet::admit(const tailcfg::MachineKey& machine, const tailcfg::RegisterRequest& request,
                    const Grant& grant, WallTime now, Answer<NodePtr> answer, Calls& calls) {
  Entry* const known = node_to_renew(machine, request, grant, now);
  // An auth key makes a node what it says once. Later the node keeps its tags, unless its user asks
  // for others (Headscale 0.29 keeps them even then, and whatever key it comes back by).
  const bool keeps_owner =
      known != nullptr && request.hostinfo.request_tags.empty() &&
      (known->node->tagged()
           ? shows_key_of(request, *known->node) && may_keep_tags(*known->node, grant, now)
           : grant.user_id && known->node->row.user_id == grant.user_id);
  std::optional<WallTime> expiry;
  if (grant.tags.empty()) {
    if (options_.key_lifetime > Millis{0}) expiry = now + options_.key_lifetime;
    // A client may ask for less.
    if (request.expiry && *request.expiry > now && (!expiry || *request.expiry < *expiry)) {
      expiry = request.expiry;
    }
  }
  store::Transaction transaction;
  if (grant.use_key) transaction.changes.push_back(store::UsePreAuthKey{*grant.pre_auth_key_id});

  if (known != nullptr) {
    const uint64_t id = known->node->row.id;
    transaction.changes.push_back(store::SetNodeIdentity{.id = id,
                                                         .node_key = request.node_key.text(),
                                                         .user_id = grant.user_id,
                                                         .tags = grant.tags,
                                                         .pre_auth_key_id = grant.pre_auth_key_id,
                                                         .register_method = grant.method,
                                                         .ephemeral = grant.ephemeral,
                                                         .expiry = expiry,
                                                         .keeps_owner = keeps_owner});
    ++stats_.registrations;
    const auto renewed = [this, id, answer = std::move(answer)](auto done) {
      NodePtr after = done.ok() ? node(id) : nullptr;
      if (after != nullptr) return answer(std::move(after));
      if (done.ok()) return answer(Refusal{Reason::kRetryLater, std::string(kTryAgain)});
      answer(directory_.refusal_of(done.error(), noun_of(done.error())));
    };
    return submit(std::move(transaction), renewed, calls);
  }

  const auto addresses = pool_.allocate();
  if (!addresses.ok()) {
    ++stats_.refused_registrations;
    calls.push_back([answer = std::move(answer), text = std::string(addresses.error().what)] {
      answer(Refusal{Reason::kRetryLater, text});
    });
    return;
  }
  store::Node row;
  row.machine_key = machine.text();
  row.node_key = request.node_key.text();
  row.ipv4 = addresses->v4 ? address_text(*addresses->v4) : "";
  row.ipv6 = addresses->v6 ? address_text(*addresses->v6) : "";
  row.hostname = request.hostinfo.hostname;
  row.given_name = names_.claim(label_of(row.hostname));
  row.user_id = grant.user_id;
  row.tags = grant.tags;
  row.pre_auth_key_id = grant.pre_auth_key_id;
  row.register_method = grant.method;
  row.ephemeral = grant.ephemeral;
  row.hostinfo = request.hostinfo.full_json;
  row.capability_version = request.version;
  row.home_derp = request.hostinfo.preferred_derp;
  row.expiry = expiry;
  row.created_at = now;
  transaction.changes.push_back(store::InsertNode{row});
  const size_t at = transaction.changes.size() - 1;
  ++stats_.registrations;
  submit(
      std::move(transaction),
      [this, at, addresses = *addresses, name = row.given_name,
       answer = std::move(answer)](auto done) {
        if (!done.ok()) {
          {
            const std::lock_guard lock(mutex_);
            pool_.release(addresses);
            names_.release(name);
          }
          return answer(directory_.refusal_of(done.error(), noun_of(done.error())));
        }
        const auto& inserted = std::get<store::InsertNode>((*done)->changes[at]);
        NodePtr after = node(inserted.node.id);
        if (after != nullptr) return answer(std::move(after));
        answer(Refusal{Reason::kRetryLater, std::string(kTryAgain)});
      },
      calls);
}

// A change of a node that the client waits for.
void Tailnet::store_and_answer(Registering& r, uint64_t id, store::Change change, Calls& calls) {
  submit(
      {{std::move(change)}},
      [this, id, now = r.now, answer = std::move(r.answer)](auto done) {
        tailcfg::RegisterResponse out;
        {
          const std::lock_guard lock(mutex_);
          const Entry* found = find(id);
          if (done.ok() && found != nullptr) {
            out = state_of(*found, now);
          } else {
            out.error = kTryAgain;
          }
        }
        answer(std::move(out));
      },
      calls);
}

}  // namespace es::control

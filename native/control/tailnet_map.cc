// Maps: what nodes say of themselves, and what they are told of others.
#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"

#include <algorithm>
#include <array>
#include <utility>

namespace es::control {
namespace {

using Marks = uint8_t;

// A delta that touches more nodes than this, and most of the tailnet, is sent as a whole map.
constexpr size_t kMaxDeltaNodes = 1024;

// How old the control time in a delta may be that was made for another session.
constexpr Millis kDeltaAge{100};

constexpr std::string_view kSelfCapabilities =
    "\"https://tailscale.com/cap/is-admin\":null,\"https://tailscale.com/cap/ssh\":null,"
    "\"default-auto-update\":";
constexpr std::string_view kExitCapabilities = "{\"suggest-exit-node\":null}";

// Kinds of viewers of one node that are rendered for; beyond it the kept ones are forgotten.
constexpr size_t kMaxVariants = 64;

void hide_ipv4(tailcfg::Node& wire) {
  std::erase_if(wire.addresses, [](const auto& a) { return a.find(':') == std::string::npos; });
}

// The node with the addresses and routes that this viewer gets.
void show_by_policy(const PolicyState& viewer, bool no_ipv4, tailcfg::Node& wire) {
  if (no_ipv4) hide_ipv4(wire);
  wire.allowed_ips = wire.addresses;
  wire.primary_routes.clear();
  if (viewer.routes == nullptr) return;
  auto it = std::lower_bound(viewer.routes->begin(), viewer.routes->end(),
                             policy::SeenRoute{wire.id, {}});
  for (; it != viewer.routes->end() && it->peer == wire.id; ++it) {
    wire.allowed_ips.push_back(it->prefix.text());
    if (it->primary()) wire.primary_routes.push_back(it->prefix.text());
  }
}

}  // namespace

Status Tailnet::update(const tailcfg::MachineKey& machine, const tailcfg::MapRequest& request,
                       WallTime now) {
  Calls calls;
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = entry_of(machine, request.node_key);
    if (entry == nullptr) return refuse("node not found");
    const Node& node = *entry->node;
    Marks marks = 0;
    if (request.endpoints != node.row.endpoints) marks |= kEndpoints;
    const bool new_disco = !request.disco_key.is_zero() && request.disco_key != node.disco_key;
    if (new_disco) marks |= kDisco;
    const int32_t derp = request.hostinfo.preferred_derp;
    const bool new_derp = derp != 0 && derp != node.row.home_derp;
    if (new_derp) marks |= kHomeDerp;
    if (request.version != node.row.capability_version) marks |= kCapability;
    // What peers see of the host is not patchable.
    const bool peers_see_host = request.hostinfo.peer_json != node.hostinfo.peer_json;
    const bool new_routes = request.hostinfo.routable_ips != node.hostinfo.routable_ips;
    // With a policy, routes show to those who may use them.
    if (peers_see_host || (new_routes && policy_ == nullptr)) marks |= kWhole;
    const bool changed = marks != 0;
    // Peers cannot reach it; they learn all of it with its next key.
    if (entry->expiry_announced) marks = 0;
    const bool new_host = request.hostinfo.full_json != node.hostinfo.full_json;
    if (!changed && !new_host && !new_routes) return {};

    const std::string old_hostname = node.row.hostname;
    change(*entry, marks, calls, [&](Node& n) {
      n.row.endpoints = request.endpoints;
      if (new_disco) {
        n.disco_key = request.disco_key;
        n.row.disco_key = request.disco_key.text();
      }
      if (new_derp) n.row.home_derp = derp;
      n.row.capability_version = request.version;
      n.hostinfo = request.hostinfo;
      n.row.hostinfo = request.hostinfo.full_json;
      n.row.hostname = request.hostinfo.hostname;
    });
    entry->last_contact = now;
    store_info(*entry, calls);
    if (new_host || new_routes) mark_self(*entry, calls);
    if (new_routes) {
      approve_by_policy(*entry, calls);
      choose_primaries(calls);
    }
    const store::Node& row = entry->node->row;
    if (old_hostname != row.hostname && !row.name_is_chosen) {
      const std::string label = label_of(row.hostname);
      if (label != row.given_name) {
        // Reserved by the commit; two that race for one label end up with different suffixes then.
        std::string name = names_.claim(label);
        names_.release(name);
        submit({{store::RenameNode{row.id, std::move(name), false}}}, {}, calls);
      }
    }
  }
  run(calls);
  return {};
}

Result<std::shared_ptr<MapSession>> Tailnet::open_session(const tailcfg::MachineKey& machine,
                                                          const tailcfg::MapRequest& request,
                                                          WallTime now,
                                                          std::function<void()> wake) {
  Calls calls;
  std::shared_ptr<MapSession> session;
  {
    const std::lock_guard lock(mutex_);
    Entry* entry = entry_of(machine, request.node_key);
    if (entry == nullptr) return refuse("node not found");
    session.reset(new MapSession(*this, entry->node->row.id,
                                 request.zstd ? Compression::kZstd : Compression::kNone,
                                 std::move(wake)));
    session->limited_ = entry->node->expired(now);
    if (entry->session != nullptr) {
      entry->session->ended_ = true;
      calls.push_back(entry->session->wake_);
    } else {
      ++stats_.sessions;
    }
    entry->session = session.get();
    entry->offline_at.reset();
    if (!std::exchange(entry->responsive, true)) {
      change(*entry, 0, calls, [](Node&) {});
      follow(*entry, calls);
      choose_primaries(calls);
    }
    if (request.version != entry->node->row.capability_version) {
      change(*entry, kCapability, calls,
             [&](Node& node) { node.row.capability_version = request.version; });
      store_info(*entry, calls);
    }
    set_online(*entry, true, now, calls);
  }
  run(calls);
  return session;
}

void Tailnet::close(MapSession& session, WallTime now) {
  const std::lock_guard lock(mutex_);
  session.ended_ = true;
  Entry* entry = find(session.node_id_);
  if (entry == nullptr || entry->session != &session) return;
  entry->session = nullptr;
  --stats_.sessions;
  // A client that reconnects at once never looks offline.
  entry->offline_at = now + options_.offline_grace;
  quiet_until_ = {};
  entry->last_contact = now;
}

tailcfg::Node Tailnet::wire_node(const Node& node) const {
  tailcfg::Node out;
  out.id = node.row.id;
  out.name = node.row.given_name;
  if (!options_.base_domain.empty()) out.name += "." + options_.base_domain;
  out.name += ".";
  out.user = node.owner();
  out.key = node.node_key;
  out.key_expiry = node.row.expiry;
  out.machine = node.machine_key;
  out.disco = node.disco_key;
  if (!node.row.ipv4.empty()) out.addresses.push_back(node.row.ipv4 + "/32");
  if (!node.row.ipv6.empty()) out.addresses.push_back(node.row.ipv6 + "/128");
  out.allowed_ips = out.addresses;
  for (std::string& route : usable_routes(node)) {
    if (is_exit_route(route)) out.allowed_ips.push_back(std::move(route));
  }
  out.allowed_ips.insert(out.allowed_ips.end(), node.primary_routes.begin(),
                         node.primary_routes.end());
  out.primary_routes = node.primary_routes;
  out.endpoints = node.row.endpoints;
  out.home_derp = node.row.home_derp;
  out.created = node.row.created_at;
  out.capability_version = node.row.capability_version;
  out.tags = node.row.tags;
  out.online = node.online;
  if (!node.online) out.last_seen = node.row.last_seen;
  return out;
}

std::shared_ptr<const MapPiece> Tailnet::render_peer(const Entry& entry, tailcfg::Node wire) const {
  wire.hostinfo_json = entry.node->hostinfo.peer_json;
  const bool exit = std::any_of(wire.allowed_ips.begin(), wire.allowed_ips.end(), is_exit_route);
  if (exit) wire.cap_map_json = kExitCapabilities;
  if (entry.expiry_announced) {
    wire.key_state = tailcfg::Node::Key::kExpired;
    wire.endpoints.clear();
    wire.home_derp = 0;
  }
  std::string text = ",";
  append_json(text, wire);
  return make_map_piece(std::move(text));
}

bool Tailnet::same_for_all(const Entry& entry) const {
  return !entry.ipv4_disabled && (policy_ == nullptr || entry.node->hostinfo.routable_ips.empty());
}

void Tailnet::forget_old_pieces(Entry& entry) {
  if (entry.rendered_version == entry.node->version) return;
  entry.rendered = nullptr;
  entry.variants.clear();
  entry.rendered_version = entry.node->version;
}

std::shared_ptr<const MapPiece> Tailnet::common_piece(Entry& entry) {
  forget_old_pieces(entry);
  if (entry.rendered == nullptr) entry.rendered = render_peer(entry, wire_node(*entry.node));
  return entry.rendered;
}

// Rendered once for all viewers; of a router, or where addresses are hidden, once for all that see
// the same of it.
std::shared_ptr<const MapPiece> Tailnet::peer_piece(Entry& entry, const MapSession& viewer) {
  if (same_for_all(entry) && !viewer.policy_.ipv4_disabled) return common_piece(entry);
  forget_old_pieces(entry);
  const Node& node = *entry.node;
  const bool no_ipv4 = entry.ipv4_disabled || viewer.policy_.ipv4_disabled;
  tailcfg::Node wire = wire_node(node);
  if (policy_ != nullptr) show_by_policy(viewer.policy_, no_ipv4, wire);
  std::string key = no_ipv4 ? "6" : "";
  for (const std::string& prefix : wire.allowed_ips) key += ' ' + prefix;
  if (entry.variants.size() >= kMaxVariants) entry.variants.clear();
  auto& piece = entry.variants[std::move(key)];
  if (piece == nullptr) piece = render_peer(entry, std::move(wire));
  return piece;
}

std::string Tailnet::self_json(const Entry& entry) const {
  const Node& node = *entry.node;
  tailcfg::Node wire = wire_node(node);
  wire.hostinfo_json = node.hostinfo.full_json;
  wire.cap_map_json = "{";
  if (options_.file_sharing)
    wire.cap_map_json += "\"https://tailscale.com/cap/file-sharing\":null,";
  wire.cap_map_json += kSelfCapabilities;
  wire.cap_map_json += options_.auto_update ? "[true]" : "[false]";
  if (policy_ != nullptr) {
    if (entry.ipv4_disabled) hide_ipv4(wire);
    wire.allowed_ips = wire.addresses;
    for (std::string& route : usable_routes(node)) wire.allowed_ips.push_back(std::move(route));
    wire.cap_map_json += policy_->attributes_of(node.row.id);
  }
  wire.cap_map_json += '}';
  std::string out;
  append_json(out, wire);
  return out;
}

std::string Tailnet::farewell_json(const Entry& entry) const {
  Node node = *entry.node;
  node.row.expiry = WallTime{Millis{1000}};  // long ago by every clock
  Entry expired = entry;
  expired.node = std::make_shared<const Node>(std::move(node));
  return "{\"Node\":" + self_json(expired) + "}";
}

tailcfg::Profile Tailnet::profile_of(const Node& node) const {
  if (node.tagged()) return {kTaggedDevicesId, "tagged-devices", "Tagged Devices", ""};
  tailcfg::Profile profile;
  profile.id = node.owner();
  if (const auto user = directory_.user(profile.id)) {
    profile.login_name = user->email.empty() ? user->name : user->email;
    profile.display_name = user->display_name.empty() ? user->name : user->display_name;
    profile.picture_url = user->profile_pic_url;
  }
  // A client keeps no profile without a login name.
  if (profile.login_name.empty()) profile.login_name = "user-" + std::to_string(profile.id);
  return profile;
}

void Tailnet::write_profiles(MapSession& session, const std::vector<const Entry*>& of,
                             MapPayload& out) {
  bool first = true;
  for (const Entry* const entry : of) {
    const Node& node = *entry->node;
    if (!session.profiles_.insert(node.owner()).second) continue;
    const tailcfg::Profile profile = profile_of(node);
    std::string json = first ? ",\"UserProfiles\":[" : ",";
    first = false;
    json += "{\"ID\":" + std::to_string(profile.id) + ",\"LoginName\":";
    append_json_string(json, profile.login_name);
    json += ",\"DisplayName\":";
    append_json_string(json, profile.display_name);
    json += ",\"ProfilePicURL\":";
    append_json_string(json, profile.picture_url);
    json += ",\"Roles\":[]}";
    out.text(json);
  }
  if (!first) out.text("]");
}

// What a whole map begins with. Filters are patches by name also then, in the middle of a stream.
void Tailnet::start_policy(MapSession& session) {
  PolicyState& state = session.policy_;
  std::vector<uint64_t> rules = std::move(state.rules);
  state = {};
  state.rules = std::move(rules);
  if (policy_ == nullptr) return;
  const uint64_t id = session.node_id_;
  session.views_ = 0;
  state.next_filter = std::make_shared<const NamedFilter>(policy_->filter_of(id));
  state.next_ssh = std::make_shared<const std::string>(policy_->ssh_of(id));
  state.routes = policy_->routes_of(id);
  state.ipv4_disabled = policy_->index().ipv4_disabled(id);
  state.attributes = hash_text(policy_->attributes_of(id));
}

void Tailnet::write_policy(MapSession& session, MapPayload& out) {
  PolicyState& state = session.policy_;
  if (policy_ == nullptr) {
    if (state.rules == std::vector<uint64_t>{kOpenRule}) return;
    PolicyView::write_open_filter(state.rules, out);
    state.rules = {kOpenRule};
    constexpr std::string_view kNoSsh = "{\"rules\":[]}";
    state.ssh = hash_text(kNoSsh);
    state.attributes = hash_text("");
    out.text(",\"SSHPolicy\":");
    out.text(kNoSsh);
    return;
  }
  if (const auto filter = std::exchange(state.next_filter, nullptr)) {
    policy_->write_filter(state.rules, *filter, out);
    state.rules.clear();
    for (const NamedRule& rule : *filter) state.rules.push_back(rule.name);
  }
  if (const auto ssh = std::exchange(state.next_ssh, nullptr)) {
    state.ssh = hash_text(*ssh);
    out.text(",\"SSHPolicy\":" + *ssh);
  }
}

void Tailnet::append_ping(MapSession& session, std::string& out) {
  if (session.pings_.empty()) return;
  out += ",\"PingRequest\":" + session.pings_.front();
  session.pings_.erase(session.pings_.begin());
}

void Tailnet::write_full(MapSession& session, WallTime now, MapPayload& out) {
  const Entry& self = *find(session.node_id_);
  std::string head = "{\"ControlTime\":";
  append_json_string(head, format_rfc3339(now));
  head += ",\"Node\":" + self_json(self);
  head += ",\"DERPMap\":" + derp_map_json_;
  head += ",\"Domain\":";
  append_json_string(head, options_.base_domain);
  head += ",\"CollectServices\":false";
  // Clients before 1.92 read this one, newer ones the node's capability.
  head += options_.auto_update ? ",\"DefaultAutoUpdate\":true" : ",\"DefaultAutoUpdate\":false";
  if (!options_.client_logs) head += ",\"Debug\":{\"DisableLogTail\":true}";
  session.full_ = false;
  session.self_ = false;
  session.shared_ = 0;
  session.marks_.clear();
  session.profiles_.clear();
  ++stats_.full_maps;
  if (session.limited_) return write_limited(session, self, std::move(head), out);
  head += ",\"DNSConfig\":" + dns_config_json_;
  append_ping(session, head);
  out.text(head);
  start_policy(session);
  write_policy(session, out);
  std::vector<const Entry*> profiles{&self};
  for (const auto& [id, entry] : nodes_) {
    if (sees(self, entry)) profiles.push_back(&entry);
  }
  write_profiles(session, profiles, out);
  write_peers(session, self, out);
  out.text("}");
}

// For a client whose key has expired: it needs to know that it has, who it is, and the way back,
// which is to log in again or an operator's new expiry. No peers, names, filter or SSH rules.
void Tailnet::write_limited(MapSession& session, const Entry& self, std::string head,
                            MapPayload& out) {
  head += ",\"DNSConfig\":{},\"PacketFilters\":{\"none\":[]}";
  out.text(head);
  write_profiles(session, {&self}, out);
  out.text("}");
}

void Tailnet::write_delta(MapSession& session, WallTime now, MapPayload& out) {
  std::vector<Entry*> whole;
  std::string removed;
  std::string patches;
  for (const auto& [id, marks] : session.marks_) {
    Entry* entry = find(id);
    if (entry == nullptr || (marks & kRemoved) != 0) {
      removed += (removed.empty() ? "" : ",") + std::to_string(id);
    } else if ((marks & kWhole) != 0) {
      whole.push_back(entry);
    } else {
      const Node& node = *entry->node;
      tailcfg::PeerChange patch;
      patch.id = id;
      if ((marks & kHomeDerp) != 0) patch.home_derp = node.row.home_derp;
      if ((marks & kCapability) != 0) patch.capability_version = node.row.capability_version;
      if ((marks & kEndpoints) != 0) patch.endpoints = node.row.endpoints;
      if ((marks & kDisco) != 0) patch.disco = node.disco_key;
      if ((marks & kKey) != 0) patch.key = node.node_key;
      if ((marks & kOnline) != 0) {
        patch.online = node.online;
        if (!node.online) patch.last_seen = node.row.last_seen;
      }
      if (!patches.empty()) patches += ',';
      append_json(patches, patch);
    }
  }
  std::sort(whole.begin(), whole.end(),
            [](const Entry* a, const Entry* b) { return a->node->row.id < b->node->row.id; });
  session.marks_.clear();

  // Every message has a member of its own first, so that the others begin with a comma.
  std::string head = "{\"ControlTime\":";
  append_json_string(head, format_rfc3339(now));
  std::vector<const Entry*> profiles{whole.begin(), whole.end()};
  if (std::exchange(session.self_, false)) {
    const Entry& self = *find(session.node_id_);
    profiles.push_back(&self);  // its owner may be another
    head += ",\"Node\":" + self_json(self);
    if (policy_ != nullptr) {
      session.policy_.attributes = hash_text(policy_->attributes_of(session.node_id_));
    }
  }
  if ((session.shared_ & kDerpMap) != 0) head += ",\"DERPMap\":" + derp_map_json_;
  if ((session.shared_ & kDnsConfig) != 0) head += ",\"DNSConfig\":" + dns_config_json_;
  session.shared_ = 0;
  append_ping(session, head);
  out.text(head);
  write_policy(session, out);
  write_profiles(session, profiles, out);
  if (!removed.empty()) out.text(",\"PeersRemoved\":[" + removed + "]");
  bool first = true;
  for (Entry* const entry : whole) {
    const auto piece = peer_piece(*entry, session);
    if (first) {
      out.text(",\"PeersChanged\":[");
      out.text(std::string_view(piece->text).substr(1));
    } else {
      out.piece(piece);
    }
    first = false;
  }
  if (!first) out.text("]");
  if (!patches.empty()) out.text(",\"PeersChangedPatch\":[" + patches + "]");
  out.text("}");
  ++stats_.delta_maps;
}

MapSession::~MapSession() {
  const std::lock_guard lock(tailnet_.mutex_);
  Tailnet::Entry* entry = tailnet_.find(node_id_);
  if (entry == nullptr || entry->session != this) return;
  entry->session = nullptr;
  --tailnet_.stats_.sessions;
  entry->offline_at = entry->last_contact + tailnet_.options_.offline_grace;
  tailnet_.quiet_until_ = {};
}

void MapSession::close(WallTime now) { tailnet_.close(*this, now); }

bool MapSession::ended() const {
  const std::lock_guard lock(tailnet_.mutex_);
  return ended_;
}

bool MapSession::has_news() const {
  return full_ || self_ || shared_ != 0 || !pings_.empty() || !marks_.empty() ||
         policy_.next_filter != nullptr || policy_.next_ssh != nullptr;
}

// Nodes that went are short, and an empty list of peers would not take them away.
bool MapSession::overflows() const {
  if (marks_.size() <= kMaxDeltaNodes || marks_.size() * 2 <= tailnet_.nodes_.size()) return false;
  const auto gone = std::count_if(marks_.begin(), marks_.end(), [](const auto& mark) {
    return (mark.second & Tailnet::kRemoved) != 0;
  });
  return marks_.size() - static_cast<size_t>(gone) > kMaxDeltaNodes;
}

std::optional<MapMessage> MapSession::take(WallTime now) {
  Tailnet::Calls calls;
  auto message = next(now, calls);
  run(calls);
  return message;
}

std::optional<MapMessage> MapSession::next(WallTime now, Tailnet::Calls& calls) {
  const std::lock_guard lock(tailnet_.mutex_);
  if (ended_) {
    if (farewell_.empty()) return std::nullopt;
    MapPayload last(compression_);
    last.text(std::exchange(farewell_, {}));
    return last.finish();
  }
  if (limited_ && !full_) return std::nullopt;
  woken_ = true;  // nobody needs to say so meanwhile
  tailnet_.refresh(*this, calls);
  woken_ = false;
  if (!has_news()) return std::nullopt;
  if (!full_ && overflows()) {
    full_ = true;
    ++tailnet_.stats_.overflows;
  }
  MapPayload out(compression_);
  if (full_) {
    tailnet_.write_full(*this, now, out);
    return out.finish();
  }
  auto shared = tailnet_.delta_to_share(*this);
  auto& last = tailnet_.last_delta_;
  if (shared && last && last->same_but_time(*shared) && now >= last->at &&
      now - last->at <= kDeltaAge) {
    marks_.clear();
    ++tailnet_.stats_.delta_maps;
    return last->message;
  }
  tailnet_.write_delta(*this, now, out);
  MapMessage message = out.finish();
  if (shared) {
    shared->at = now;
    shared->message = message;
    last = std::make_unique<Tailnet::SharedDelta>(std::move(*shared));
  }
  return message;
}

MapMessage MapSession::keep_alive(WallTime now) const {
  // With the time in it, clients never take their shortcut for identical keep-alives.
  std::string json = "{\"KeepAlive\":true,\"ControlTime\":";
  append_json_string(json, format_rfc3339(now));
  json += "}";
  MapPayload out(compression_);
  out.text(json);
  return out.finish();
}

}  // namespace es::control

// Maps: what nodes say of themselves, and what they are told of others.
#include "common/base/rfc3339.h"
#include "native/control/tailnet.h"
#include "native/control/tailnet_state.h"
#include "native/tailcfg/json_text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace es::control {
namespace {

using Marks = uint8_t;

// Until a policy is set everybody may talk to everybody (docs/architecture.md).
constexpr std::string_view kOpenFilter =
    "{\"base\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":"
    "65535}}"
    "]}]}";

// A delta that touches more nodes than this, and most of the tailnet, is sent as a whole map.
constexpr size_t kMaxDeltaNodes = 1024;

constexpr std::string_view kSelfCapabilities =
    "\"https://tailscale.com/cap/is-admin\":null,\"https://tailscale.com/cap/ssh\":null,"
    "\"default-auto-update\":";
constexpr std::string_view kExitCapabilities = "{\"suggest-exit-node\":null}";

bool is_exit_node(const Node& node) {
  const auto routes = usable_routes(node);
  return std::any_of(routes.begin(), routes.end(), is_exit_route);
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
    if (peers_see_host || new_routes) marks |= kWhole;
    const bool new_host = request.hostinfo.full_json != node.hostinfo.full_json;
    if (marks == 0 && !new_host) return {};

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
    if (new_host) mark_self(*entry, calls);
    if (new_routes) choose_primaries(calls);
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
    if (entry->session != nullptr) {
      entry->session->ended_ = true;
      calls.push_back(entry->session->wake_);
    } else {
      ++stats_.sessions;
    }
    entry->session = session.get();
    entry->offline_at.reset();
    if (!std::exchange(entry->responsive, true)) choose_primaries(calls);
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

const MapPiece& Tailnet::peer_piece(Entry& entry) {
  const Node& node = *entry.node;
  if (entry.rendered == nullptr || entry.rendered_version != node.version) {
    tailcfg::Node wire = wire_node(node);
    wire.hostinfo_json = node.hostinfo.peer_json;
    if (is_exit_node(node)) wire.cap_map_json = kExitCapabilities;
    if (entry.expiry_announced) wire.key_state = tailcfg::Node::Key::kExpired;
    std::string text = ",";
    append_json(text, wire);
    entry.rendered = make_map_piece(std::move(text));
    entry.rendered_version = node.version;
  }
  return *entry.rendered;
}

std::string Tailnet::self_json(const Node& node) const {
  tailcfg::Node wire = wire_node(node);
  wire.hostinfo_json = node.hostinfo.full_json;
  wire.cap_map_json = "{";
  if (options_.file_sharing)
    wire.cap_map_json += "\"https://tailscale.com/cap/file-sharing\":null,";
  wire.cap_map_json += kSelfCapabilities;
  wire.cap_map_json += options_.auto_update ? "[true]}" : "[false]}";
  std::string out;
  append_json(out, wire);
  return out;
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

void Tailnet::write_profiles(MapSession& session, const std::vector<uint64_t>& nodes,
                             MapPayload& out) {
  bool first = true;
  for (const uint64_t id : nodes) {
    const Node& node = *find(id)->node;
    if (!session.profiles_.insert(node.owner()).second) continue;
    const tailcfg::Profile profile = profile_of(node);
    std::string json = first ? ",\"UserProfiles\":[" : ",";
    first = false;
    json += "{\"ID\":" + std::to_string(profile.id) + ",\"LoginName\":";
    tailcfg::append_json_string(json, profile.login_name);
    json += ",\"DisplayName\":";
    tailcfg::append_json_string(json, profile.display_name);
    json += ",\"ProfilePicURL\":";
    tailcfg::append_json_string(json, profile.picture_url);
    json += ",\"Roles\":[]}";
    out.text(json);
  }
  if (!first) out.text("]");
}

void Tailnet::append_ping(MapSession& session, std::string& out) {
  if (session.pings_.empty()) return;
  out += ",\"PingRequest\":" + session.pings_.front();
  session.pings_.erase(session.pings_.begin());
}

void Tailnet::write_full(MapSession& session, WallTime now, MapPayload& out) {
  const Entry& self = *find(session.node_id_);
  std::string head = "{\"ControlTime\":";
  tailcfg::append_json_string(head, format_rfc3339(now));
  head += ",\"Node\":" + self_json(*self.node);
  head += ",\"DERPMap\":" + derp_map_json_;
  head += ",\"DNSConfig\":" + dns_config_json_;
  append_ping(session, head);
  head += ",\"Domain\":";
  tailcfg::append_json_string(head, options_.base_domain);
  head += ",\"CollectServices\":false,\"PacketFilters\":";
  head += kOpenFilter;
  head += ",\"SSHPolicy\":{\"rules\":[]}";
  // Clients before 1.92 read this one, newer ones the node's capability.
  head += options_.auto_update ? ",\"DefaultAutoUpdate\":true" : ",\"DefaultAutoUpdate\":false";
  if (!options_.client_logs) head += ",\"Debug\":{\"DisableLogTail\":true}";
  out.text(head);
  session.profiles_.clear();
  std::vector<uint64_t> ids;
  for (const auto& [id, entry] : nodes_) ids.push_back(id);
  write_profiles(session, ids, out);
  bool first = true;
  for (auto& [id, entry] : nodes_) {
    if (id == session.node_id_) continue;
    const MapPiece& piece = peer_piece(entry);
    if (first) {
      out.text(",\"Peers\":[");
      out.text(std::string_view(piece.text).substr(1));
    } else {
      out.piece(piece);
    }
    first = false;
  }
  out.text(first ? "}" : "]}");
  session.full_ = false;
  session.self_ = false;
  session.shared_ = 0;
  session.marks_.clear();
  ++stats_.full_maps;
}

void Tailnet::write_delta(MapSession& session, WallTime now, MapPayload& out) {
  std::vector<uint64_t> whole;
  std::string removed;
  std::string patches;
  for (const auto& [id, marks] : session.marks_) {
    Entry* entry = find(id);
    if (entry == nullptr || (marks & kRemoved) != 0) {
      removed += (removed.empty() ? "" : ",") + std::to_string(id);
    } else if ((marks & kWhole) != 0) {
      whole.push_back(id);
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
  std::sort(whole.begin(), whole.end());
  session.marks_.clear();

  // Every message has a member of its own first, so that the others begin with a comma.
  std::string head = "{\"ControlTime\":";
  tailcfg::append_json_string(head, format_rfc3339(now));
  if (session.self_) head += ",\"Node\":" + self_json(*find(session.node_id_)->node);
  session.self_ = false;
  if ((session.shared_ & kDerpMap) != 0) head += ",\"DERPMap\":" + derp_map_json_;
  if ((session.shared_ & kDnsConfig) != 0) head += ",\"DNSConfig\":" + dns_config_json_;
  session.shared_ = 0;
  append_ping(session, head);
  out.text(head);
  write_profiles(session, whole, out);
  if (!removed.empty()) out.text(",\"PeersRemoved\":[" + removed + "]");
  bool first = true;
  for (const uint64_t id : whole) {
    const MapPiece& piece = peer_piece(*find(id));
    if (first) {
      out.text(",\"PeersChanged\":[");
      out.text(std::string_view(piece.text).substr(1));
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
}

void MapSession::close(WallTime now) { tailnet_.close(*this, now); }

bool MapSession::ended() const {
  const std::lock_guard lock(tailnet_.mutex_);
  return ended_;
}

std::optional<std::string> MapSession::take(WallTime now) {
  const std::lock_guard lock(tailnet_.mutex_);
  woken_ = false;
  if (ended_) return std::nullopt;
  if (!full_ && !self_ && shared_ == 0 && pings_.empty() && marks_.empty()) return std::nullopt;
  if (!full_ && marks_.size() > kMaxDeltaNodes && marks_.size() * 2 > tailnet_.nodes_.size()) {
    full_ = true;
    ++tailnet_.stats_.overflows;
  }
  MapPayload out(compression_);
  if (full_) {
    tailnet_.write_full(*this, now, out);
  } else {
    tailnet_.write_delta(*this, now, out);
  }
  return out.finish();
}

std::string MapSession::keep_alive(WallTime now) const {
  // With the time in it, clients never take their shortcut for identical keep-alives.
  std::string json = "{\"KeepAlive\":true,\"ControlTime\":";
  tailcfg::append_json_string(json, format_rfc3339(now));
  json += "}";
  MapPayload out(compression_);
  out.text(json);
  return out.finish();
}

}  // namespace es::control

#include "native/derp/server.h"

#include "native/derp/server_impl.h"

#include <algorithm>
#include <array>

namespace es::derp {

namespace {

constexpr size_t kMinRateBurst = kKeyLen + kMaxPacketLen;
constexpr size_t kMaxHeld = 4 * kMaxPacketLen;

uint64_t random_u64(Host& host) {
  std::array<uint8_t, 8> bytes;
  host.random(bytes);
  return ByteReader(bytes).u64le().value();
}

}  // namespace

std::string_view text_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kProtocolError:
      return "protocol error";
    case CloseReason::kHandshakeTimeout:
      return "handshake timeout";
    case CloseReason::kNotAdmitted:
      return "not admitted";
    case CloseReason::kAdmissionTimeout:
      return "admission timeout";
    case CloseReason::kNotMeshPeer:
      return "not a mesh peer";
    case CloseReason::kDisconnected:
      return "disconnected by the server";
  }
  return "unknown";
}

Server::Impl::Impl(const ServerConfig& config, const Key& public_key, Host& host)
    : config_(config),
      public_key_(public_key),
      host_(host),
      hash_{random_u64(host)},
      peers_(0, hash_) {
  config_.keep_alive = std::max(config_.keep_alive, Millis(1));
  config_.keep_alive_jitter = std::max(config_.keep_alive_jitter, Millis(0));
  config_.rate_burst_bytes = std::max<uint64_t>(config_.rate_burst_bytes, kMinRateBurst);
}

Conn* Server::Impl::find(ConnId id) const {
  const auto it = conns_.find(id);
  return it == conns_.end() ? nullptr : it->second.get();
}

Result<ConnId> Server::Impl::open(const Endpoint& source, Millis now) {
  const bool full =
      conns_.size() >= config_.max_connections || stats_.handshaking >= config_.max_handshaking;
  if (full || !handshaking_.take(source, config_.max_handshaking_per_source)) {
    ++stats_.refused_full;
    return retry_later("too many relay connections");
  }
  const ConnId id = next_id_++;
  auto& conn = *(conns_[id] = std::make_unique<Conn>(id, source, hash_.secret));
  ++stats_.accepted;
  ++stats_.handshaking;
  conn.opened_at = now;
  conn.expires_at = now + config_.handshake_timeout;
  conn.rate = {static_cast<int64_t>(config_.rate_burst_bytes) * 1000, now};
  schedule(conn);
  append_server_key(public_key_, conn.control);
  signal(conn);
  return id;
}

void Server::Impl::receive(ConnId id, Bytes stream, Millis now) {
  Conn* const conn = find(id);
  if (conn == nullptr) return;
  charge(*conn, stream.size(), now);
  conn->reader.begin(stream);
  run(*conn, now);
}

// Handles frames until none is left, admission is pending, or the connection is dropped.
void Server::Impl::run(Conn& conn, Millis now) {
  while (conn.state != Conn::State::kAdmitting) {
    const auto frame = conn.reader.next();
    if (!frame.ok()) return drop(conn, CloseReason::kProtocolError);
    if (!*frame) break;
    Refusal refusal;
    if (conn.state == Conn::State::kActive) {
      refusal = handle(conn, **frame, now);
    } else if ((*frame)->type != FrameType::kClientInfo) {
      refusal = CloseReason::kProtocolError;
    } else {
      refusal = greet(conn, (*frame)->payload, now);
    }
    if (refusal) return drop(conn, *refusal);
  }
  conn.reader.end();
  // A greeting that is still to come must not make us hold all that it claims to be long, and a
  // host that reads on while admission is pending must not make us hold everything.
  const size_t may_hold = conn.state == Conn::State::kGreeting
                              ? kFrameHeaderLen + config_.max_client_info_len
                              : kMaxHeld;
  if (conn.reader.held() > may_hold) drop(conn, CloseReason::kProtocolError);
}

Server::Impl::Refusal Server::Impl::greet(Conn& conn, Bytes payload, Millis now) {
  if (payload.size() > config_.max_client_info_len) return CloseReason::kProtocolError;
  conn.key = key_in(payload);
  auto box = SharedBox::create(config_.private_key, conn.key);
  if (!box.ok()) return CloseReason::kProtocolError;
  const auto json = box->open(payload.subspan(kKeyLen));
  if (!json.ok()) return CloseReason::kProtocolError;
  const auto info = parse_client_info(as_text(*json));
  if (!info.ok()) return CloseReason::kProtocolError;
  conn.box = std::move(box).value();
  switch (host_.admit(conn.id, conn.key, conn.source)) {
    case Admission::kRefuse:
      return CloseReason::kNotAdmitted;
    case Admission::kLater:
      conn.state = Conn::State::kAdmitting;
      conn.expires_at = now + config_.admission_timeout;
      schedule(conn);
      return std::nullopt;
    case Admission::kAdmit:
      activate(conn, now);
      return std::nullopt;
  }
  return CloseReason::kNotAdmitted;
}

void Server::Impl::admission_decided(ConnId id, Admission decision, Millis now) {
  Conn* const conn = find(id);
  if (conn == nullptr || conn->state != Conn::State::kAdmitting) return;
  if (decision == Admission::kLater) return;
  if (decision == Admission::kRefuse) return drop(*conn, CloseReason::kNotAdmitted);
  activate(*conn, now);
  // What came behind ClientInfo waits in the reader.
  conn->reader.begin({});
  run(*conn, now);
  if (find(id) != nullptr && wants_read(id)) host_.resume_reading(id);
}

void Server::Impl::activate(Conn& conn, Millis now) {
  conn.state = Conn::State::kActive;
  --stats_.handshaking;
  handshaking_.give_back(conn.source);
  conn.keep_alive_at = now + config_.keep_alive + jitter();
  conn.not_here = {3000, now};
  schedule(conn);
  Nonce nonce;
  host_.random(nonce);
  append_server_info(*conn.box, nonce, {}, conn.control);
  conn.box.reset();

  auto& slot = peers_[conn.key];
  if (!slot) {
    slot = std::make_unique<Peer>();
    slot->key = conn.key;
  }
  Peer& peer = *slot;
  conn.peer = &peer;
  if (peer.conns.size() == 1) {
    ++stats_.duplicate_keys;
    peer.send_history.assign(1, peer.conns[0]->id);
  }
  peer.conns.push_back(&conn);
  if (peer.conns.size() > 1) peer.send_history.push_back(conn.id);
  if (!peer.fighting) {
    peer.active = &conn;
  } else {
    set_fighting(peer);
  }
  signal(conn);
}

bool Server::Impl::wants_read(ConnId id) const {
  const Conn* const conn = find(id);
  return conn != nullptr && conn->state != Conn::State::kAdmitting && !conn->over_rate;
}

void Server::Impl::closed(ConnId id) {
  Conn* const conn = find(id);
  if (conn == nullptr) return;
  if (conn->state != Conn::State::kActive) ++stats_.handshake_failed;
  forget(*conn);
}

void Server::Impl::drop(Conn& conn, CloseReason reason) {
  if (conn.state != Conn::State::kActive) ++stats_.handshake_failed;
  const ConnId id = conn.id;
  forget(conn);
  host_.close(id, reason);
}

void Server::Impl::forget(Conn& conn) {
  if (conn.scheduled) schedule_.erase({*conn.scheduled, conn.id});
  if (conn.state == Conn::State::kActive) {
    leave_peer(conn);
  } else {
    --stats_.handshaking;
    handshaking_.give_back(conn.source);
  }
  stats_.queued_bytes -= conn.disco.num_bytes() + conn.other.num_bytes();
  conns_.erase(conn.id);
}

// Takes a connection out of its key's entry; with the last one the key is gone, and those that got
// packets from it are told.
void Server::Impl::leave_peer(Conn& conn) {
  Peer& peer = *conn.peer;
  if (conn.home) --stats_.home_clients;
  for (const Key& source : conn.watching) {
    const auto it = peers_.find(source);
    if (it != peers_.end()) it->second->watchers.erase(conn.id);
  }
  std::erase(peer.conns, &conn);
  if (!peer.conns.empty()) {
    std::erase(peer.send_history, conn.id);
    const auto repeats = std::unique(peer.send_history.begin(), peer.send_history.end());
    peer.send_history.erase(repeats, peer.send_history.end());
    if (peer.conns.size() == 1) --stats_.duplicate_keys;
    if (peer.active == &conn) peer.active = nullptr;
    settle(peer);
    return;
  }
  for (const ConnId id : peer.watchers) {
    Conn* const watcher = find(id);
    if (watcher == nullptr) continue;
    watcher->watching.erase(peer.key);
    if (watcher->last_source == &peer) watcher->last_source = nullptr;
    ++stats_.peer_gone_disconnected;
    tell_gone(*watcher, peer.key, PeerGoneReason::kDisconnected);
  }
  const Key key = peer.key;
  peers_.erase(key);
}

void Server::Impl::schedule(Conn& conn) {
  Millis at = conn.state == Conn::State::kActive ? conn.keep_alive_at : conn.expires_at;
  if (conn.over_rate) at = std::min(at, conn.resume_at);
  if (conn.scheduled == at) return;
  if (conn.scheduled) schedule_.erase({*conn.scheduled, conn.id});
  schedule_.insert({at, conn.id});
  conn.scheduled = at;
}

void Server::Impl::signal(Conn& conn) {
  if (conn.signalled) return;
  conn.signalled = true;
  host_.output_ready(conn.id);
}

void Server::Impl::charge(Conn& conn, size_t len, Millis now) {
  if (config_.rate_bytes_per_second == 0) return;
  const auto rate = static_cast<int64_t>(config_.rate_bytes_per_second);
  conn.rate.refill(rate, static_cast<int64_t>(config_.rate_burst_bytes), now);
  conn.rate.milli_tokens -= static_cast<int64_t>(len) * 1000;
  if (conn.rate.milli_tokens >= 0) return;
  conn.over_rate = true;
  conn.resume_at = now + Millis((-conn.rate.milli_tokens + rate - 1) / rate);
  schedule(conn);
}

Millis Server::Impl::jitter() {
  const auto span = static_cast<uint64_t>(config_.keep_alive_jitter.count()) + 1;
  return Millis(static_cast<int64_t>(random_u64(host_) % span));
}

void Server::Impl::tick(Millis now) {
  while (!schedule_.empty() && schedule_.begin()->first <= now) {
    Conn& conn = *find(schedule_.begin()->second);
    if (conn.state != Conn::State::kActive && conn.expires_at <= now) {
      drop(conn, conn.state == Conn::State::kGreeting ? CloseReason::kHandshakeTimeout
                                                      : CloseReason::kAdmissionTimeout);
      continue;
    }
    if (conn.state == Conn::State::kActive && conn.keep_alive_at <= now) {
      conn.keep_alive_at = now + config_.keep_alive + jitter();
      conn.keep_alive_queued = true;
      signal(conn);
    }
    const bool resume = conn.over_rate && conn.resume_at <= now;
    if (resume) conn.over_rate = false;
    schedule(conn);
    if (resume && wants_read(conn.id)) host_.resume_reading(conn.id);
  }
}

std::optional<Millis> Server::Impl::next_deadline() const {
  if (schedule_.empty()) return std::nullopt;
  return schedule_.begin()->first;
}

size_t Server::Impl::disconnect(const Key& client) {
  const auto it = peers_.find(client);
  if (it == peers_.end()) return 0;
  const std::vector<Conn*> conns = it->second->conns;
  for (Conn* const conn : conns) drop(*conn, CloseReason::kDisconnected);
  return conns.size();
}

void Server::Impl::announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms) {
  for (const auto& [id, conn] : conns_) {
    if (conn->state != Conn::State::kActive) continue;
    append_restarting(reconnect_in_ms, try_for_ms, conn->control);
    signal(*conn);
  }
}

ServerStats Server::Impl::stats() const {
  ServerStats out = stats_;
  out.connections = conns_.size();
  out.clients = peers_.size();
  return out;
}

std::vector<ClientView> Server::Impl::clients() const {
  std::vector<ClientView> out;
  out.reserve(peers_.size());
  for (const auto& [key, peer] : peers_) {
    const Conn& conn = peer->active != nullptr ? *peer->active : *peer->conns.back();
    out.push_back({.key = key,
                   .source = conn.source,
                   .connected_at = conn.opened_at,
                   .num_connections = peer->conns.size(),
                   .queued_packets = conn.disco.count() + conn.other.count(),
                   .home = conn.home});
  }
  return out;
}

Result<Server> Server::create(const ServerConfig& config, Host& host) {
  ES_TRY(const Key public_key, derp::public_key(config.private_key));
  return Server(std::make_unique<Impl>(config, public_key, host));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;
Server::~Server() = default;

const Key& Server::public_key() const { return impl_->public_key(); }
Result<ConnId> Server::open(const Endpoint& source, Millis now) { return impl_->open(source, now); }
void Server::receive(ConnId id, Bytes stream, Millis now) { impl_->receive(id, stream, now); }
bool Server::wants_read(ConnId id) const { return impl_->wants_read(id); }
void Server::closed(ConnId id) { impl_->closed(id); }
void Server::admission_decided(ConnId id, Admission decision, Millis now) {
  impl_->admission_decided(id, decision, now);
}
bool Server::take_output(ConnId id, size_t enough, std::vector<uint8_t>& out) {
  return impl_->take_output(id, enough, out);
}
void Server::tick(Millis now) { impl_->tick(now); }
std::optional<Millis> Server::next_deadline() const { return impl_->next_deadline(); }
size_t Server::disconnect(const Key& client) { return impl_->disconnect(client); }
void Server::announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms) {
  impl_->announce_restart(reconnect_in_ms, try_for_ms);
}
ServerStats Server::stats() const { return impl_->stats(); }
std::vector<ClientView> Server::clients() const { return impl_->clients(); }

}  // namespace es::derp

// What active clients send, and what each is sent.
#include "native/derp/server_impl.h"

#include <algorithm>

namespace es::derp {

namespace {

// A client that reads nothing while thousands of its peers come and go: what it is told of them
// stays bounded, the rest is lost (its own timeouts find out).
constexpr size_t kMaxControlBytes = 64U << 10U;
constexpr size_t kMaxSendHistory = 64;
constexpr std::string_view kFightingText =
    "another device is connected with the same node key; was this machine cloned?";

QueuedFrame recv_packet_frame(const Key& source, Bytes packet) {
  const size_t payload_len = kKeyLen + packet.size();
  QueuedFrame frame;
  frame.len = static_cast<uint32_t>(kFrameHeaderLen + payload_len);
  frame.data = std::make_unique_for_overwrite<uint8_t[]>(frame.len);
  ByteWriter writer({frame.data.get(), frame.len});
  writer.u8(static_cast<uint8_t>(FrameType::kRecvPacket));
  writer.u32be(static_cast<uint32_t>(payload_len));
  writer.bytes(source);
  writer.bytes(packet);
  return frame;
}

void append(Bytes bytes, std::vector<uint8_t>& out) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

Server::Impl::Refusal Server::Impl::handle(Conn& conn, const Frame& frame, Millis now) {
  switch (frame.type) {
    case FrameType::kSendPacket:
      note_activity(conn);
      send_packet(conn, frame.payload, now);
      return std::nullopt;
    case FrameType::kNotePreferred: {
      const bool home = frame.payload[0] == static_cast<uint8_t>(Preferred::kYes);
      if (home != conn.home) home ? ++stats_.home_clients : --stats_.home_clients;
      conn.home = home;
      note_activity(conn);
      return std::nullopt;
    }
    case FrameType::kPing: {
      ++stats_.pings;
      // One answer may wait; who pings faster than it reads gets fewer.
      if (conn.pong) return std::nullopt;
      conn.pong.emplace();
      std::copy_n(frame.payload.begin(), kPingLen, conn.pong->begin());
      signal(conn);
      return std::nullopt;
    }
    case FrameType::kForwardPacket:
    case FrameType::kWatchConns:
    case FrameType::kClosePeer:
      return CloseReason::kNotMeshPeer;
    default:
      // A second greeting is skipped, as the reference skips every frame that it does not expect.
      return std::nullopt;
  }
}

void Server::Impl::send_packet(Conn& conn, Bytes payload, Millis now) {
  const Key destination = key_in(payload);
  const Bytes packet = payload.subspan(kKeyLen);
  ++stats_.packets_in;
  stats_.bytes_in += packet.size();
  const auto it = peers_.find(destination);
  if (it != peers_.end()) {
    if (it->second->active == nullptr) {
      ++stats_.dropped_duplicate;
      return;
    }
    return deliver(conn, *it->second->active, packet);
  }
  ++stats_.dropped_unknown;
  if (!looks_like_disco(packet)) return;
  conn.not_here.refill(1, 3, now);
  if (conn.not_here.milli_tokens < 1000) return;
  conn.not_here.milli_tokens -= 1000;
  ++stats_.peer_gone_not_here;
  tell_gone(conn, destination, PeerGoneReason::kNotHere);
}

void Server::Impl::deliver(Conn& from, Conn& to, Bytes packet) {
  watch(to, *from.peer);
  PacketQueue& queue = looks_like_disco(packet) ? to.disco : to.other;
  QueueLimits limits = config_.queue;
  if (stats_.queued_bytes > config_.max_queued_bytes) limits.always = 1;
  stats_.queued_bytes -= queue.num_bytes();
  stats_.dropped_queue += queue.push(recv_packet_frame(from.key, packet), limits);
  stats_.queued_bytes += queue.num_bytes();
  signal(to);
}

// `receiver` is told when `source` leaves. Beyond the limit it is not: it then finds out by its own
// timeouts, and memory stays bounded.
void Server::Impl::watch(Conn& receiver, Peer& source) {
  if (receiver.last_source == &source || receiver.peer == &source) return;
  if (!receiver.watching.contains(source.key)) {
    if (receiver.watching.size() >= config_.max_watched_peers) return;
    receiver.watching.insert(source.key);
    source.watchers.insert(receiver.id);
  }
  receiver.last_source = &source;
}

// With several connections of one key, the one that sends is the one that is alive.
void Server::Impl::note_activity(Conn& conn) {
  Peer& peer = *conn.peer;
  if (peer.conns.size() < 2) return;
  if (!peer.fighting || config_.duplicates == DuplicatePolicy::kLastWriterIsActive) {
    peer.active = &conn;
  }
  if (!peer.send_history.empty() && peer.send_history.back() == conn.id) return;
  const bool seen_before = std::find(peer.send_history.begin(), peer.send_history.end(), conn.id) !=
                           peer.send_history.end();
  peer.send_history.push_back(conn.id);
  if (peer.send_history.size() > kMaxSendHistory) {
    peer.send_history.erase(peer.send_history.begin());
  }
  // The first connection spoke, the newer one did, and now the first again: both are alive.
  if (seen_before && !peer.fighting) set_fighting(peer);
}

void Server::Impl::set_fighting(Peer& peer) {
  const bool is_news = !peer.fighting;
  peer.fighting = true;
  if (config_.duplicates == DuplicatePolicy::kDisableFighters) peer.active = nullptr;
  for (Conn* const conn : peer.conns) {
    if (!is_news && conn != peer.conns.back()) continue;
    if (conn->control.size() > kMaxControlBytes) continue;
    append_health(kFightingText, conn->control);
    signal(*conn);
  }
  if (config_.duplicates == DuplicatePolicy::kLastWriterIsActive && !is_news) {
    peer.active = peer.conns.back();
  }
}

// After a connection of a key left and others remain.
void Server::Impl::settle(Peer& peer) {
  if (peer.conns.size() == 1) {
    Conn& last = *peer.conns[0];
    peer.active = &last;
    peer.send_history.clear();
    if (peer.fighting) {
      peer.fighting = false;
      append_health("", last.control);
      signal(last);
    }
    return;
  }
  if (peer.active != nullptr) return;
  if (peer.fighting && config_.duplicates == DuplicatePolicy::kDisableFighters) return;
  const ConnId last_writer = peer.send_history.empty() ? 0 : peer.send_history.back();
  peer.active = peer.conns.back();
  for (Conn* const conn : peer.conns) {
    if (conn->id == last_writer) peer.active = conn;
  }
}

void Server::Impl::tell_gone(Conn& conn, const Key& gone, PeerGoneReason reason) {
  if (conn.control.size() > kMaxControlBytes) return;
  append_peer_gone(gone, reason, conn.control);
  signal(conn);
}

bool Server::Impl::take_output(ConnId id, size_t enough, std::vector<uint8_t>& out) {
  Conn* const found = find(id);
  if (found == nullptr) return false;
  Conn& conn = *found;
  const size_t before = out.size();
  if (!conn.control.empty()) {
    append(conn.control, out);
    conn.control.clear();
    conn.control.shrink_to_fit();
  }
  if (conn.pong) {
    append_ping(FrameType::kPong, *conn.pong, out);
    conn.pong.reset();
  }
  if (conn.keep_alive_queued) {
    append_empty(FrameType::kKeepAlive, out);
    conn.keep_alive_queued = false;
  }
  while (out.size() < enough && !(conn.disco.empty() && conn.other.empty())) {
    // In turn, so that neither starves the other.
    const bool from_other = conn.disco.empty() || (conn.other_next && !conn.other.empty());
    const QueuedFrame frame = (from_other ? conn.other : conn.disco).pop();
    conn.other_next = !from_other;
    stats_.queued_bytes -= frame.len;
    append(frame.bytes(), out);
    ++stats_.packets_out;
    stats_.bytes_out += frame.len - kFrameHeaderLen - kKeyLen;
  }
  if (!conn.has_output()) conn.signalled = false;
  return out.size() > before;
}

}  // namespace es::derp

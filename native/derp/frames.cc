#include "native/derp/frames.h"

#include <algorithm>

namespace es::derp {

namespace {

constexpr std::array<uint8_t, 6> kDiscoMagic{'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
// Magic, sender's disco key, nonce: what every disco message has in front of its box.
constexpr size_t kMinDiscoLen = kDiscoMagic.size() + kKeyLen + kNonceLen;
static_assert(kMinDiscoLen == 62);
// What an idle reader keeps allocated; a large frame's buffer is given back.
constexpr size_t kKeptCapacity = 4096;

void append(Bytes bytes, std::vector<uint8_t>& out) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

struct Header {
  FrameType type;
  uint32_t len;
};

Header read_header(Bytes bytes) {
  ByteReader reader(bytes);
  const auto type = static_cast<FrameType>(reader.u8().value());
  return {type, reader.u32be().value()};
}

std::optional<FrameBounds> server_bounds(FrameType type) {
  switch (type) {
    case FrameType::kClientInfo:
      return FrameBounds{kMinClientInfoLen, kMaxClientInfoLen};
    case FrameType::kSendPacket:
      return FrameBounds{kKeyLen, kKeyLen + kMaxPacketLen};
    case FrameType::kForwardPacket:
      return FrameBounds{2 * kKeyLen, 2 * kKeyLen + kMaxPacketLen};
    case FrameType::kNotePreferred:
      return FrameBounds{1, 1};
    case FrameType::kWatchConns:
      return FrameBounds{0, 0};
    case FrameType::kClosePeer:
      return FrameBounds{kKeyLen, kKeyLen};
    case FrameType::kPing:
      return FrameBounds{kPingLen, kMaxPingLen};
    default:
      return std::nullopt;
  }
}

std::optional<FrameBounds> client_bounds(FrameType type) {
  switch (type) {
    case FrameType::kServerKey:
      return FrameBounds{kServerKeyLen, kMaxServerKeyLen};
    case FrameType::kServerInfo:
      return FrameBounds{kNonceLen + kBoxOverhead, kMaxClientPayload};
    case FrameType::kRecvPacket:
    case FrameType::kPeerGone:
      return FrameBounds{kKeyLen, kMaxClientPayload};
    case FrameType::kPeerPresent:
      return FrameBounds{kKeyLen, kMaxClientPayload};
    case FrameType::kPing:
    case FrameType::kPong:
      return FrameBounds{kPingLen, kMaxClientPayload};
    case FrameType::kRestarting:
      return FrameBounds{8, kMaxClientPayload};
    case FrameType::kKeepAlive:
    case FrameType::kHealth:
      return FrameBounds{0, kMaxClientPayload};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<FrameBounds> frame_bounds(Side side, FrameType type) {
  return side == Side::kServer ? server_bounds(type) : client_bounds(type);
}

Status FrameReader::check(FrameType type, size_t len) {
  if (side_ == Side::kClient && len > kMaxClientPayload) return reconnect("a frame is too long");
  const auto bounds = frame_bounds(side_, type);
  if (!bounds) return {};
  if (len < bounds->min_len) return reconnect("a frame is too short");
  if (len > bounds->max_len) return reconnect("a frame is too long");
  return {};
}

// Makes at least `want` bytes of a frame that began in earlier input stand in partial_, taking no
// byte beyond them from the chunk. False when the input ends before.
bool FrameReader::pull(size_t want) {
  if (partial_.size() - partial_pos_ >= want) return true;
  partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(partial_pos_));
  partial_pos_ = 0;
  const size_t take = std::min(want - partial_.size(), chunk_.size());
  append(chunk_.first(take), partial_);
  chunk_ = chunk_.subspan(take);
  return partial_.size() >= want;
}

void FrameReader::skip_unwanted() {
  const size_t from_partial = std::min<size_t>(skip_left_, partial_.size() - partial_pos_);
  partial_pos_ += from_partial;
  const size_t from_chunk = std::min<size_t>(skip_left_ - from_partial, chunk_.size());
  chunk_ = chunk_.subspan(from_chunk);
  skip_left_ -= static_cast<uint32_t>(from_partial + from_chunk);
}

void FrameReader::release_partial() {
  partial_.clear();
  partial_pos_ = 0;
  if (partial_.capacity() > kKeptCapacity) partial_.shrink_to_fit();
}

Result<std::optional<Frame>> FrameReader::next() {
  for (;;) {
    if (skip_left_ > 0) skip_unwanted();
    const bool in_partial = partial_.size() > partial_pos_;
    if (!in_partial && !partial_.empty()) release_partial();
    if (in_partial ? !pull(kFrameHeaderLen) : chunk_.size() < kFrameHeaderLen) break;
    const Bytes input = in_partial ? Bytes(partial_).subspan(partial_pos_) : chunk_;
    const Header header = read_header(input);
    ES_CHECK(check(header.type, header.len));
    const bool wanted = frame_bounds(side_, header.type).has_value();
    const size_t take = kFrameHeaderLen + (wanted ? header.len : 0);
    if (in_partial ? !pull(take) : chunk_.size() < take) break;
    const Bytes whole = (in_partial ? Bytes(partial_).subspan(partial_pos_) : chunk_).first(take);
    if (in_partial) {
      partial_pos_ += take;
    } else {
      chunk_ = chunk_.subspan(take);
    }
    if (wanted) return std::optional(Frame{header.type, whole.subspan(kFrameHeaderLen)});
    skip_left_ = header.len;
  }
  return std::optional<Frame>();
}

void FrameReader::end() {
  partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(partial_pos_));
  partial_pos_ = 0;
  append(chunk_, partial_);
  chunk_ = {};
  if (partial_.empty()) release_partial();
}

void append_header(FrameType type, size_t payload_len, std::vector<uint8_t>& out) {
  const size_t begin = out.size();
  out.resize(begin + kFrameHeaderLen);
  ByteWriter writer(MutableBytes(out).subspan(begin));
  writer.u8(static_cast<uint8_t>(type));
  writer.u32be(static_cast<uint32_t>(payload_len));
}

void append_server_key(const Key& server_public, std::vector<uint8_t>& out) {
  append_header(FrameType::kServerKey, kServerKeyLen, out);
  append(kMagic, out);
  append(server_public, out);
}

void append_packet(FrameType send_or_recv, const Key& peer, Bytes packet,
                   std::vector<uint8_t>& out) {
  out.reserve(out.size() + kFrameHeaderLen + kKeyLen + packet.size());
  append_header(send_or_recv, kKeyLen + packet.size(), out);
  append(peer, out);
  append(packet, out);
}

void append_forward_packet(const Key& source, const Key& destination, Bytes packet,
                           std::vector<uint8_t>& out) {
  append_header(FrameType::kForwardPacket, 2 * kKeyLen + packet.size(), out);
  append(source, out);
  append(destination, out);
  append(packet, out);
}

void append_empty(FrameType type, std::vector<uint8_t>& out) { append_header(type, 0, out); }

void append_note_preferred(Preferred preferred, std::vector<uint8_t>& out) {
  append_header(FrameType::kNotePreferred, 1, out);
  out.push_back(static_cast<uint8_t>(preferred));
}

void append_peer_gone(const Key& peer, PeerGoneReason reason, std::vector<uint8_t>& out) {
  append_header(FrameType::kPeerGone, kKeyLen + 1, out);
  append(peer, out);
  out.push_back(static_cast<uint8_t>(reason));
}

void append_peer_present(const Key& peer, const Endpoint& at, uint8_t flags,
                         std::vector<uint8_t>& out) {
  append_header(FrameType::kPeerPresent, kPeerPresentLen, out);
  append(peer, out);
  append(at.ip, out);
  out.push_back(static_cast<uint8_t>(at.port >> 8U));
  out.push_back(static_cast<uint8_t>(at.port & 0xffU));
  out.push_back(flags);
}

void append_close_peer(const Key& peer, std::vector<uint8_t>& out) {
  append_header(FrameType::kClosePeer, kKeyLen, out);
  append(peer, out);
}

void append_ping(FrameType ping_or_pong, const PingData& data, std::vector<uint8_t>& out) {
  append_header(ping_or_pong, kPingLen, out);
  append(data, out);
}

void append_health(std::string_view text, std::vector<uint8_t>& out) {
  append_header(FrameType::kHealth, text.size(), out);
  append(as_bytes(text), out);
}

void append_restarting(uint32_t reconnect_in_ms, uint32_t try_for_ms, std::vector<uint8_t>& out) {
  std::array<uint8_t, 8> payload;
  ByteWriter writer(payload);
  writer.u32be(reconnect_in_ms);
  writer.u32be(try_for_ms);
  append_header(FrameType::kRestarting, payload.size(), out);
  append(payload, out);
}

Key key_in(Bytes payload, size_t offset) {
  Key key;
  const Bytes from = payload.subspan(offset, kKeyLen);
  std::copy(from.begin(), from.end(), key.begin());
  return key;
}

Result<Key> parse_server_key(Bytes payload) {
  if (payload.size() < kServerKeyLen || payload.size() > kMaxServerKeyLen) {
    return reconnect("the server key frame has the wrong length");
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), payload.begin())) {
    return reconnect("the server does not speak DERP");
  }
  return key_in(payload, kMagic.size());
}

PeerGone parse_peer_gone(Bytes payload) {
  return {key_in(payload), payload.size() > kKeyLen ? payload[kKeyLen] : uint8_t{0}};
}

bool looks_like_disco(Bytes packet) {
  return packet.size() >= kMinDiscoLen &&
         std::equal(kDiscoMagic.begin(), kDiscoMagic.end(), packet.begin());
}

}  // namespace es::derp

// DERP frames: what every byte of a relay connection belongs to.
//
// Every frame: 1 byte type, 4 bytes payload length (big-endian), payload.
//   type name          who           payload
//   0x01 ServerKey     S->C          8 magic, 32 server key, future bytes
//   0x02 ClientInfo    C->S          32 client key, 24 nonce, sealed JSON
//   0x03 ServerInfo    S->C          24 nonce, sealed JSON
//   0x04 SendPacket    C->S          32 destination, packet (0 to 65536)
//   0x05 RecvPacket    S->C          32 source, packet
//   0x06 KeepAlive     S->C          nothing
//   0x07 NotePreferred C->S          1: 01 this is my home, 00 it is not
//   0x08 PeerGone      S->C          32 key, 1 reason (absent: 0)
//   0x09 PeerPresent   S->watcher    32 key, 16 IPv6 (IPv4 mapped), 2 port, 1 flags
//   0x0a ForwardPacket mesh->S       32 source, 32 destination, packet
//   0x10 WatchConns    mesh->S       nothing
//   0x11 ClosePeer     mesh->S       32 key
//   0x12 Ping          both          8, future bytes (1000 in all)
//   0x13 Pong          both          8
//   0x14 Health        S->C          text; empty clears
//   0x15 Restarting    S->C          4 ms until reconnect, 4 ms to keep trying
//
// Source: tailscale derp/derp.go (v1.80 to 1.104).
// Strictness: unknown types are skipped, whatever their length; known ones are bounded for each
// side by frame_bounds(). Errors are fatal for the connection (kReconnect).
// Threads: a reader belongs to one caller.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace es::derp {

enum class FrameType : uint8_t {
  kServerKey = 0x01,
  kClientInfo = 0x02,
  kServerInfo = 0x03,
  kSendPacket = 0x04,
  kRecvPacket = 0x05,
  kKeepAlive = 0x06,
  kNotePreferred = 0x07,
  kPeerGone = 0x08,
  kPeerPresent = 0x09,
  kForwardPacket = 0x0a,
  kWatchConns = 0x10,
  kClosePeer = 0x11,
  kPing = 0x12,
  kPong = 0x13,
  kHealth = 0x14,
  kRestarting = 0x15,
};

enum class PeerGoneReason : uint8_t { kDisconnected = 0x00, kNotHere = 0x01 };

constexpr uint32_t kProtocolVersion = 2;
constexpr size_t kFrameHeaderLen = 5;
constexpr size_t kKeyLen = 32;
constexpr size_t kNonceLen = 24;
constexpr size_t kBoxOverhead = 16;
constexpr size_t kMaxPacketLen = 65536;
constexpr size_t kMaxClientPayload = 1U << 20U;  // what a client accepts of a server
constexpr size_t kMaxClientInfoLen = 256U << 10U;
constexpr size_t kMinClientInfoLen = kKeyLen + kNonceLen;
constexpr size_t kPingLen = 8;
constexpr size_t kMaxPingLen = 1000;
constexpr size_t kPeerPresentLen = kKeyLen + 16 + 2 + 1;
constexpr std::array<uint8_t, 8> kMagic{'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91};
constexpr size_t kServerKeyLen = kMagic.size() + kKeyLen;
constexpr size_t kMaxServerKeyLen = 1024;
static_assert(kServerKeyLen == 40 && kPeerPresentLen == 51 && kMinClientInfoLen == 56);

using Key = std::array<uint8_t, kKeyLen>;
using PingData = std::array<uint8_t, kPingLen>;

// ::ffff:a.b.c.d for IPv4.
struct Endpoint {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct Frame {
  FrameType type;
  Bytes payload;
};

// Who reads. A mesh peer is a client to the server that it connects to.
enum class Side : uint8_t { kServer, kClient };

// What `side` takes of a frame type: nullopt means that the frame is skipped.
struct FrameBounds {
  size_t min_len;
  size_t max_len;
};
std::optional<FrameBounds> frame_bounds(Side side, FrameType type);

// Parts a stream into frames. Frames that lie in the input as a whole are not copied.
//   reader.begin(chunk);
//   for (;;) { next() -> error: close; nullopt: done; frame: use it before the following call }
//   reader.end();
// A caller that stops early calls end() too; the frames that it did not take come first next time.
class FrameReader {
 public:
  explicit FrameReader(Side side) : side_(side) {}

  void begin(Bytes chunk) { chunk_ = chunk; }
  Result<std::optional<Frame>> next();
  void end();

  // Bytes of frames that are not complete or not taken yet.
  size_t held() const { return partial_.size() - partial_pos_ + chunk_.size(); }

 private:
  Status check(FrameType type, size_t len);
  bool pull(size_t want);
  void skip_unwanted();
  void release_partial();

  Side side_;
  Bytes chunk_;
  std::vector<uint8_t> partial_;  // what earlier input left over; [0, partial_pos_) is taken
  size_t partial_pos_ = 0;
  uint32_t skip_left_ = 0;  // payload of a frame that nobody wants
};

// Writers; each appends one frame. The caller has checked lengths that come from elsewhere.
void append_header(FrameType type, size_t payload_len, std::vector<uint8_t>& out);
void append_server_key(const Key& server_public, std::vector<uint8_t>& out);
void append_packet(FrameType send_or_recv, const Key& peer, Bytes packet,
                   std::vector<uint8_t>& out);
void append_forward_packet(const Key& source, const Key& destination, Bytes packet,
                           std::vector<uint8_t>& out);
// KeepAlive, WatchConns.
void append_empty(FrameType type, std::vector<uint8_t>& out);
enum class Preferred : uint8_t { kNo = 0, kYes = 1 };
void append_note_preferred(Preferred preferred, std::vector<uint8_t>& out);
void append_peer_gone(const Key& peer, PeerGoneReason reason, std::vector<uint8_t>& out);
void append_peer_present(const Key& peer, const Endpoint& at, uint8_t flags,
                         std::vector<uint8_t>& out);
void append_close_peer(const Key& peer, std::vector<uint8_t>& out);
// Ping, Pong.
void append_ping(FrameType ping_or_pong, const PingData& data, std::vector<uint8_t>& out);
void append_health(std::string_view text, std::vector<uint8_t>& out);
void append_restarting(uint32_t reconnect_in_ms, uint32_t try_for_ms, std::vector<uint8_t>& out);

// Payload readers, for frames that passed frame_bounds().
Key key_in(Bytes payload, size_t offset = 0);
Result<Key> parse_server_key(Bytes payload);

struct PeerGone {
  Key peer;
  uint8_t reason;
};
PeerGone parse_peer_gone(Bytes payload);

// True for a disco message: "TS" and U+1F4AC in front, and long enough to be one.
bool looks_like_disco(Bytes packet);

}  // namespace es::derp

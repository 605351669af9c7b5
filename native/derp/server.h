// The DERP relay's state: who is connected under which key, and what each is to be sent.
//
// Pure: connections are numbers, bytes come in with receive() and go out with take_output(), time
// is an argument, and everything else is asked of the Host. hub.h drives it over real streams;
// tests drive thousands of clients in a loop.
//
// Life of a connection: open() queues ServerKey; ClientInfo must follow within the handshake
// timeout and opens only with the client's key; the host admits or refuses (at once or later);
// then ServerInfo is queued and packets flow. A refusal says nothing to the client.
//
// Behaviour follows tailscale derp_server.go (v1.80): two bounded queues a client, head drop;
// PeerGone(NotHere) for disco packets to unknown keys, 1 a second with a burst of 3 for a sender;
// PeerGone(Disconnected) to those that got packets from a client which left; several connections
// of one key stay open and the last to send is the active one.
// Differences: queues are bounded by bytes too; mesh is not offered, so its frames end the
// connection; a Health frame tells clients that they fight over one key.
//
// Threads: none; one caller at a time. Host callbacks must not call back into the server.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/derp/frames.h"
#include "native/derp/info.h"
#include "native/derp/packet_queue.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace es::derp {

using ConnId = uint64_t;  // never used twice

enum class DuplicatePolicy : uint8_t {
  kLastWriterIsActive,  // as the reference: roaming clients come back at once
  kDisableFighters,     // connections that alternate get no data until one remains
};

struct ServerConfig {
  Key private_key{};
  size_t max_connections = 20000;
  size_t max_handshaking = 1024;            // of them, not admitted yet
  size_t max_handshaking_per_source = 256;  // IPv6 by /64; sources on this machine are not counted
  size_t max_client_info_len = 16384;  // payload; the format allows 256 KiB, clients send 200 B
  Millis handshake_timeout{10000};
  Millis admission_timeout{5000};
  Millis keep_alive{60000};
  Millis keep_alive_jitter{5000};
  // For each of a client's two queues. 32 packets of any size may wait, as in the reference (its
  // prober sends the largest in bursts), as long as all that waits is within max_queued_bytes.
  QueueLimits queue{.always = 32};
  size_t max_queued_bytes = 256U << 20U;
  size_t max_watched_peers = 4096;     // senders whose end a client is told of
  uint64_t rate_bytes_per_second = 0;  // read from one client; 0: no limit
  uint64_t rate_burst_bytes = 0;       // at least one largest packet
  DuplicatePolicy duplicates = DuplicatePolicy::kLastWriterIsActive;
};

enum class CloseReason : uint8_t {
  kProtocolError,
  kHandshakeTimeout,
  kNotAdmitted,
  kAdmissionTimeout,
  kNotMeshPeer,
  kDisconnected,  // by disconnect()
};
std::string_view text_of(CloseReason reason);

enum class Admission : uint8_t { kAdmit, kRefuse, kLater };

class Host {
 public:
  virtual ~Host() = default;
  // Output has come where there was none: call take_output() until it yields nothing.
  virtual void output_ready(ConnId id) = 0;
  // wants_read() was false and is true now.
  virtual void resume_reading(ConnId id) = 0;
  // The server has forgotten the connection: close it without sending more.
  virtual void close(ConnId id, CloseReason reason) = 0;
  // May this key connect? kLater: admission_decided() follows within the admission timeout.
  virtual Admission admit(ConnId id, const Key& client, const Endpoint& source) = 0;
  virtual void random(MutableBytes out) = 0;
};

struct ServerStats {
  uint64_t accepted = 0;          // connections opened
  uint64_t refused_full = 0;      // not opened: a limit was reached
  uint64_t handshake_failed = 0;  // closed before they were admitted
  uint64_t packets_in = 0;
  uint64_t bytes_in = 0;  // of packets, without frame headers and keys
  uint64_t packets_out = 0;
  uint64_t bytes_out = 0;
  uint64_t dropped_unknown = 0;    // nobody has the destination's key
  uint64_t dropped_duplicate = 0;  // the destination's connections fight
  uint64_t dropped_queue = 0;      // oldest of a full queue
  uint64_t peer_gone_not_here = 0;
  uint64_t peer_gone_disconnected = 0;
  uint64_t pings = 0;
  // Now:
  size_t connections = 0;
  size_t handshaking = 0;
  size_t clients = 0;         // distinct keys
  size_t duplicate_keys = 0;  // keys with more than one connection
  size_t home_clients = 0;    // that said this is their home
  size_t queued_bytes = 0;    // of packets that wait for slow clients
};

struct ClientView {
  Key key;
  Endpoint source;
  Millis connected_at;
  size_t num_connections;
  size_t queued_packets;
  bool home;
};

class Server {
 public:
  // Refuses a private key that libsodium cannot use.
  static Result<Server> create(const ServerConfig& config, Host& host);
  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;
  ~Server();

  const Key& public_key() const;

  // A new connection; kRetryLater at a limit.
  Result<ConnId> open(const Endpoint& source, Millis now);
  // Bytes from the peer. Unknown ids are ignored everywhere: the host may be a step behind.
  void receive(ConnId id, Bytes stream, Millis now);
  // False while admission is pending or the client is over its rate: leave its bytes in the
  // socket; resume_reading() follows.
  bool wants_read(ConnId id) const;
  // The peer or the stream is gone. No close() follows.
  void closed(ConnId id);
  void admission_decided(ConnId id, Admission decision, Millis now);

  // Appends whole frames to `out` until it holds at least `enough` bytes or nothing is left.
  // False when nothing was appended.
  bool take_output(ConnId id, size_t enough, std::vector<uint8_t>& out);

  // Does what is due; costs nothing when nothing is.
  void tick(Millis now);
  std::optional<Millis> next_deadline() const;

  // Closes every connection of a key (its node was deleted or expired); returns how many.
  size_t disconnect(const Key& client);
  // Tells every client that the server goes away.
  void announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms);

  ServerStats stats() const;
  std::vector<ClientView> clients() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace es::derp

// Private to the server: its tables. One Conn for each connection, one Peer for each key.
#pragma once

#include "native/derp/server.h"

#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace es::derp {

// Keys come from peers, so the hash is keyed.
struct KeyHash {
  uint64_t secret = 0;
  size_t operator()(const Key& key) const {
    ByteReader reader(key);
    uint64_t x = secret;
    for (int i = 0; i < 4; ++i) {
      x ^= reader.u64le().value();
      x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
      x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
      x ^= x >> 31U;
    }
    return x;
  }
};

// A token bucket in thousandths, so that slow rates earn parts of a token. May go below zero.
struct Bucket {
  int64_t milli_tokens = 0;
  Millis filled_at{0};

  void refill(int64_t per_second, int64_t burst, Millis now) {
    if (now <= filled_at) return;
    // Beyond the time that fills it from empty nothing is earned; the clamp keeps the product
    // small whatever the clock does.
    const int64_t elapsed_ms = std::min<int64_t>((now - filled_at).count(), 3600 * 1000);
    milli_tokens = std::min(milli_tokens + elapsed_ms * per_second, burst * 1000);
    filled_at = now;
  }
};

// How many connections of each source are in their handshake: IPv4 by address, IPv6 by /64.
class GreetersBySource {
 public:
  bool take(const Endpoint& source, size_t limit) {
    const auto key = key_of(source);
    if (!key) return true;
    size_t& count = counts_[*key];
    if (count >= limit) return false;  // it stood there before: limit is at least 1
    ++count;
    return true;
  }
  void give_back(const Endpoint& source) {
    const auto key = key_of(source);
    const auto it = key ? counts_.find(*key) : counts_.end();
    if (it != counts_.end() && --it->second == 0) counts_.erase(it);
  }

 private:
  // None for this machine (a local proxy carries others) and for an unknown source.
  static std::optional<uint64_t> key_of(const Endpoint& source) {
    ByteReader reader(source.ip);
    const uint64_t high = reader.u64be().value();
    const uint64_t low = reader.u64be().value();
    constexpr uint64_t kMapped = 0x0000'ffff'0000'0000;
    if (high != 0) return high;
    if (low <= 1 || (low & ~uint64_t{0xffffff}) == (kMapped | 0x7f000000U)) return std::nullopt;
    return low;
  }

  std::map<uint64_t, size_t> counts_;  // at most max_handshaking
};

struct Conn;

// Everything known of one client key.
struct Peer {
  Key key{};
  std::vector<Conn*> conns;          // in the order of arrival
  Conn* active = nullptr;            // where packets go; null while the connections fight
  std::vector<ConnId> send_history;  // who sent, without repeats in a row; only with duplicates
  bool fighting = false;
  std::unordered_set<ConnId> watchers;  // connections that got packets from this key
};

struct Conn {
  enum class State : uint8_t { kGreeting, kAdmitting, kActive };

  Conn(ConnId conn_id, const Endpoint& from, uint64_t secret)
      : id(conn_id), source(from), reader(Side::kServer), watching(0, KeyHash{secret}) {}

  ConnId id;
  Endpoint source;
  State state = State::kGreeting;
  FrameReader reader;
  Key key{};
  std::optional<SharedBox> box;  // until ServerInfo is sent
  Peer* peer = nullptr;          // when active
  Millis opened_at{0};
  bool home = false;

  // Output, in the order in which it leaves.
  std::vector<uint8_t> control;
  std::optional<PingData> pong;
  bool keep_alive_queued = false;
  PacketQueue disco;
  PacketQueue other;
  bool other_next = false;
  bool signalled = false;  // output_ready() was called and not everything taken since

  // The senders that this connection is told of when they leave.
  std::unordered_set<Key, KeyHash> watching;
  Peer* last_source = nullptr;  // watched already: saves the lookup for runs of packets

  Bucket not_here;
  Bucket rate;
  bool over_rate = false;

  // Deadlines; the earliest stands in the server's schedule.
  Millis expires_at{0};  // of the greeting or the admission
  Millis keep_alive_at{0};
  Millis resume_at{0};
  std::optional<Millis> scheduled;

  bool has_output() const {
    return !control.empty() || pong || keep_alive_queued || !disco.empty() || !other.empty();
  }
};

class Server::Impl {
 public:
  Impl(const ServerConfig& config, const Key& public_key, Host& host);

  Result<ConnId> open(const Endpoint& source, Millis now);
  void receive(ConnId id, Bytes stream, Millis now);
  bool wants_read(ConnId id) const;
  void closed(ConnId id);
  void admission_decided(ConnId id, Admission decision, Millis now);
  bool take_output(ConnId id, size_t enough, std::vector<uint8_t>& out);
  void tick(Millis now);
  std::optional<Millis> next_deadline() const;
  size_t disconnect(const Key& client);
  void announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms);
  ServerStats stats() const;
  std::vector<ClientView> clients() const;
  const Key& public_key() const { return public_key_; }

 private:
  using Refusal = std::optional<CloseReason>;

  Conn* find(ConnId id) const;
  // Lifecycle (server.cc).
  void run(Conn& conn, Millis now);
  Refusal greet(Conn& conn, Bytes payload, Millis now);
  void activate(Conn& conn, Millis now);
  void drop(Conn& conn, CloseReason reason);
  void forget(Conn& conn);
  void leave_peer(Conn& conn);
  void schedule(Conn& conn);
  void signal(Conn& conn);
  void charge(Conn& conn, size_t len, Millis now);
  Millis jitter();
  // Frames of active clients (server_frames.cc).
  Refusal handle(Conn& conn, const Frame& frame, Millis now);
  void send_packet(Conn& conn, Bytes payload, Millis now);
  void deliver(Conn& from, Conn& to, Bytes packet);
  void watch(Conn& receiver, Peer& source);
  void note_activity(Conn& conn);
  void set_fighting(Peer& peer);
  void settle(Peer& peer);
  void tell_gone(Conn& conn, const Key& gone, PeerGoneReason reason);

  ServerConfig config_;
  Key public_key_;
  Host& host_;
  KeyHash hash_;
  ConnId next_id_ = 1;
  std::unordered_map<ConnId, std::unique_ptr<Conn>> conns_;
  std::unordered_map<Key, std::unique_ptr<Peer>, KeyHash> peers_;
  std::set<std::pair<Millis, ConnId>> schedule_;
  GreetersBySource handshaking_;
  ServerStats stats_;
};

}  // namespace es::derp

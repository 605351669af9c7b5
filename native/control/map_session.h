// The stream of maps to one node. Created by Tailnet::open_session().
//
// Threads: every method from any thread. A session must not outlive its tailnet.
#pragma once

#include "common/base/time.h"
#include "native/control/map_payload.h"
#include "native/control/policy_view.h"
#include "native/control/tailnet.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace es::control {

// One long poll of a node. Owned by whoever writes the stream; destroying it ends the session.
class MapSession {
 public:
  ~MapSession();
  MapSession(const MapSession&) = delete;
  MapSession& operator=(const MapSession&) = delete;

  // The next message, or nothing.
  std::optional<MapMessage> take(WallTime now);
  // True when a newer session took over or the node is gone: end the stream.
  bool ended() const;
  // A keep-alive message in this session's form.
  MapMessage keep_alive(WallTime now) const;
  // Ends the session; `now` is when the client left.
  void close(WallTime now);

  uint64_t node_id() const { return node_id_; }

 private:
  friend class Tailnet;
  MapSession(Tailnet& tailnet, uint64_t node_id, Compression compression,
             std::function<void()> wake)
      : tailnet_(tailnet), node_id_(node_id), compression_(compression), wake_(std::move(wake)) {}

  bool has_news() const;
  bool overflows() const;
  std::optional<MapMessage> next(WallTime now, Tailnet::Calls& calls);

  Tailnet& tailnet_;
  const uint64_t node_id_;
  const Compression compression_;
  const std::function<void()> wake_;
  // Under the tailnet's lock:
  std::unordered_map<uint64_t, uint8_t> marks_;  // by node id
  std::set<uint64_t> profiles_;                  // users whose profile was sent
  bool full_ = true;                             // the next message is a whole map
  bool self_ = false;                            // the own node has changed
  uint8_t views_ = 0;                            // Tailnet::View that may have changed
  PolicyState policy_;                           // what the client has of the policy
  uint8_t shared_ = 0;                           // Tailnet::Shared that have changed
  std::vector<std::string> pings_;               // PingRequests, one a message
  bool limited_ = false;  // the node's key has expired: it was told that, and is told nothing more
  bool woken_ = true;
  bool ended_ = false;
  std::string farewell_;  // still said after the end, to the client of a deleted node
};

}  // namespace es::control

// A node as clients receive it (tailcfg.Node), and the patch of one (tailcfg.PeerChange).
//
// Source: clients 1.80 to 1.102. Empty strings never stand for keys: a zero key is left out, since
// "" makes a client refuse the whole message. AllowedIPs is always written: absent means Addresses
// to newer clients and nothing to older ones.
#pragma once

#include "common/base/time.h"
#include "native/tailcfg/keys.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace es::tailcfg {

struct Node {
  uint64_t id = 0;   // positive, below 2^53, never used again
  std::string name;  // FQDN with a trailing dot
  uint64_t user = 0;
  NodeKey key;
  std::optional<WallTime> key_expiry;  // none: never
  MachineKey machine;
  DiscoKey disco;
  std::vector<std::string> addresses;    // /32 and /128
  std::vector<std::string> allowed_ips;  // addresses, and the routes that this viewer may use
  std::vector<std::string> endpoints;
  int32_t home_derp = 0;
  std::string hostinfo_json = "{}";
  WallTime created{};
  uint32_t capability_version = 0;
  std::vector<std::string> tags;
  std::vector<std::string> primary_routes;
  std::optional<WallTime> last_seen;  // of nodes that are offline
  std::optional<bool> online;
  std::string cap_map_json;  // empty: left out
  enum class Key : uint8_t { kValid, kExpired } key_state = Key::kValid;
};

void append_json(std::string& out, const Node& node);

// What changed about a peer; absent members stay as they were.
struct PeerChange {
  uint64_t id = 0;
  int32_t home_derp = 0;  // 0: unchanged
  uint32_t capability_version = 0;
  std::optional<std::vector<std::string>> endpoints;
  std::optional<NodeKey> key;
  std::optional<DiscoKey> disco;
  std::optional<bool> online;
  std::optional<WallTime> last_seen;
  std::optional<WallTime> key_expiry;
};

void append_json(std::string& out, const PeerChange& change);

}  // namespace es::tailcfg

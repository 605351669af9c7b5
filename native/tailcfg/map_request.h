// POST /machine/map: MapRequest.
//
// Source: tailcfg.MapRequest, clients 1.80 to 1.102; strictness as in register.h.
#pragma once

#include "common/base/result.h"
#include "native/tailcfg/hostinfo.h"
#include "native/tailcfg/keys.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace es::tailcfg {

inline constexpr size_t kMaxEndpoints = 64;

struct MapRequest {
  uint32_t version = 0;
  NodeKey node_key;    // never zero
  DiscoKey disco_key;  // zero: not known yet
  // A long poll (its other fields may be older than the last update and are not read), or an
  // update of what this node says of itself.
  bool stream = false;
  bool omit_peers = false;
  bool zstd = false;                   // Compress
  std::vector<std::string> endpoints;  // "ip:port"; others are dropped
  Hostinfo hostinfo;
};

Result<MapRequest> parse_map_request(std::string_view json);

}  // namespace es::tailcfg

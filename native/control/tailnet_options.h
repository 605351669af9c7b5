// What a tailnet is told when it is made, and what it says of itself.
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "native/control/address_pool.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace es::control {

struct TailnetOptions {
  std::string server_url;   // absolute, without a trailing slash: AuthURLs begin with it
  std::string base_domain;  // MagicDNS names end with it
  std::string dns_config_json = "{}";
  std::string derp_map_json = "{\"Regions\":{}}";
  bool file_sharing = true;  // Taildrop
  bool auto_update = false;  // what clients do that have no wish of their own
  bool client_logs = false;  // clients may send their logs to Tailscale
  AddressPool::Options addresses;
  Millis key_lifetime{0};  // of user-owned nodes; 0: no expiry
  Millis ephemeral_timeout{120'000};
  Millis offline_grace{10'000};  // between the end of a session and peers seeing it
  Millis registration_lifetime{15 * 60'000};
  size_t max_registrations = 1024;  // waiting for an approval
  size_t max_registrations_of_network = 64;
  size_t max_registration_bytes = 16U << 20U;  // of what the waiting machines say of themselves
  std::function<void(MutableBytes)> random;
};

// How far the core has got, for metrics.
struct TailnetStats {
  size_t nodes = 0;
  size_t online = 0;
  size_t sessions = 0;
  uint64_t full_maps = 0;
  uint64_t delta_maps = 0;
  uint64_t overflows = 0;  // deltas replaced by a full map
  uint64_t registrations = 0;
  uint64_t refused_registrations = 0;
};

}  // namespace es::control

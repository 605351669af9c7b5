// Two clients of one DERP relay, one that sends and one that receives, each with a thread of its
// own that blocks: what is measured is the relay's processor time for each packet that arrived.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace es::storm {

struct RelayOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  int server_pid = 0;
  size_t packet_bytes = 1300;
  std::chrono::seconds warm_up{1};
  std::chrono::seconds time{5};
  // At most so many packets are under way: 0: the sender never waits, and the relay drops what it
  // cannot pass on.
  size_t window = 0;
};

struct RelayReport {
  double packets_per_second = 0;      // that arrived
  double packets_per_cpu_second = 0;  // of the relay
  double lost = 0;                    // of those sent, 0 to 1
  double rss_mb = 0;
};

// Throws std::runtime_error when the relay does not relay, or alters a packet.
RelayReport run_relay_load(const RelayOptions& options);

}  // namespace es::storm

// N clients of one control server in one thread, and the phases that they go through.
//
// What is measured is when the bytes of a message came, read off the clock right behind the read;
// decompressing and counting wait until the sockets have nothing more, so that a fast server is not
// charged for the tool's own work. Each client connects from an address of its own in 127.0.0.0/8.
// Every phase checks what it measures: maps are whole only with all peers, a change counts when its
// new endpoint is in the message.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace es::storm {

struct ControlOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  std::string auth_key;
  int server_pid = 0;
  size_t nodes = 300;
  size_t joins = 15;
  size_t changes = 15;
  size_t reconnects = 3;
  std::chrono::seconds settle{5};  // before the idle time begins
  std::chrono::seconds idle{60};
};

struct ControlReport {
  double populate_seconds = 0;
  double idle_cpu_seconds = 0;
  double idle_rss_mb = 0;
  double idle_anon_mb = 0;
  double peak_rss_mb = 0;  // over all phases
  double total_cpu_seconds = 0;
  std::vector<double> change_all_ms;     // a change until the last other node has it
  std::vector<double> change_median_ms;  // until half of them have it
  std::vector<double> reconnect_ms;      // slowest first map, a round each
  std::vector<double> reconnect_median_ms;
  std::vector<double> reconnect_cpu_seconds;
  std::vector<double> join_ms;      // from connecting to the first full map
  std::vector<double> join_all_ms;  // until the last other node knows the new one
  size_t first_map_bytes = 0;       // compressed
  size_t broken_streams = 0;        // ended by the server; the client came back
  std::string last_break;
};

// Throws std::runtime_error when the server does not do what it must.
ControlReport run_control_load(const ControlOptions& options);

}  // namespace es::storm

// What a process of this machine has cost so far: processor time to the nanosecond, memory to the
// page. Linux only.
#pragma once

#include <cstdint>

namespace es::storm {

struct ProcessCost {
  double cpu_seconds = 0;   // all threads, user and system
  uint64_t rss_bytes = 0;   // resident now
  uint64_t peak_bytes = 0;  // the most that was resident
  uint64_t anon_bytes = 0;  // of the resident: its own memory, without the program's text
};

// Throws std::runtime_error when there is no such process.
ProcessCost cost_of(int pid);

}  // namespace es::storm

// The process_* series that every Prometheus dashboard expects, read from /proc when asked for.
#pragma once

#include "native/telemetry/metrics.h"

namespace es::telemetry {

struct ProcessStats {
  double cpu_seconds = 0;  // user and system
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;
  double threads = 0;
  double start_time_seconds = 0;  // Unix time
};

// What the kernel does not tell stays 0.
ProcessStats read_process_stats();

void add_process_stats(Metrics& metrics);

}  // namespace es::telemetry

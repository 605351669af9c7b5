// The process_* series that every Prometheus dashboard expects, read from /proc when asked for.
// What the kernel does not tell is 0.
#pragma once

#include "native/telemetry/metrics.h"

namespace es::telemetry {

void add_process_stats(Metrics& metrics);

}  // namespace es::telemetry

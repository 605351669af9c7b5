#include "tests/bench/storm/process_cost.h"

#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string>

namespace es::storm {

ProcessCost cost_of(int pid) {
  ProcessCost cost;
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    throw std::runtime_error("the server's process is gone");
  }
  cost.cpu_seconds = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string name; status >> name;) {
    uint64_t* const field = name == "VmRSS:"     ? &cost.rss_bytes
                            : name == "VmHWM:"   ? &cost.peak_bytes
                            : name == "RssAnon:" ? &cost.anon_bytes
                                                 : nullptr;
    if (field != nullptr && status >> *field) *field *= 1024;
    status.clear();
    status.ignore(4096, '\n');
  }
  if (cost.rss_bytes == 0) throw std::runtime_error("the server's memory cannot be read");
  return cost;
}

}  // namespace es::storm

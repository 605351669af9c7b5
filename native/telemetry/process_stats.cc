#include "native/telemetry/process_stats.h"

#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace es::telemetry {
namespace {

std::string read_all(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A field of /proc/self/stat by its number in proc(5), from 4 on. They stand behind the command,
// which may hold anything but ends with the last ')', and the state's letter.
double stat_field(size_t number) {
  const std::string stat = read_all("/proc/self/stat");
  const size_t end = stat.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream rest(stat.substr(end + 3));
  double value = 0;
  for (size_t field = 4; rest >> value; ++field) {
    if (field == number) return value;
  }
  return 0;
}

double ticks_per_second() { return static_cast<double>(::sysconf(_SC_CLK_TCK)); }

double cpu_seconds() { return (stat_field(14) + stat_field(15)) / ticks_per_second(); }
double num_threads() { return stat_field(20); }
double virtual_bytes() { return stat_field(23); }
double resident_bytes() { return stat_field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE)); }

double start_time() {
  const std::string stat = read_all("/proc/stat");
  const size_t at = stat.find("\nbtime ");
  const double boot = at == std::string::npos ? 0 : std::strtod(stat.c_str() + at + 7, nullptr);
  return boot + stat_field(22) / ticks_per_second();
}

double open_fds() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  double n = 0;
  while (const dirent* entry = ::readdir(dir)) n += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(dir);
  return n - 1;  // not the one that is reading
}

double max_fds() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : 0;
}

}  // namespace

void add_process_stats(Metrics& metrics) {
  using Kind = Metrics::Kind;
  metrics.read_on_demand("process_cpu_seconds_total", "User and system CPU time of this process.",
                         Kind::kCounter, cpu_seconds);
  metrics.read_on_demand("process_resident_memory_bytes", "Memory of this process that is in RAM.",
                         Kind::kGauge, resident_bytes);
  metrics.read_on_demand("process_virtual_memory_bytes", "Address space of this process.",
                         Kind::kGauge, virtual_bytes);
  metrics.read_on_demand("process_open_fds", "Open file descriptors.", Kind::kGauge, open_fds);
  metrics.read_on_demand("process_max_fds", "Most file descriptors that may be open.", Kind::kGauge,
                         max_fds);
  metrics.read_on_demand("process_threads", "Threads of this process.", Kind::kGauge, num_threads);
  metrics.read_on_demand("process_start_time_seconds", "When this process started, Unix time.",
                         Kind::kGauge, [at = start_time()] { return at; });
}

}  // namespace es::telemetry

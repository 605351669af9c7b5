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

double count_fds() {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  double n = 0;
  while (const dirent* entry = ::readdir(dir)) n += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(dir);
  return n - 1;  // not the one that is reading
}

double boot_time() {
  const std::string stat = read_all("/proc/stat");
  const size_t at = stat.find("\nbtime ");
  return at == std::string::npos ? 0 : std::strtod(stat.c_str() + at + 7, nullptr);
}

}  // namespace

ProcessStats read_process_stats() {
  ProcessStats stats;
  // proc(5): the fields behind the command, which may hold anything but ends with the last ')'.
  const std::string stat = read_all("/proc/self/stat");
  std::vector<double> fields;
  if (const size_t end = stat.rfind(')'); end != std::string::npos) {
    std::istringstream rest(stat.substr(end + 3));  // behind the state's letter
    for (double value = 0; rest >> value;) fields.push_back(value);
  }
  // fields[0] is field 4 of proc(5).
  const auto field = [&fields](size_t number) {
    return number - 4 < fields.size() ? fields[number - 4] : 0;
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  stats.cpu_seconds = (field(14) + field(15)) / ticks;
  stats.threads = field(20);
  stats.start_time_seconds = boot_time() + field(22) / ticks;
  stats.virtual_bytes = field(23);
  stats.resident_bytes = field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  stats.open_fds = count_fds();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_fds = static_cast<double>(limit.rlim_cur);
  return stats;
}

void add_process_stats(Metrics& metrics) {
  using Kind = Metrics::Kind;
  const auto add = [&metrics](const char* name, const char* help, Kind kind,
                              double ProcessStats::*member) {
    metrics.read_on_demand(name, help, kind, [member] { return read_process_stats().*member; });
  };
  add("process_cpu_seconds_total", "User and system CPU time of this process.", Kind::kCounter,
      &ProcessStats::cpu_seconds);
  add("process_resident_memory_bytes", "Memory of this process that is in RAM.", Kind::kGauge,
      &ProcessStats::resident_bytes);
  add("process_virtual_memory_bytes", "Address space of this process.", Kind::kGauge,
      &ProcessStats::virtual_bytes);
  add("process_open_fds", "Open file descriptors.", Kind::kGauge, &ProcessStats::open_fds);
  add("process_max_fds", "Most file descriptors that may be open.", Kind::kGauge,
      &ProcessStats::max_fds);
  add("process_threads", "Threads of this process.", Kind::kGauge, &ProcessStats::threads);
  add("process_start_time_seconds", "When this process started, Unix time.", Kind::kGauge,
      &ProcessStats::start_time_seconds);
}

}  // namespace es::telemetry

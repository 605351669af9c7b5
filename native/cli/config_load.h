// Reading the configuration: file, environment, defaults, and every complaint about them.
//
// Precedence, strongest first: EDGESCALE_<KEY>, HEADSCALE_<KEY> (the key in upper case, dots as
// underscores; an empty variable counts as unset), the file, the default. All problems are
// collected, not only the first. Threads: none; load_config reads the disk.
#pragma once

#include "native/cli/config.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::cli {

// A config file larger than this is refused unread.
inline constexpr size_t kMaxConfigBytes = 256 * 1024;

struct Problem {
  std::string file;  // a path, or "environment"
  int line = 0;      // from 1; 0 where there is none
  int column = 0;
  std::string key;  // dotted, empty where the text as a whole is meant
  std::string reason;
};

// "file:line:column: key: reason"
std::string to_text(const Problem& problem);

// NAME=VALUE as in environ.
using Environment = std::vector<std::pair<std::string, std::string>>;

// What the defaults depend on.
struct Surroundings {
  bool is_root = false;
  Environment environment;  // HOME and XDG_STATE_HOME are read from here too
};

struct LoadedConfig {
  Config config;
  std::string file;               // empty: no file, defaults and environment only
  bool unread = false;            // the file could not be read; the first problem says why
  std::vector<Problem> problems;  // any of these: do not start
  std::vector<Problem> warnings;

  bool ok() const { return problems.empty(); }
};

// The config that no file and no environment give.
Config default_config(const Surroundings& surroundings);

// Parses `text`, which came from `file`. Touches no disk.
LoadedConfig parse_config(std::string_view text, std::string_view file,
                          const Surroundings& surroundings);

// Reads the file given, else the one named by EDGESCALE_CONFIG or HEADSCALE_CONFIG, else the first
// that exists of config.yaml in /etc/edgescale, /etc/headscale, ~/.edgescale, ~/.headscale and the
// working folder, else none. A file that was named but cannot be read is a problem.
LoadedConfig load_config(const std::optional<std::string>& path, const Surroundings& surroundings);

// This process's user and environment.
Surroundings process_surroundings();

// Every key that may stand in a file, in the order of the example; for tests and completion.
std::vector<std::string> config_key_names();

// The whole configuration as YAML that parses back to it. Secrets are replaced by "***" unless
// asked for.
enum class Secrets { kMasked, kShown };
std::string dump_config(const Config& config, Secrets secrets);

}  // namespace es::cli

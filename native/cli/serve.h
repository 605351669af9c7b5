// `edgescale serve`: puts the origin together from a configuration and runs it.
#pragma once

#include "native/cli/config_load.h"

#include <optional>
#include <string>

namespace es::cli {

// Runs until SIGTERM or SIGINT; SIGHUP loads the configuration again from the same place
// (`config_path` as given on the command line). Returns the exit code of the process.
int serve(const LoadedConfig& loaded, const std::optional<std::string>& config_path);

}  // namespace es::cli

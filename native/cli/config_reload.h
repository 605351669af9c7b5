// What a running server takes over of a configuration that is read again (SIGHUP).
#pragma once

#include "native/cli/config.h"

#include <string>
#include <vector>

namespace es::cli {

struct ReloadedConfig {
  Config config;                     // what follows from `fresh`, everything else from `running`
  std::vector<std::string> waiting;  // names of the keys that changed and wait for a restart
};

// So that no part follows a change whose other half cannot: with another dns.base_domain, clients
// would search a domain that no node is called by.
ReloadedConfig take_over(const Config& running, const Config& fresh);

}  // namespace es::cli

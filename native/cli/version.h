// Which edgescale this is. The values are fixed when it is built (cmake/Version.cmake).
#pragma once

#include <string_view>

namespace es::cli {

struct Version {
  std::string_view version;     // "0.1.0"
  std::string_view commit;      // hexadecimal, or "unknown" outside a repository
  std::string_view build_time;  // RFC 3339: the time of the commit, so that builds reproduce
  bool dirty = false;           // built from files that differ from the commit
};

Version version();

}  // namespace es::cli

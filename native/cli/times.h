// Points in time as people read them. Pure: the time is told.
#pragma once

#include "common/base/time.h"

#include <string>
#include <string_view>

namespace es::cli {

// "2026-11-22 12:28:40 (in 23h)", "... (3m ago)"; in UTC. Go's zero time, which means none, is "-".
std::string time_for_people(std::string_view rfc3339, WallTime now);
// The same for when something expires: "... (expired 3h ago)"; "never" when it is not set.
std::string expiry_for_people(std::string_view rfc3339, WallTime now);

}  // namespace es::cli

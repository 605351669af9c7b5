// Points in time as the API writes them (RFC 3339) and as people read them. Pure: the time is told.
#pragma once

#include "common/base/time.h"

#include <optional>
#include <string>
#include <string_view>

namespace es::cli {

// "2026-11-22T12:28:40Z", with any number of fractional digits or an offset; finer than a
// millisecond is cut off. Years 0001 to 9999.
std::optional<WallTime> parse_rfc3339(std::string_view text);
// In UTC, with milliseconds only if there are any.
std::string format_rfc3339(WallTime time);

// "2026-11-22 12:28:40 (in 23h)", "... (3m ago)"; in UTC. Go's zero time, which means none, is "-".
std::string time_for_people(std::string_view rfc3339, WallTime now);

}  // namespace es::cli

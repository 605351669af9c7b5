// Times as JSON carries them: RFC 3339, UTC, with milliseconds only where there are any
// ("2026-11-22T12:00:00Z", "2026-11-22T12:00:00.250Z").
//
// Reading is strict about the form: upper-case 'T' and 'Z', or an offset of at most 23:59; years
// 0001 to 9999; no leap second (Go's time package takes none either). Fractions finer than a
// millisecond are cut off.
#pragma once

#include "common/base/time.h"

#include <optional>
#include <string>
#include <string_view>

namespace es {

// Go's zero time, which Headscale prints for "not set" in some places.
inline constexpr WallTime kZeroTime = wall_time_ms(-62'135'596'800'000);

std::optional<WallTime> parse_rfc3339(std::string_view text);

// Times outside the years 0001 to 9999 are written as the nearest one inside.
void append_rfc3339(std::string& out, WallTime t);
std::string format_rfc3339(WallTime t);

}  // namespace es

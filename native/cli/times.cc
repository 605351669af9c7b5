#include "native/cli/times.h"

#include "common/base/rfc3339.h"

#include <cstdio>
#include <optional>

namespace es::cli {
namespace {

struct Civil {
  std::chrono::year_month_day date;
  std::chrono::hh_mm_ss<Millis> time;
};

Civil civil(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  return {std::chrono::year_month_day(day), std::chrono::hh_mm_ss<Millis>(time - day)};
}

std::string date_and_time(WallTime time) {
  const Civil c = civil(time);
  char text[48];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02d", static_cast<int>(c.date.year()),
                static_cast<unsigned>(c.date.month()), static_cast<unsigned>(c.date.day()),
                static_cast<int>(c.time.hours().count()),
                static_cast<int>(c.time.minutes().count()),
                static_cast<int>(c.time.seconds().count()));
  return text;
}

// The largest unit that gives at least two, so that "in 90m" does not become "in 1h".
std::string span(Millis length) {
  struct Step {
    int64_t seconds;
    const char* name;
  };
  constexpr Step kSteps[] = {{365 * 86400, "y"}, {86400, "d"}, {3600, "h"}, {60, "m"}};
  // Rounded, so that a key made a moment ago for 24h says 24h.
  const int64_t seconds = (length.count() + 500) / 1000;
  for (const Step& step : kSteps) {
    if (seconds >= 2 * step.seconds) {
      return std::to_string((seconds + step.seconds / 2) / step.seconds) + step.name;
    }
  }
  return std::to_string(seconds) + "s";
}

// Go's zero time, year 1, stands for none.
std::optional<WallTime> set_time(std::string_view rfc3339) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time || civil(*time).date.year() <= std::chrono::year(1)) return std::nullopt;
  return time;
}

std::string with_distance(WallTime time, WallTime now, const char* of_the_past) {
  const Millis ahead = time - now;
  const std::string relative =
      ahead.count() > 0 ? "in " + span(ahead) : of_the_past + span(-ahead) + " ago";
  return date_and_time(time) + " (" + relative + ")";
}

}  // namespace

std::string time_for_people(std::string_view rfc3339, WallTime now) {
  const auto time = set_time(rfc3339);
  return time ? with_distance(*time, now, "") : "-";
}

std::string expiry_for_people(std::string_view rfc3339, WallTime now) {
  const auto time = set_time(rfc3339);
  return time ? with_distance(*time, now, "expired ") : "never";
}

}  // namespace es::cli

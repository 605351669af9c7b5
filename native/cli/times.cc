#include "native/cli/times.h"

#include <charconv>
#include <cstdio>

namespace es::cli {
namespace {

// Reads exactly `digits` digits at `from`.
std::optional<int> number(std::string_view text, size_t from, size_t digits) {
  if (from + digits > text.size()) return std::nullopt;
  int value = 0;
  for (size_t i = from; i < from + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

std::optional<Millis> offset_of(std::string_view zone) {
  if (zone == "Z" || zone == "z") return Millis{0};
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return std::nullopt;
  const auto hours = number(zone, 1, 2);
  const auto minutes = number(zone, 4, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const Millis offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return zone[0] == '-' ? -offset : offset;
}

struct Civil {
  std::chrono::year_month_day date;
  std::chrono::hh_mm_ss<Millis> time;
};

Civil civil(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  return {std::chrono::year_month_day(day), std::chrono::hh_mm_ss<Millis>(time - day)};
}

std::string date_and_time(WallTime time, char between) {
  const Civil c = civil(time);
  char text[48];
  std::snprintf(
      text, sizeof text, "%04d-%02u-%02u%c%02d:%02d:%02d", static_cast<int>(c.date.year()),
      static_cast<unsigned>(c.date.month()), static_cast<unsigned>(c.date.day()), between,
      static_cast<int>(c.time.hours().count()), static_cast<int>(c.time.minutes().count()),
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

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const auto y = number(text, 0, 4), mo = number(text, 5, 2), d = number(text, 8, 2),
             h = number(text, 11, 2), mi = number(text, 14, 2), s = number(text, 17, 2);
  if (!y || !mo || !d || !h || !mi || !s || text.size() < 20) return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':') return std::nullopt;
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
  const year_month_day date{year(*y), month(static_cast<unsigned>(*mo)),
                            day(static_cast<unsigned>(*d))};
  if (!date.ok() || *h > 23 || *mi > 59 || *s > 60) return std::nullopt;
  size_t at = 19;
  int ms = 0;
  if (text[at] == '.') {
    const size_t end = text.find_first_not_of("0123456789", at + 1);
    if (end == at + 1 || end == std::string_view::npos) return std::nullopt;
    for (size_t i = at + 1, scale = 100; i < end && scale > 0; ++i, scale /= 10) {
      ms += (text[i] - '0') * static_cast<int>(scale);
    }
    at = end;
  }
  const auto offset = offset_of(text.substr(at));
  if (!offset) return std::nullopt;
  return WallTime(sys_days(date)) + hours(*h) + minutes(*mi) + seconds(*s) + Millis(ms) - *offset;
}

std::string format_rfc3339(WallTime time) {
  std::string text = date_and_time(time, 'T');
  const auto ms = civil(time).time.subseconds().count();
  if (ms != 0) {
    char fraction[8];
    std::snprintf(fraction, sizeof fraction, ".%03d", static_cast<int>(ms));
    text += fraction;
  }
  return text + "Z";
}

std::string time_for_people(std::string_view rfc3339, WallTime now) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time || civil(*time).date.year() <= std::chrono::year(1)) return "-";
  const Millis ahead = *time - now;
  const std::string relative = ahead.count() > 0 ? "in " + span(ahead) : span(-ahead) + " ago";
  return date_and_time(*time, ' ') + " (" + relative + ")";
}

}  // namespace es::cli

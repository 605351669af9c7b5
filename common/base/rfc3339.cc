#include "common/base/rfc3339.h"

#include <algorithm>
#include <chrono>

namespace es {
namespace {

// Takes exactly `len` digits off the front.
std::optional<int> take_digits(std::string_view& text, size_t len) {
  if (text.size() < len) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < len; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(len);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

// ".25" is 250 ms; false for a dot without digits.
bool take_fraction(std::string_view& text, Millis& fraction) {
  if (!take(text, '.')) return true;
  size_t len = 0;
  int value = 0;
  while (len < text.size() && text[len] >= '0' && text[len] <= '9') {
    if (len < 3) value = value * 10 + (text[len] - '0');
    ++len;
  }
  for (size_t i = len; i < 3; ++i) value *= 10;
  text.remove_prefix(len);
  fraction = Millis(value);
  return len > 0;
}

bool take_offset(std::string_view& text, std::chrono::minutes& offset) {
  if (take(text, 'Z')) return true;
  const int sign = text.starts_with('+') ? 1 : text.starts_with('-') ? -1 : 0;
  if (sign == 0) return false;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (!hours || *hours > 23 || !take(text, ':')) return false;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *minutes > 59) return false;
  offset = sign * (std::chrono::hours(*hours) + std::chrono::minutes(*minutes));
  return true;
}

constexpr WallTime kLast = wall_time_ms(253'402'300'799'999);

void append_number(std::string& out, unsigned value, size_t width) {
  char digits[4];
  for (size_t i = width; i > 0; --i) {
    digits[i - 1] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out.append(digits, width);
}

}  // namespace

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || *year == 0 || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, 'T')) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  Millis fraction{0};
  std::chrono::minutes offset{0};
  if (!take_fraction(text, fraction) || !take_offset(text, offset) || !text.empty()) {
    return std::nullopt;
  }
  const WallTime t = std::chrono::sys_days(date) + std::chrono::hours(*hour) +
                     std::chrono::minutes(*minute) + Seconds(*second) + fraction - offset;
  if (t < kZeroTime || t > kLast) return std::nullopt;
  return t;
}

void append_rfc3339(std::string& out, WallTime t) {
  t = std::clamp(t, kZeroTime, kLast);
  const auto days = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss<Millis> time(t - days);
  append_number(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out += '-';
  append_number(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_number(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_number(out, static_cast<unsigned>(time.hours().count()), 2);
  out += ':';
  append_number(out, static_cast<unsigned>(time.minutes().count()), 2);
  out += ':';
  append_number(out, static_cast<unsigned>(time.seconds().count()), 2);
  if (time.subseconds().count() != 0) {
    out += '.';
    append_number(out, static_cast<unsigned>(time.subseconds().count()), 3);
  }
  out += 'Z';
}

std::string format_rfc3339(WallTime t) {
  std::string out;
  append_rfc3339(out, t);
  return out;
}

}  // namespace es

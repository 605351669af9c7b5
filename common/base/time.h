// The time types of both twins. Nothing below native/cli reads a clock: time is an argument.
#pragma once

#include <chrono>

namespace es {

using Millis = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

// Wall-clock time since the Unix epoch, in milliseconds. May jump either way between two calls.
using WallTime = std::chrono::sys_time<Millis>;

constexpr WallTime wall_time_ms(int64_t unix_ms) { return WallTime{Millis{unix_ms}}; }
constexpr int64_t unix_ms(WallTime t) { return t.time_since_epoch().count(); }
constexpr int64_t unix_seconds(WallTime t) {
  return std::chrono::floor<Seconds>(t).time_since_epoch().count();
}

}  // namespace es

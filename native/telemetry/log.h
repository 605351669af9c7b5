// Structured log lines, as text or JSON, written by a thread of their own.
//
// A line has a time, a level, a literal message and named values. It is formatted by the caller
// and queued; the writer thread does the write(2), so that a stuck reader of stderr never stops an
// I/O thread. The queue is bounded (1 MiB): lines that do not fit are dropped and counted, and the
// count is logged when there is room again. Destruction writes out what is queued.
//
// Never log a secret: no Authorization, no query string, no key material. Values may come from a
// client: they are quoted and escaped.
//
// Threads: any.
#pragma once

#include "common/base/time.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace es::telemetry {

enum class Level : uint8_t { kTrace, kDebug, kInfo, kWarn, kError };
enum class Format : uint8_t { kText, kJson };

// "trace", "debug", "info", "warn", "error"; nullopt for anything else.
std::optional<Level> parse_level(std::string_view name);

struct LogValue {
  std::string_view name;
  std::variant<std::string_view, int64_t, uint64_t, double> value;

  LogValue(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogValue(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogValue(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogValue(std::string_view n, int v) : name(n), value(int64_t{v}) {}
  LogValue(std::string_view n, int64_t v) : name(n), value(v) {}
  LogValue(std::string_view n, unsigned v) : name(n), value(uint64_t{v}) {}
  LogValue(std::string_view n, uint64_t v) : name(n), value(v) {}
  LogValue(std::string_view n, double v) : name(n), value(v) {}
};

class Log {
 public:
  // Takes whole lines, each with its newline; called on the writer thread only.
  using Sink = std::function<void(std::string_view lines)>;

  Log(std::function<WallTime()> now, Sink sink, Level level, Format format);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // For files and pipes: retries short writes, gives up silently on an error.
  static Sink to_descriptor(int fd);

  void set_level(Level level);
  bool enabled(Level level) const;

  void write(Level level, std::string_view message, std::initializer_list<LogValue> values = {});
  // As write(), at most kBoundedLinesPerSecond in any one second of the clock; the number of those
  // left out is logged when the next second begins. For lines that a client can cause.
  void write_bounded(Level level, std::string_view message,
                     std::initializer_list<LogValue> values = {});

  void debug(std::string_view m, std::initializer_list<LogValue> v = {}) {
    write(Level::kDebug, m, v);
  }
  void info(std::string_view m, std::initializer_list<LogValue> v = {}) {
    write(Level::kInfo, m, v);
  }
  void warn(std::string_view m, std::initializer_list<LogValue> v = {}) {
    write(Level::kWarn, m, v);
  }
  void error(std::string_view m, std::initializer_list<LogValue> v = {}) {
    write(Level::kError, m, v);
  }

  // Lines of write_bounded that may pass in a second.
  static constexpr uint32_t kBoundedLinesPerSecond = 100;

  // Waits until everything written so far has reached the sink.
  void flush();
  uint64_t dropped() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace es::telemetry

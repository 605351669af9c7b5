#include "native/telemetry/log.h"

#include "common/base/json_text.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <utility>

namespace es::telemetry {
namespace {

constexpr size_t kMaxQueued = 1024 * 1024;
constexpr std::array<std::string_view, 5> kLevelNames{"trace", "debug", "info", "warn", "error"};

void append_time(std::string& out, WallTime t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<Millis> clock(t - day);
  std::array<char, 40> text{};
  const int len = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
      static_cast<int>(clock.subseconds().count()));
  out.append(text.data(), static_cast<size_t>(len));
}

bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') return false;
  }
  return true;
}

template <class Number>
void append_number(std::string& out, Number number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

void append_value(std::string& out, const LogValue& v, Format format) {
  std::visit(
      [&](const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string_view>) {
          if (format == Format::kText && is_plain(value)) {
            out += value;
          } else {
            append_json_string(out, value);
          }
        } else {
          append_number(out, value);
        }
      },
      v.value);
}

void append_line(std::string& out, WallTime now, Format format, Level level,
                 std::string_view message, std::initializer_list<LogValue> values) {
  const std::string_view name = kLevelNames[static_cast<size_t>(level)];
  if (format == Format::kText) {
    append_time(out, now);
    out += ' ';
    out += name;
    out.append(name.size() < 6 ? 6 - name.size() : 1, ' ');
    out += message;
    for (const LogValue& v : values) {
      out += ' ';
      out += v.name;
      out += '=';
      append_value(out, v, format);
    }
    out += '\n';
    return;
  }
  out += "{\"time\":\"";
  append_time(out, now);
  out += "\",\"level\":\"";
  out += name;
  out += "\",\"message\":";
  append_json_string(out, message);
  for (const LogValue& v : values) {
    out += ',';
    append_json_string(out, v.name);
    out += ':';
    append_value(out, v, format);
  }
  out += "}\n";
}

}  // namespace

std::optional<Level> parse_level(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] == name) return static_cast<Level>(i);
  }
  return std::nullopt;
}

struct Log::State {
  std::function<WallTime()> now;
  Sink sink;
  Format format;
  std::atomic<Level> level;

  std::mutex mutex;
  std::condition_variable wake;     // for the writer
  std::condition_variable drained;  // for flush()
  std::string queue;
  bool writing = false;
  bool closing = false;
  uint64_t dropped_now = 0;
  uint64_t dropped_total = 0;
  int64_t second = 0;
  uint32_t lines_this_second = 0;
  uint64_t left_out = 0;
  std::thread writer;

  void run() {
    std::unique_lock lock(mutex);
    std::string batch;
    for (;;) {
      wake.wait(lock, [&] { return closing || !queue.empty(); });
      if (queue.empty()) break;
      batch.clear();
      batch.swap(queue);
      if (const uint64_t lost = std::exchange(dropped_now, 0); lost > 0) {
        append_line(batch, now(), format, Level::kWarn, "log lines dropped", {{"lines", lost}});
      }
      writing = true;
      lock.unlock();
      sink(batch);
      lock.lock();
      writing = false;
      if (queue.empty()) drained.notify_all();
    }
    drained.notify_all();
  }

  // Caller holds the mutex.
  void enqueue(WallTime t, Level l, std::string_view message,
               std::initializer_list<LogValue> values) {
    if (queue.size() > kMaxQueued) {
      ++dropped_now;
      ++dropped_total;
      return;
    }
    const bool was_empty = queue.empty();
    append_line(queue, t, format, l, message, values);
    if (was_empty) wake.notify_one();
  }
};

Log::Log(std::function<WallTime()> now, Sink sink, Level level, Format format)
    : state_(std::make_unique<State>()) {
  state_->now = std::move(now);
  state_->sink = std::move(sink);
  state_->level = level;
  state_->format = format;
  state_->writer = std::thread([state = state_.get()] { state->run(); });
}

Log::~Log() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
  }
  state_->wake.notify_one();
  state_->writer.join();
}

Log::Sink Log::to_descriptor(int fd) {
  return [fd](std::string_view lines) {
    while (!lines.empty()) {
      const ssize_t n = ::write(fd, lines.data(), lines.size());
      if (n > 0) {
        lines.remove_prefix(static_cast<size_t>(n));
      } else if (errno != EINTR) {
        return;
      }
    }
  };
}

void Log::set_level(Level level) { state_->level.store(level, std::memory_order_relaxed); }

bool Log::enabled(Level level) const {
  return level >= state_->level.load(std::memory_order_relaxed);
}

void Log::write(Level level, std::string_view message, std::initializer_list<LogValue> values) {
  if (!enabled(level)) return;
  const WallTime t = state_->now();
  const std::lock_guard lock(state_->mutex);
  state_->enqueue(t, level, message, values);
}

void Log::write_bounded(Level level, std::string_view message,
                        std::initializer_list<LogValue> values) {
  if (!enabled(level)) return;
  const WallTime t = state_->now();
  const std::lock_guard lock(state_->mutex);
  if (const int64_t second = unix_seconds(t); second != state_->second) {
    state_->second = second;
    state_->lines_this_second = 0;
    if (const uint64_t left_out = std::exchange(state_->left_out, 0); left_out > 0) {
      state_->enqueue(t, level, "lines left out of the last second", {{"lines", left_out}});
    }
  }
  if (state_->lines_this_second >= kBoundedLinesPerSecond) {
    ++state_->left_out;
    return;
  }
  ++state_->lines_this_second;
  state_->enqueue(t, level, message, values);
}

void Log::flush() {
  std::unique_lock lock(state_->mutex);
  state_->drained.wait(lock, [&] { return state_->queue.empty() && !state_->writing; });
}

uint64_t Log::dropped() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dropped_total;
}

}  // namespace es::telemetry

#include "native/telemetry/log.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace es::telemetry {
namespace {

struct Captured {
  std::string text;
  std::atomic<int64_t> now_ms{1'700'000'000'123};

  Log::Sink sink() {
    return [this](std::string_view lines) { text += lines; };
  }
  std::function<WallTime()> clock() {
    return [this] { return wall_time_ms(now_ms); };
  }
};

TEST_CASE("a text line quotes what is not plain") {
  Captured captured;
  Log log(captured.clock(), captured.sink(), Level::kInfo, Format::kText);
  log.info("request", {{"route", "/health"}, {"status", 200}, {"ms", 0.5}, {"who", "a b\n\"c"}});
  log.flush();
  CHECK(captured.text ==
        "2023-11-14T22:13:20.123Z info  request route=/health status=200 ms=0.5 "
        "who=\"a b\\u000a\\\"c\"\n");
}

TEST_CASE("a JSON line is one object, whatever bytes a value holds") {
  Captured captured;
  Log log(captured.clock(), captured.sink(), Level::kInfo, Format::kJson);
  log.warn("odd", {{"v", std::string_view("\x00\xff\"\\", 4)}, {"n", uint64_t{7}}});
  log.flush();
  CHECK(captured.text ==
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"message\":\"odd\","
        "\"v\":\"\\u0000\xEF\xBF\xBD\\\"\\\\\",\"n\":7}\n");
}

TEST_CASE("lines below the level are not written, and the level can change") {
  Captured captured;
  Log log(captured.clock(), captured.sink(), Level::kWarn, Format::kText);
  log.info("one");
  log.set_level(Level::kDebug);
  log.debug("two");
  log.flush();
  CHECK(captured.text.find("one") == std::string::npos);
  CHECK(captured.text.find("debug two\n") != std::string::npos);
}

TEST_CASE("bounded lines stop at their budget, and the rest is counted") {
  Captured captured;
  Log log(captured.clock(), captured.sink(), Level::kInfo, Format::kText);
  for (uint32_t i = 0; i < Log::kBoundedLinesPerSecond + 50; ++i) {
    log.write_bounded(Level::kInfo, "flood");
  }
  captured.now_ms += 1000;
  log.write_bounded(Level::kInfo, "calm");
  log.flush();
  size_t floods = 0;
  for (size_t at = 0; (at = captured.text.find(" flood\n", at)) != std::string::npos; ++at) {
    ++floods;
  }
  CHECK(floods == Log::kBoundedLinesPerSecond);
  CHECK(captured.text.find("left out of the last second lines=50\n") != std::string::npos);
  CHECK(captured.text.find(" calm\n") != std::string::npos);
}

TEST_CASE("a stuck reader never stops the caller; lines are dropped and counted") {
  std::mutex mutex;
  std::condition_variable go;
  bool open = false;
  std::string text;
  Captured captured;
  {
    Log log(
        captured.clock(),
        [&](std::string_view lines) {
          std::unique_lock lock(mutex);
          go.wait(lock, [&] { return open; });
          text += lines;
        },
        Level::kInfo, Format::kText);
    const std::string value(1000, 'x');
    for (int i = 0; i < 3000; ++i) log.info("fill", {{"v", value}});
    CHECK(log.dropped() > 900);
    {
      const std::lock_guard lock(mutex);
      open = true;
    }
    go.notify_all();
  }
  CHECK(text.find("log lines dropped lines=") != std::string::npos);
}

TEST_CASE("level names parse exactly") {
  CHECK(parse_level("warn") == Level::kWarn);
  CHECK_FALSE(parse_level("WARN").has_value());
  CHECK_FALSE(parse_level("").has_value());
}

}  // namespace
}  // namespace es::telemetry

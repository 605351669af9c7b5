#include "native/telemetry/metrics.h"

#include "native/telemetry/process_stats.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>
#include <thread>

namespace es::telemetry {
namespace {

TEST_CASE("metrics render in the Prometheus text format, by name, with escaped labels") {
  Metrics metrics;
  metrics.counter("b_total", "Bees.", {{"kind", "a \"quoted\\\n\" bee"}}).add(3);
  metrics.counter("b_total", "Bees.", {{"kind", "plain"}}).add();
  metrics.gauge("a", "First.").set(-5);
  metrics.read_on_demand("c", "Asked.", Metrics::Kind::kGauge, [] { return 1.5; });
  CHECK(metrics.render() ==
        "# HELP a First.\n# TYPE a gauge\na -5\n"
        "# HELP b_total Bees.\n# TYPE b_total counter\n"
        "b_total{kind=\"a \\\"quoted\\\\\\n\\\" bee\"} 3\nb_total{kind=\"plain\"} 1\n"
        "# HELP c Asked.\n# TYPE c gauge\nc 1.5\n");
}

TEST_CASE("histogram buckets are cumulative and a bound belongs to its own bucket") {
  Metrics metrics;
  const std::vector<int64_t> bounds{1000, 2000};
  Histogram& h = metrics.histogram("t_seconds", "T.", {{"route", "/x"}}, bounds);
  for (const int64_t us : {500, 1000, 1001, 2001, 9000}) h.observe_us(us);
  CHECK(h.count() == 5);
  CHECK(metrics.render() ==
        "# HELP t_seconds T.\n# TYPE t_seconds histogram\n"
        "t_seconds_bucket{route=\"/x\",le=\"0.001\"} 2\n"
        "t_seconds_bucket{route=\"/x\",le=\"0.002\"} 3\n"
        "t_seconds_bucket{route=\"/x\",le=\"+Inf\"} 5\n"
        "t_seconds_sum{route=\"/x\"} 0.013502\n"
        "t_seconds_count{route=\"/x\"} 5\n");
}

TEST_CASE("the same name and labels are the same series, from any thread") {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&metrics] {
      for (int n = 0; n < 1000; ++n) metrics.counter("n_total", "N.", {{"l", "v"}}).add();
    });
  }
  for (auto& t : threads) t.join();
  CHECK(metrics.counter("n_total", "N.", {{"l", "v"}}).value() == 4000);
}

TEST_CASE("the process knows its own CPU time, memory and descriptors") {
  Metrics metrics;
  add_process_stats(metrics);
  const std::string text = metrics.render();
  const auto value = [&](const std::string& name) {
    const size_t at = text.find("\n" + name + " ");
    INFO(name);
    REQUIRE(at != std::string::npos);
    return std::strtod(text.c_str() + at + name.size() + 2, nullptr);
  };
  CHECK(value("process_cpu_seconds_total") >= 0);
  CHECK(value("process_resident_memory_bytes") > 1e6);
  CHECK(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
  CHECK(value("process_open_fds") >= 3);
  CHECK(value("process_max_fds") >= value("process_open_fds"));
  CHECK(value("process_threads") >= 1);
  CHECK(value("process_start_time_seconds") > 1.6e9);
}

}  // namespace
}  // namespace es::telemetry

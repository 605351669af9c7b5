// Counters, gauges and histograms, and their Prometheus text (exposition format 0.0.4).
//
// Make each series once, keep the reference, and change it from any thread: a change is one or two
// relaxed atomic additions. A series lives as long as its Metrics. Asking again for the same name
// and labels gives the same series. Label values must come from a bounded set (a route pattern, a
// status): never a path, an address or anything else that a client chooses.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::telemetry {

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Durations in buckets; exported in seconds.
class Histogram {
 public:
  // From 100 us to 10 s: what a request or a database call takes.
  static std::span<const int64_t> latency_bounds_us();

  // `bounds_us` rise; a value belongs to the first bucket whose bound is not below it.
  explicit Histogram(std::span<const int64_t> bounds_us);

  void observe_us(int64_t us);
  uint64_t count() const;

 private:
  friend class Metrics;

  std::vector<int64_t> bounds_us_;
  std::vector<std::atomic<uint64_t>> buckets_;  // one more than bounds: the rest
  std::atomic<int64_t> sum_us_{0};
};

using Label = std::pair<std::string, std::string>;
using Labels = std::vector<Label>;

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // One name has one kind and one help text; a name used with another kind aborts: it is a bug.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, Labels labels = {},
                       std::span<const int64_t> bounds_us = Histogram::latency_bounds_us());

  // A value that is read when the text is made. `read` may be called on any thread and must not
  // call this Metrics.
  enum class Kind { kCounter, kGauge };
  void read_on_demand(std::string_view name, std::string_view help, Kind kind,
                      std::function<double()> read, Labels labels = {});

  // All series, by name; ends with a newline.
  std::string render() const;

 private:
  struct Family;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace es::telemetry

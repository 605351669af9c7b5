#include "native/telemetry/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>

namespace es::telemetry {
namespace {

constexpr std::array<int64_t, 15> kLatencyBounds{100,    250,    500,     1000,    2500,
                                                 5000,   10000,  25000,   50000,   100000,
                                                 250000, 500000, 1000000, 2500000, 10000000};

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-Inf" : "+Inf";
    return;
  }
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void append_number(std::string& out, uint64_t value) { out += std::to_string(value); }

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

// `{a="b",c="d"}`, or nothing.
std::string label_text(const Labels& labels, const std::optional<Label>& last = {}) {
  std::string out;
  const auto append = [&out](const Label& label) {
    out += out.empty() ? "{" : ",";
    out += label.first;
    out += "=\"";
    append_escaped(out, label.second);
    out += '"';
  };
  for (const Label& label : labels) append(label);
  if (last) append(*last);
  if (!out.empty()) out += '}';
  return out;
}

}  // namespace

std::span<const int64_t> Histogram::latency_bounds_us() { return kLatencyBounds; }

Histogram::Histogram(std::span<const int64_t> bounds_us)
    : bounds_us_(bounds_us.begin(), bounds_us.end()), buckets_(bounds_us.size() + 1) {}

void Histogram::observe_us(int64_t us) {
  const auto it = std::lower_bound(bounds_us_.begin(), bounds_us_.end(), us);
  buckets_[static_cast<size_t>(it - bounds_us_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(us, std::memory_order_relaxed);
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

struct Metrics::Family {
  enum class Type { kCounter, kGauge, kHistogram };

  struct Series {
    Labels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> read;
  };

  Type type = Type::kCounter;
  std::string help;
  std::map<std::string, Series> series;  // by label text

  void append_histogram(std::string& out, const std::string& name, const Series& s) const {
    const Histogram& h = *s.histogram;
    uint64_t below = 0;
    for (size_t i = 0; i < h.buckets_.size(); ++i) {
      below += h.buckets_[i].load(std::memory_order_relaxed);
      std::string bound = "+Inf";
      if (i < h.bounds_us_.size()) {
        bound.clear();
        append_number(bound, static_cast<double>(h.bounds_us_[i]) / 1e6);
      }
      out += name + "_bucket" + label_text(s.labels, Label{"le", bound}) + ' ';
      append_number(out, below);
      out += '\n';
    }
    out += name + "_sum" + label_text(s.labels) + ' ';
    append_number(out, static_cast<double>(h.sum_us_.load(std::memory_order_relaxed)) / 1e6);
    out += '\n' + name + "_count" + label_text(s.labels) + ' ';
    append_number(out, below);
    out += '\n';
  }

  void append(std::string& out, const std::string& name) const {
    static constexpr std::array<std::string_view, 3> kTypes{"counter", "gauge", "histogram"};
    out += "# HELP " + name + ' ' + help + "\n# TYPE " + name + ' ';
    out += kTypes[static_cast<size_t>(type)];
    out += '\n';
    for (const auto& [labels, s] : series) {
      if (s.histogram) {
        append_histogram(out, name, s);
        continue;
      }
      out += name + labels + ' ';
      if (s.read) {
        append_number(out, s.read());
      } else if (s.counter) {
        append_number(out, s.counter->value());
      } else {
        out += std::to_string(s.gauge->value());
      }
      out += '\n';
    }
  }
};

struct Metrics::State {
  mutable std::mutex mutex;
  std::map<std::string, Family, std::less<>> families;

  // Caller holds the mutex.
  Family::Series& series(std::string_view name, std::string_view help, Family::Type type,
                         Labels labels) {
    const auto [it, added] = families.try_emplace(std::string(name));
    Family& family = it->second;
    if (added) {
      family.type = type;
      family.help = help;
    } else if (family.type != type) {
      std::fprintf(stderr, "metric %s has two types\n", it->first.c_str());
      std::abort();
    }
    Family::Series& s = family.series[label_text(labels)];
    s.labels = std::move(labels);
    return s;
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(state_->mutex);
  auto& s = state_->series(name, help, Family::Type::kCounter, std::move(labels));
  if (!s.counter) s.counter = std::make_unique<Counter>();
  return *s.counter;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(state_->mutex);
  auto& s = state_->series(name, help, Family::Type::kGauge, std::move(labels));
  if (!s.gauge) s.gauge = std::make_unique<Gauge>();
  return *s.gauge;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, Labels labels,
                              std::span<const int64_t> bounds_us) {
  const std::lock_guard lock(state_->mutex);
  auto& s = state_->series(name, help, Family::Type::kHistogram, std::move(labels));
  if (!s.histogram) s.histogram = std::make_unique<Histogram>(bounds_us);
  return *s.histogram;
}

void Metrics::read_on_demand(std::string_view name, std::string_view help, Kind kind,
                             std::function<double()> read, Labels labels) {
  const std::lock_guard lock(state_->mutex);
  const auto type = kind == Kind::kCounter ? Family::Type::kCounter : Family::Type::kGauge;
  state_->series(name, help, type, std::move(labels)).read = std::move(read);
}

std::string Metrics::render() const {
  const std::lock_guard lock(state_->mutex);
  std::string out;
  out.reserve(16 * 1024);
  for (const auto& [name, family] : state_->families) family.append(out, name);
  return out;
}

}  // namespace es::telemetry

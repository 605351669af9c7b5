// Counters and histograms with fixed buckets, and their Prometheus text (exposition format 0.0.4).
//
// Plain values: whoever shares them between threads locks or shards them. A writer that is full
// says so by its sticky error; the text is then incomplete and must not be served.
#pragma once

#include "common/base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace es::analytics {

// Upper bounds of the latency buckets in microseconds: 100 us to 10 s; +Inf is implied.
inline constexpr std::array<uint64_t, 16> kLatencyBoundsUs = {
    100,    250,     500,     1'000,   2'500,     5'000,     10'000,    25'000,
    50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

struct LatencyHistogram {
  std::array<uint64_t, kLatencyBoundsUs.size() + 1> counts{};  // the last one is +Inf
  uint64_t sum_us = 0;

  void observe(uint64_t us);
  uint64_t total() const;
  void merge(const LatencyHistogram& other);
  // The upper bound of the bucket that holds the q-th quantile (0 to 1000 per mille), 0 if empty;
  // the last finite bound for anything above it.
  uint64_t quantile_bound_us(uint32_t per_mille) const;
};

struct Label {
  std::string_view name;
  std::string_view value;
};

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

// Writes one family after the other: header() once, then its samples.
class PrometheusWriter {
 public:
  explicit PrometheusWriter(ByteWriter& out) : out_(out) {}

  void header(std::string_view name, std::string_view text, MetricType type);
  void sample(std::string_view name, std::span<const Label> labels, uint64_t value);
  // The _bucket, _sum and _count samples, in seconds as Prometheus wants them.
  void histogram(std::string_view name, std::span<const Label> labels,
                 const LatencyHistogram& values);

 private:
  void name_and_labels(std::string_view name, std::string_view suffix,
                       std::span<const Label> labels, std::string_view le);

  ByteWriter& out_;
};

}  // namespace es::analytics

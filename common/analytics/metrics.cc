#include "common/analytics/metrics.h"

#include <algorithm>

namespace es::analytics {
namespace {

std::string_view type_name(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

// Label values escape backslash, quote and line feed; help texts are our own literals.
void write_label_value(std::string_view value, ByteWriter& out) {
  for (const char c : value) {
    if (c == '\n') {
      out.text("\\n");
      continue;
    }
    if (c == '\\' || c == '"') out.u8('\\');
    out.u8(static_cast<uint8_t>(c));
  }
}

struct DecimalSeconds {
  // "0.00025", "1", "2.5": microseconds without trailing zeros.
  explicit DecimalSeconds(uint64_t us) {
    ByteWriter out(chars);
    out.decimal(us / 1'000'000);
    uint64_t fraction = us % 1'000'000;
    if (fraction > 0) {
      out.text(".");
      for (uint64_t unit = 100'000; fraction > 0; unit /= 10) {
        out.u8(static_cast<uint8_t>('0' + fraction / unit));
        fraction %= unit;
      }
    }
    len = out.written().size();
  }
  std::string_view view() const { return as_text(Bytes(chars).first(len)); }
  std::array<uint8_t, 32> chars;
  size_t len = 0;
};

}  // namespace

void LatencyHistogram::observe(uint64_t us) {
  const auto bucket = std::lower_bound(kLatencyBoundsUs.begin(), kLatencyBoundsUs.end(), us);
  ++counts[static_cast<size_t>(bucket - kLatencyBoundsUs.begin())];
  sum_us += us;
}

uint64_t LatencyHistogram::total() const {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_us += other.sum_us;
}

uint64_t LatencyHistogram::quantile_bound_us(uint32_t per_mille) const {
  const uint64_t all = total();
  if (all == 0) return 0;
  // The rank, rounded up, without overflow.
  const uint64_t rank = all / 1000 * per_mille + (all % 1000 * per_mille + 999) / 1000;
  uint64_t seen = 0;
  for (size_t i = 0; i < kLatencyBoundsUs.size(); ++i) {
    seen += counts[i];
    if (seen >= std::max<uint64_t>(rank, 1)) return kLatencyBoundsUs[i];
  }
  return kLatencyBoundsUs.back();
}

void PrometheusWriter::header(std::string_view name, std::string_view text, MetricType type) {
  out_.text("# HELP ");
  out_.text(name);
  out_.text(" ");
  out_.text(text);
  out_.text("\n# TYPE ");
  out_.text(name);
  out_.text(" ");
  out_.text(type_name(type));
  out_.text("\n");
}

void PrometheusWriter::name_and_labels(std::string_view name, std::string_view suffix,
                                       std::span<const Label> labels, std::string_view le) {
  out_.text(name);
  out_.text(suffix);
  bool first = true;
  const auto label = [&](std::string_view label_name, std::string_view value) {
    out_.text(first ? "{" : ",");
    first = false;
    out_.text(label_name);
    out_.text("=\"");
    write_label_value(value, out_);
    out_.text("\"");
  };
  for (const Label& l : labels) label(l.name, l.value);
  if (!le.empty()) label("le", le);
  if (!first) out_.text("}");
  out_.text(" ");
}

void PrometheusWriter::sample(std::string_view name, std::span<const Label> labels,
                              uint64_t value) {
  name_and_labels(name, "", labels, "");
  out_.decimal(value);
  out_.text("\n");
}

void PrometheusWriter::histogram(std::string_view name, std::span<const Label> labels,
                                 const LatencyHistogram& values) {
  uint64_t cumulative = 0;
  for (size_t i = 0; i < values.counts.size(); ++i) {
    cumulative += values.counts[i];
    const bool last = i == kLatencyBoundsUs.size();
    name_and_labels(name, "_bucket", labels,
                    last ? std::string_view("+Inf") : DecimalSeconds(kLatencyBoundsUs[i]).view());
    out_.decimal(cumulative);
    out_.text("\n");
  }
  name_and_labels(name, "_sum", labels, "");
  out_.text(DecimalSeconds(values.sum_us).view());
  out_.text("\n");
  name_and_labels(name, "_count", labels, "");
  out_.decimal(cumulative);
  out_.text("\n");
}

}  // namespace es::analytics

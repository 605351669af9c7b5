#include "common/analytics/metrics.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace es::analytics {
namespace {

template <class Write>
std::string text_of(Write write) {
  std::vector<uint8_t> buffer(8192);
  ByteWriter out(buffer);
  PrometheusWriter prometheus(out);
  write(prometheus);
  REQUIRE(out.ok());
  return std::string(as_text(out.written()));
}

}  // namespace

TEST_CASE("counters are written in the Prometheus text format") {
  const std::string text = text_of([](PrometheusWriter& w) {
    w.header("es_requests_total", "Requests by route.", MetricType::kCounter);
    const Label api[] = {{"route", "api"}, {"status", "2xx"}};
    w.sample("es_requests_total", api, 7);
    w.sample("es_nodes", {}, 0);
  });
  CHECK(text ==
        "# HELP es_requests_total Requests by route.\n"
        "# TYPE es_requests_total counter\n"
        "es_requests_total{route=\"api\",status=\"2xx\"} 7\n"
        "es_nodes 0\n");
}

TEST_CASE("label values are escaped") {
  const std::string text = text_of([](PrometheusWriter& w) {
    const Label odd[] = {{"x", "a\"b\\c\nd"}};
    w.sample("m", odd, 1);
  });
  CHECK(text == "m{x=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST_CASE("a histogram's buckets are cumulative and in seconds") {
  LatencyHistogram h;
  h.observe(0);
  h.observe(100);  // still the first bucket: its bound belongs to it
  h.observe(101);
  h.observe(10'000'001);  // beyond the last finite bound
  const std::string text = text_of([&](PrometheusWriter& w) {
    const Label route[] = {{"route", "api"}};
    w.histogram("latency_seconds", route, h);
  });
  CHECK(text.find("latency_seconds_bucket{route=\"api\",le=\"0.0001\"} 2\n") != std::string::npos);
  CHECK(text.find("latency_seconds_bucket{route=\"api\",le=\"0.00025\"} 3\n") != std::string::npos);
  CHECK(text.find("latency_seconds_bucket{route=\"api\",le=\"2.5\"} 3\n") != std::string::npos);
  CHECK(text.find("latency_seconds_bucket{route=\"api\",le=\"10\"} 3\n") != std::string::npos);
  CHECK(text.find("latency_seconds_bucket{route=\"api\",le=\"+Inf\"} 4\n") != std::string::npos);
  CHECK(text.find("latency_seconds_sum{route=\"api\"} 10.000202\n") != std::string::npos);
  CHECK(text.find("latency_seconds_count{route=\"api\"} 4\n") != std::string::npos);
}

TEST_CASE("quantiles name the bucket that holds them") {
  LatencyHistogram h;
  CHECK(h.quantile_bound_us(500) == 0);
  for (int i = 0; i < 99; ++i) h.observe(900);
  h.observe(400'000);
  CHECK(h.quantile_bound_us(0) == 1'000);
  CHECK(h.quantile_bound_us(500) == 1'000);
  CHECK(h.quantile_bound_us(990) == 1'000);
  CHECK(h.quantile_bound_us(991) == 500'000);
  CHECK(h.quantile_bound_us(1000) == 500'000);
  h.observe(99'000'000);
  CHECK(h.quantile_bound_us(1000) == 10'000'000);
}

TEST_CASE("histograms add up") {
  LatencyHistogram a, b;
  a.observe(50);
  b.observe(50);
  b.observe(7'000);
  a.merge(b);
  CHECK(a.total() == 3);
  CHECK(a.counts[0] == 2);
  CHECK(a.sum_us == 7'100);
}

TEST_CASE("a full buffer is an error, not a shorter text") {
  std::array<uint8_t, 10> buffer;
  ByteWriter out(buffer);
  PrometheusWriter(out).header("a_long_name", "text", MetricType::kGauge);
  CHECK_FALSE(out.ok());
}

}  // namespace es::analytics

#include "common/analytics/event.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace es::analytics {
namespace {

constexpr std::string_view kRoutes[] = {"key", "api"};
constexpr std::string_view kMethods[] = {"GET", "POST"};
constexpr std::string_view kVerdicts[] = {"allow", "limited"};
constexpr NameTables kNames{kRoutes, kMethods, kVerdicts};

Event event() {
  Event e;
  e.time = wall_time_ms(1'800'000'000'123);
  e.twin = Twin::kEdge;
  e.route = 1;
  e.method = 0;
  e.verdict = 1;
  e.status = 429;
  e.latency_ms = 3;
  e.origin_latency_ms = 2;
  e.request_bytes = 512;
  e.response_bytes = uint64_t{1} << 40;
  e.client_hash = 0x00ff00ff12345678;
  e.colo = "FRA";
  e.country = "DE";
  e.version = "0.1.0-rc_1";
  return e;
}

std::string log_line(const Event& e) {
  std::array<uint8_t, kMaxLogLineLen> buffer;
  ByteWriter out(buffer);
  const size_t client_at = write_log_line(e, kNames, out);
  REQUIRE(out.ok());
  const std::string line(as_text(out.written()));
  REQUIRE(line.substr(0, client_at).ends_with("\"client\":\""));
  return line;
}

struct DataPoint {
  std::vector<std::string> blobs;
  std::string index;
  std::vector<uint64_t> doubles;
};

// Reads what the shim reads.
DataPoint data_point(const Event& e) {
  std::array<uint8_t, kMaxDataPointLen> buffer;
  ByteWriter out(buffer);
  write_data_point(e, kNames, out);
  REQUIRE(out.ok());
  ByteReader in(out.written());
  DataPoint point;
  for (size_t n = *in.u8(); n > 0; --n) {
    point.blobs.emplace_back(as_text(*in.bytes(*in.u8())));
  }
  point.index = as_text(*in.bytes(*in.u8()));
  for (size_t n = *in.u8(); n > 0; --n) point.doubles.push_back(*in.u64le());
  CHECK(in.empty());
  return point;
}

}  // namespace

TEST_CASE("a data point has its blobs, doubles and index in the documented order") {
  const DataPoint point = data_point(event());
  CHECK(point.blobs ==
        std::vector<std::string>{"edge", "api", "GET", "limited", "FRA", "DE", "0.1.0-rc_1"});
  CHECK(point.index == "00ff00ff12345678");
  CHECK(point.doubles == std::vector<uint64_t>{429, 3, 512, uint64_t{1} << 40, 2, 1});
}

TEST_CASE("a data point stays within Analytics Engine's limits whatever the host says") {
  Event e = event();
  const std::string long_text(100'000, 'x');
  e.colo = e.country = e.version = long_text;
  e.route = e.method = e.verdict = 255;
  e.request_bytes = UINT64_MAX;
  const DataPoint point = data_point(e);
  CHECK(point.blobs.size() <= 20);
  CHECK(point.doubles.size() <= 20);
  CHECK(point.index.size() <= 96);
  CHECK(point.blobs[1] == "other");
  CHECK(point.blobs[4].size() == kMaxBlobLen);
  CHECK(point.doubles[2] == (uint64_t{1} << 53) - 1);
}

TEST_CASE("a log line is one JSON object with the same facts") {
  const auto json = nlohmann::json::parse(log_line(event()));
  CHECK(json.size() == 14);
  CHECK(json["time"] == 1'800'000'000'123);
  CHECK(json["twin"] == "edge");
  CHECK(json["route"] == "api");
  CHECK(json["method"] == "GET");
  CHECK(json["verdict"] == "limited");
  CHECK(json["status"] == 429);
  CHECK(json["latency_ms"] == 3);
  CHECK(json["origin_latency_ms"] == 2);
  CHECK(json["request_bytes"] == 512);
  CHECK(json["response_bytes"] == uint64_t{1} << 40);
  CHECK(json["client"] == "00ff00ff12345678");
  CHECK(json["colo"] == "FRA");
  CHECK(json["country"] == "DE");
  CHECK(json["version"] == "0.1.0-rc_1");
}

TEST_CASE("a log line cannot be forged or broken by what the host says") {
  Event e = event();
  e.twin = Twin::kNative;
  e.time = wall_time_ms(-5);
  const std::string long_text(100'000, '"');
  e.colo = "\",\"status\":200,\"x\":\"";
  e.country = "D\nE\xff\\";
  e.version = long_text;
  e.request_bytes = e.response_bytes = UINT64_MAX;
  e.latency_ms = e.origin_latency_ms = UINT32_MAX;
  const std::string line = log_line(e);
  CHECK(line.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["time"] == 0);
  CHECK(json["status"] == 429);
  CHECK(json["colo"] == "status200x");
  CHECK(json["country"] == "DE");
  CHECK(json["version"] == "");
}

TEST_CASE("the longest log line fits its limit") {
  Event e = event();
  const std::string long_text(1'000, 'x');
  e.colo = e.country = e.version = long_text;
  e.request_bytes = e.response_bytes = UINT64_MAX;
  e.latency_ms = e.origin_latency_ms = UINT32_MAX;
  e.time = wall_time_ms(std::numeric_limits<int64_t>::max());
  CHECK(log_line(e).size() < kMaxLogLineLen / 2 + 128);
}

}  // namespace es::analytics

// The one record that every request leaves, and its two texts: an Analytics Engine data point and a
// JSON log line.
//
// Routes, methods and verdicts are small integers with name tables from the gate, so that this room
// knows nothing above it. No field ever holds a secret, a query string or a client's address: the
// client is a keyed hash.
//
// Data point (Cloudflare's limits: 20 blobs, 20 doubles, one index of 96 bytes). Fixed order:
//   index1  client hash, 16 hex digits
//   blob1 twin  blob2 route  blob3 method  blob4 verdict  blob5 colo  blob6 country  blob7 version
//   double1 status  double2 latency ms  double3 request bytes  double4 response bytes
//   double5 origin latency ms  double6 1 (sums to requests)
// As bytes, for the shim: u8 num_blobs, then each blob and last the index as u8 length and text,
// then u8 num_doubles and each as u64 little-endian (all are whole numbers, exact below 2^53).
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace es::analytics {

enum class Twin : uint8_t { kEdge, kNative };

inline constexpr size_t kNumBlobs = 7;
inline constexpr size_t kNumDoubles = 6;
inline constexpr size_t kMaxBlobLen = 64;
inline constexpr size_t kMaxIndexLen = 96;
inline constexpr size_t kMaxDataPointLen =
    1 + kNumBlobs * (1 + kMaxBlobLen) + 1 + kMaxIndexLen + 1 + kNumDoubles * 8;
inline constexpr size_t kMaxLogLineLen = 1024;

// The texts of the gate's small integers, as they stand in a JSON string; an index beyond the table
// is "other".
struct NameTables {
  std::span<const std::string_view> routes;
  std::span<const std::string_view> methods;
  std::span<const std::string_view> verdicts;
};

struct Event {
  WallTime time{};
  Twin twin = Twin::kEdge;
  uint8_t route = 0;
  uint8_t method = 0;
  uint8_t verdict = 0;
  uint16_t status = 0;
  uint32_t latency_ms = 0;
  uint32_t origin_latency_ms = 0;  // 0 when the origin was not asked
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  uint64_t client_hash = 0;
  std::string_view colo;     // the host's words: anything but [A-Za-z0-9._-] is dropped
  std::string_view country;  // likewise
  std::string_view version;  // likewise
};

// At most kMaxDataPointLen bytes.
void write_data_point(const Event& event, const NameTables& names, ByteWriter& out);

// One JSON object without a line end, at most kMaxLogLineLen bytes. Returns where in `out` the
// client's 16 digits stand.
size_t write_log_line(const Event& event, const NameTables& names, ByteWriter& out);

}  // namespace es::analytics

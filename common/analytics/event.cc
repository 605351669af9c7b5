#include "common/analytics/event.h"

#include <algorithm>

namespace es::analytics {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

std::string_view name_of(std::span<const std::string_view> names, uint8_t index) {
  return index < names.size() ? names[index] : std::string_view("other");
}

std::string_view twin_name(Twin twin) { return twin == Twin::kEdge ? "edge" : "native"; }

struct HashText {
  explicit HashText(uint64_t hash) {
    for (size_t i = 0; i < digits.size(); ++i) digits[i] = kDigits[hash >> (60 - 4 * i) & 0xF];
  }
  std::string_view view() const { return {digits.data(), digits.size()}; }
  std::array<char, 16> digits;
};

constexpr bool is_harmless(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '_' || c == '-';
}

// What a host says of itself, reduced to harmless characters and a bounded length.
class HostText {
 public:
  explicit HostText(std::string_view text) : view_(text.substr(0, kMaxBlobLen)) {
    if (std::all_of(text.begin(), text.end(), is_harmless)) return;
    size_t len = 0;
    for (const char c : text) {
      if (len < chars_.size() && is_harmless(c)) chars_[len++] = c;
    }
    view_ = {chars_.data(), len};
  }
  HostText(const HostText&) = delete;
  HostText& operator=(const HostText&) = delete;
  std::string_view view() const { return view_; }

 private:
  std::array<char, kMaxBlobLen> chars_;
  std::string_view view_;
};

void write_short_text(std::string_view text, size_t max_len, ByteWriter& out) {
  const std::string_view bounded = text.substr(0, max_len);
  out.u8(static_cast<uint8_t>(bounded.size()));
  out.text(bounded);
}

// The doubles of the data point as IEEE 754 bits would need a conversion on the other side too; all
// values are counts, so they travel as integers.
void write_numbers(const Event& event, ByteWriter& out) {
  constexpr uint64_t kMaxExact = (uint64_t{1} << 53) - 1;
  const std::array<uint64_t, kNumDoubles> numbers = {event.status,
                                                     event.latency_ms,
                                                     std::min(event.request_bytes, kMaxExact),
                                                     std::min(event.response_bytes, kMaxExact),
                                                     event.origin_latency_ms,
                                                     1};
  out.u8(static_cast<uint8_t>(numbers.size()));
  for (const uint64_t number : numbers) out.u64le(number);
}

// `lead` is ,"name":" as it stands before the text, which is one of our own names or a HostText:
// nothing in it needs an escape.
void member(std::string_view lead, std::string_view text, ByteWriter& out) {
  out.text(lead);
  out.text(text);
  out.u8('"');
}

// `lead` is ,"name": as it stands before the number.
void member(std::string_view lead, uint64_t number, ByteWriter& out) {
  out.text(lead);
  out.decimal(number);
}

}  // namespace

void write_data_point(const Event& event, const NameTables& names, ByteWriter& out) {
  const HostText colo(event.colo);
  const HostText country(event.country);
  const HostText version(event.version);
  const std::array<std::string_view, kNumBlobs> blobs = {twin_name(event.twin),
                                                         name_of(names.routes, event.route),
                                                         name_of(names.methods, event.method),
                                                         name_of(names.verdicts, event.verdict),
                                                         colo.view(),
                                                         country.view(),
                                                         version.view()};
  out.u8(static_cast<uint8_t>(blobs.size()));
  for (const std::string_view blob : blobs) write_short_text(blob, kMaxBlobLen, out);
  write_short_text(HashText(event.client_hash).view(), kMaxIndexLen, out);
  write_numbers(event, out);
}

size_t write_log_line(const Event& event, const NameTables& names, ByteWriter& out) {
  const int64_t ms = unix_ms(event.time);
  out.text("{\"time\":");
  out.decimal(ms > 0 ? static_cast<uint64_t>(ms) : 0);
  member(",\"twin\":\"", twin_name(event.twin), out);
  member(",\"route\":\"", name_of(names.routes, event.route), out);
  member(",\"method\":\"", name_of(names.methods, event.method), out);
  member(",\"verdict\":\"", name_of(names.verdicts, event.verdict), out);
  member(",\"status\":", event.status, out);
  member(",\"latency_ms\":", event.latency_ms, out);
  member(",\"origin_latency_ms\":", event.origin_latency_ms, out);
  member(",\"request_bytes\":", event.request_bytes, out);
  member(",\"response_bytes\":", event.response_bytes, out);
  out.text(",\"client\":\"");
  const size_t client_at = out.written().size();
  out.text(HashText(event.client_hash).view());
  out.u8('"');
  if (!event.colo.empty()) member(",\"colo\":\"", HostText(event.colo).view(), out);
  if (!event.country.empty()) member(",\"country\":\"", HostText(event.country).view(), out);
  if (!event.version.empty()) member(",\"version\":\"", HostText(event.version).view(), out);
  out.text("}");
  return client_at;
}

}  // namespace es::analytics

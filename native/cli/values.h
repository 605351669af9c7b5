// The texts that stand for values in a config file, an environment variable or a flag. Every
// parser is strict: the whole text or nothing. Pure; no threads.
#pragma once

#include "native/cli/config.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace es::cli {

// Go's durations and Prometheus's longer units, largest first or not: "1h30m", "500ms", "1.5h",
// "90d", "2w", "1y" (365 days); "0". Not negative, nothing finer than a millisecond, at most 1000
// years.
std::optional<Millis> parse_duration(std::string_view text);
// The shortest text that parse_duration reads back: "1h30m0s" is "1h30m".
std::string format_duration(Millis duration);

// "host:port", ":port", "[v6]:port"; the port in digits, 0 to 65535 (0: any free one).
std::optional<ListenAddress> parse_listen_address(std::string_view text);
// Of a peer's address: numeric, canonical, without a port.
bool is_loopback(std::string_view address);
// "0770" or "0o770", at most 0777: the leading 0 is required, for 770 would be decimal in YAML.
std::optional<FileMode> parse_file_mode(std::string_view text);
std::string format_file_mode(FileMode mode);

std::optional<bool> parse_bool(std::string_view text);  // true, false; also capitalised
std::optional<uint64_t> parse_unsigned(std::string_view text);

enum class IpFamily : uint8_t { kV4 = 4, kV6 = 6 };
std::optional<IpFamily> parse_ip(std::string_view text);

struct CidrShape {
  IpFamily family = IpFamily::kV4;
  uint8_t bits = 0;
  bool host_bits_set = false;  // 10.0.0.1/8
};
std::optional<CidrShape> parse_cidr(std::string_view text);

// "http" or "https", a host, an optional port and path; no user, query or fragment.
struct HttpUrl {
  bool tls = false;
  std::string host;  // without brackets
  uint16_t port = 0;
  std::string path;  // empty or begins with '/'
};
std::optional<HttpUrl> parse_http_url(std::string_view text);

// A DNS name of letters, digits, '-' and '_' in labels of at most 63, at most 253 in all.
bool is_dns_name(std::string_view text);

// The candidate that `text` was probably meant to be, or empty.
std::string_view near_miss(std::string_view text, std::span<const std::string_view> candidates);

}  // namespace es::cli

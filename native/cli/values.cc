#include "native/cli/values.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstdio>
#include <limits>
#include <vector>

namespace es::cli {
namespace {

constexpr int64_t kMaxDurationMs = 1000LL * 365 * 24 * 3600 * 1000;

struct Unit {
  std::string_view name;
  int64_t nanos;
};
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kDay = 24LL * 3600 * 1000 * kMs;
// Longer names first where one begins with another.
constexpr Unit kUnits[] = {
    {"ns", 1},         {"us", 1000},       {"\u00b5s", 1000},          {"ms", kMs},
    {"s", 1000 * kMs}, {"m", 60000 * kMs}, {"h", 3600LL * 1000 * kMs}, {"d", kDay},
    {"w", 7 * kDay},   {"y", 365 * kDay},
};

bool all_digits(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<uint16_t> parse_port(std::string_view text) {
  const auto value = parse_unsigned(text);
  if (!value || *value > 65535) return std::nullopt;
  return static_cast<uint16_t>(*value);
}

// One "12.5h" from the front of `rest`, in nanoseconds.
std::optional<double> take_term(std::string_view& rest) {
  const size_t end = rest.find_first_not_of("0123456789.");
  if (end == 0 || end == std::string_view::npos || end > 18) return std::nullopt;
  const std::string_view digits = rest.substr(0, end);
  double number = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number,
                                             std::chars_format::fixed);
  if (error != std::errc() || stop != digits.data() + digits.size() || digits.back() == '.') {
    return std::nullopt;
  }
  rest.remove_prefix(end);
  const size_t unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
  const std::string_view name = rest.substr(0, unit_end);
  for (const Unit& unit : kUnits) {
    if (name == unit.name) {
      rest.remove_prefix(unit_end);
      return number * static_cast<double>(unit.nanos);
    }
  }
  return std::nullopt;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<Millis> parse_duration(std::string_view text) {
  if (text == "0") return Millis{0};
  if (text.empty() || text.size() > 64) return std::nullopt;
  double nanos = 0;
  while (!text.empty()) {
    const auto term = take_term(text);
    if (!term) return std::nullopt;
    nanos += *term;
  }
  const double ms = nanos / static_cast<double>(kMs);
  if (ms > static_cast<double>(kMaxDurationMs)) return std::nullopt;
  const auto whole = static_cast<int64_t>(ms + 0.5);
  // Finer than a millisecond would silently become something else, zero at worst.
  if (ms - static_cast<double>(whole) > 1e-6 || static_cast<double>(whole) - ms > 1e-6) {
    return std::nullopt;
  }
  return Millis{whole};
}

std::string format_duration(Millis duration) {
  int64_t ms = duration.count();
  if (ms <= 0) return "0";
  struct Step {
    int64_t ms;
    const char* name;
  };
  constexpr Step kSteps[] = {
      {24LL * 3600 * 1000, "d"}, {3600 * 1000, "h"}, {60 * 1000, "m"}, {1000, "s"}, {1, "ms"}};
  std::string out;
  for (const Step& step : kSteps) {
    if (ms >= step.ms) {
      out += std::to_string(ms / step.ms) + step.name;
      ms %= step.ms;
    }
  }
  return out;
}

bool is_loopback(std::string_view address) {
  return address == "::1" || address.starts_with("127.");
}

std::optional<ListenAddress> parse_listen_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (parse_ip(host) != IpFamily::kV6) return std::nullopt;
  } else if (!host.empty() && parse_ip(host) != IpFamily::kV4 && !is_dns_name(host)) {
    return std::nullopt;
  }
  return ListenAddress{std::string(host), *port};
}

std::optional<FileMode> parse_file_mode(std::string_view text) {
  if (!text.starts_with('0') || text.size() < 2) return std::nullopt;
  text.remove_prefix(text.starts_with("0o") ? 2 : 1);
  uint32_t bits = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 8);
  if (error != std::errc() || stop != text.data() + text.size() || bits > 0777) return std::nullopt;
  return FileMode{bits};
}

std::string format_file_mode(FileMode mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mode.bits & 07777U);
  return text;
}

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::optional<uint64_t> parse_unsigned(std::string_view text) {
  uint64_t value = 0;
  if (!all_digits(text)) return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<IpFamily> parse_ip(std::string_view text) {
  const std::string copy(text);
  if (copy.size() != text.size() || copy.find('\0') != std::string::npos) return std::nullopt;
  uint8_t bytes[16];
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return IpFamily::kV4;
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return IpFamily::kV6;
  return std::nullopt;
}

std::optional<CidrShape> parse_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string address(text.substr(0, slash));
  const auto family = parse_ip(address);
  const std::string_view digits = text.substr(slash + 1);
  const auto bits = parse_unsigned(digits);
  const unsigned width = family == IpFamily::kV4 ? 32 : 128;
  if (!family || !bits || *bits > width || digits.size() > 3) return std::nullopt;
  uint8_t bytes[16] = {};
  inet_pton(*family == IpFamily::kV4 ? AF_INET : AF_INET6, address.c_str(), bytes);
  CidrShape shape{*family, static_cast<uint8_t>(*bits), false};
  for (unsigned i = shape.bits; i < width; ++i) {
    if ((bytes[i / 8] >> (7 - i % 8) & 1) != 0) shape.host_bits_set = true;
  }
  return shape;
}

std::optional<HttpUrl> parse_http_url(std::string_view text) {
  HttpUrl url;
  if (text.starts_with("https://")) {
    url.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  if (text.find_first_of("?#@ \t\r\n\\") != std::string_view::npos) return std::nullopt;
  if (std::any_of(text.begin(), text.end(), [](char c) { return c > 0x7e || c < 0x21; })) {
    return std::nullopt;
  }
  const size_t slash = std::min(text.find('/'), text.size());
  url.path = std::string(text.substr(slash));
  std::string authority(text.substr(0, slash));
  const bool has_port = authority.rfind(':') != std::string::npos && !authority.ends_with(']');
  if (!has_port) authority += url.tls ? ":443" : ":80";
  const auto address = parse_listen_address(authority);
  if (!address || address->host.empty() || address->port == 0) return std::nullopt;
  url.host = address->host;
  url.port = address->port;
  return url;
}

bool is_dns_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > 253) return false;
  size_t label = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '.') {
      if (label == 0 || label > 63 || text[i - 1] == '-' || text[i - label] == '-') return false;
      label = 0;
      continue;
    }
    const char c = text[i];
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
    if (!good) return false;
    ++label;
  }
  return true;
}

std::string_view near_miss(std::string_view text, std::span<const std::string_view> candidates) {
  if (text.size() > 128) return {};
  size_t best = std::max<size_t>(1, text.size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edit_distance(text, candidate);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

}  // namespace es::cli

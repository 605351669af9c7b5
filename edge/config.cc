#include "edge/config.h"

#include "common/http/target.h"
#include "common/limit/lease.h"

#include <optional>

namespace es::edge {
namespace {

constexpr int64_t kMaxTimeoutMs = 300'000;
// An ask that the shim still waits for must not be given up, and made again, by the lease table.
constexpr int64_t kMaxLimiterTimeoutMs = limit::kAskTimeout.count() - 100;

// One line's value, and whether the line was there. A variable that is set to nothing counts as
// absent, as Cloudflare's dashboard makes no difference.
struct Value {
  std::string_view text;
  bool is_binding = false;

  bool present() const { return !text.empty(); }
};

Value find(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    if (line.size() > name.size() && line.starts_with(name)) {
      const char mark = line[name.size()];
      if (mark == '=' || mark == ':') return {line.substr(name.size() + 1), mark == ':'};
    }
  }
  return {};
}

std::optional<int64_t> parse_number(std::string_view digits) {
  if (digits.empty() || digits.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

// Reads from one text until the first problem, which stays.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  const std::optional<ConfigProblem>& problem() const { return problem_; }

  void fail(std::string_view name, std::string_view reason) {
    if (!problem_) problem_ = ConfigProblem{name, reason};
  }

  std::string_view optional_text(std::string_view name) {
    const Value value = find(text_, name);
    if (value.present() && value.is_binding) fail(name, "must be a text");
    return value.text;
  }

  std::string_view required_text(std::string_view name) {
    const std::string_view value = optional_text(name);
    if (value.empty()) fail(name, "is missing");
    return value;
  }

  void require_binding(std::string_view name, std::string_view kind, std::string_view reason) {
    const Value value = find(text_, name);
    if (!value.present()) fail(name, "is missing");
    if (value.present() && (!value.is_binding || value.text != kind)) fail(name, reason);
  }

  void optional_binding(std::string_view name, std::string_view kind, std::string_view reason) {
    if (find(text_, name).present()) require_binding(name, kind, reason);
  }

  int64_t number(std::string_view name, int64_t default_value, int64_t min, int64_t max,
                 std::string_view reason) {
    const std::string_view text = optional_text(name);
    if (text.empty()) return default_value;
    const auto value = parse_number(text);
    if (!value || *value < min || *value > max) {
      fail(name, reason);
      return default_value;
    }
    return *value;
  }

  // Both or none.
  void pair(std::string_view name_a, std::string_view& a, std::string_view name_b,
            std::string_view& b, std::string_view reason) {
    a = optional_text(name_a);
    b = optional_text(name_b);
    if (a.empty() != b.empty()) fail(a.empty() ? name_a : name_b, reason);
  }

 private:
  std::string_view text_;
  std::optional<ConfigProblem> problem_;
};

// "http://host" or "https://host:port", as fetch() takes it apart: lower case, no default port.
bool split_origin(std::string_view url, Settings& out) {
  if (url.ends_with('/')) url.remove_suffix(1);
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://")) return false;
  const std::string_view host = url.substr(tls ? 8 : 7);
  if (!http::is_valid_host(host)) return false;
  for (const char c : host) {
    if (c >= 'A' && c <= 'Z') return false;
  }
  if (host.ends_with(tls ? ":443" : ":80")) return false;
  out.origin = url;
  out.origin_host = host;
  return true;
}

bool is_header_text(std::string_view text) {
  for (const char c : text) {
    if (c < ' ' || c > '~') return false;
  }
  return true;
}

void read_limits(Reader& reader, Settings& out) {
  constexpr std::string_view kCount = "must be a whole number within bounds";
  constexpr std::string_view kTime = "must be a whole number of milliseconds, at least 100";
  constexpr std::string_view kLimiterTime =
      "must be a whole number of milliseconds, at least 100 and below 5000";
  const auto count = [&](std::string_view name, int64_t value, int64_t min) {
    return static_cast<uint32_t>(reader.number(name, value, min, 2000, kCount));
  };
  const auto window = Millis{
      reader.number("RATE_LIMIT_WINDOW_MS", out.requests.window.count(), 100, 3'600'000, kTime)};
  out.requests.max_requests = count("RATE_LIMIT_REQUESTS", out.requests.max_requests, 1);
  out.requests.burst = count("RATE_LIMIT_BURST", out.requests.burst, 0);
  out.requests.window = window;
  out.auth_failures.max_requests = count("AUTH_FAILURE_LIMIT", out.auth_failures.max_requests, 1);
  // What the limiter needs for so many; none for as few as the default.
  out.auth_failures.burst = out.auth_failures.max_requests / 100;
  out.auth_failures.window = Millis{reader.number(
      "AUTH_FAILURE_WINDOW_MS", out.auth_failures.window.count(), 100, 3'600'000, kTime)};
  out.lease_permits =
      static_cast<uint32_t>(reader.number("LEASE_PERMITS", out.lease_permits, 1, 1000, kCount));
  out.lease = Millis{reader.number("LEASE_MS", out.lease.count(), 100, 300'000, kTime)};
  out.origin_timeout = Millis{
      reader.number("ORIGIN_TIMEOUT_MS", out.origin_timeout.count(), 100, kMaxTimeoutMs, kTime)};
  out.limiter_timeout = Millis{reader.number("LIMITER_TIMEOUT_MS", out.limiter_timeout.count(), 100,
                                             kMaxLimiterTimeoutMs, kLimiterTime)};
  if (!limit::validate_limit(out.requests).ok()) {
    reader.fail("RATE_LIMIT_REQUESTS", "with RATE_LIMIT_BURST and its window is out of bounds");
  }
  if (!limit::validate_limit(out.auth_failures).ok()) {
    reader.fail("AUTH_FAILURE_LIMIT", "with its window is out of bounds");
  }
}

}  // namespace

Result<Settings, ConfigProblem> read_settings(std::string_view text) {
  Settings out;
  Reader reader(text);
  const std::string_view origin = reader.required_text("HEADSCALE_URL");
  if (!origin.empty() && !split_origin(origin, out)) {
    reader.fail("HEADSCALE_URL",
                "must be http:// or https://, a lower-case host and a port if it is not the usual "
                "one, with nothing behind");
  }
  out.operator_key = reader.required_text("HEADSCALE_API_KEY");
  out.token_key = reader.required_text("EDGE_TOKEN_KEY");
  reader.require_binding("LIMITER", "durable_object", "must be a Durable Object namespace");
  reader.require_binding("ANALYTICS", "analytics", "must be an Analytics Engine dataset");
  reader.optional_binding("ORIGIN", "fetcher", "must be a VPC or service binding");
  reader.pair("CF_ACCESS_CLIENT_ID", out.access_client_id, "CF_ACCESS_CLIENT_SECRET",
              out.access_client_secret, "is missing: id and secret come together");
  if (!is_header_text(out.access_client_id) || !is_header_text(out.access_client_secret)) {
    reader.fail("CF_ACCESS_CLIENT_ID", "or its secret has characters that no header may carry");
  }
  reader.pair("ACCESS_TEAM_DOMAIN", out.access_team_domain, "ACCESS_AUD", out.access_audience,
              "is missing: team domain and audience come together");
  if (!out.access_team_domain.empty() &&
      (!http::is_valid_host(out.access_team_domain) ||
       out.access_team_domain.find(':') != std::string_view::npos)) {
    reader.fail("ACCESS_TEAM_DOMAIN", "must be a host such as team.cloudflareaccess.com");
  }
  read_limits(reader, out);
  out.colo = reader.optional_text("host.colo");
  out.version = reader.optional_text("host.version");
  if (reader.problem()) return *reader.problem();
  return out;
}

}  // namespace es::edge

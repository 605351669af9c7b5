#include "edge/tables.h"

#include "common/gate/rate_limit_fields.h"
#include "common/http/hardening.h"
#include "common/http/refusal.h"
#include "common/http/route.h"

#include <initializer_list>

namespace es::edge {
namespace {

using http::Refusal;

void line(ByteWriter& out, std::initializer_list<std::string_view> words) {
  bool first = true;
  for (const std::string_view word : words) {
    if (!first) out.u8('\t');
    first = false;
    out.text(word);
  }
  out.u8('\n');
}

// The digits of a small number, as a word of a line.
class Digits {
 public:
  explicit Digits(uint64_t value) : out_(buf_) { out_.decimal(value); }
  std::string_view view() const { return as_text(out_.written()); }

 private:
  uint8_t buf_[20];
  ByteWriter out_;
};

void write_settings(const Settings& settings, ByteWriter& out) {
  const auto ms = [](Millis t) { return Digits(static_cast<uint64_t>(t.count())); };
  line(out, {"setting", "origin", settings.origin});
  line(out, {"setting", "origin_timeout_ms", ms(settings.origin_timeout).view()});
  line(out, {"setting", "limiter_timeout_ms", ms(settings.limiter_timeout).view()});
  if (!settings.access_team_domain.empty()) {
    out.text("setting\tjwks_url\thttps://");
    out.text(settings.access_team_domain);
    out.text("/cdn-cgi/access/certs\n");
  }
  if (!settings.access_client_id.empty()) {
    line(out, {"send", "cf-access-client-id", settings.access_client_id});
    line(out, {"send", "cf-access-client-secret", settings.access_client_secret});
  }
}

void write_header_sets(ByteWriter& out) {
  for (size_t i = 0; i < http::kNumHeaderSets; ++i) {
    for (const http::Field& field : http::response_headers(static_cast<http::HeaderSet>(i))) {
      line(out, {"set", Digits(i).view(), field.name, field.value});
    }
  }
  for (size_t i = 0; i < http::kNumRoutes; ++i) {
    const http::RoutePolicy& policy = http::policy_of(static_cast<http::Route>(i));
    line(out, {"route", Digits(i).view(), policy.name,
               Digits(static_cast<size_t>(policy.headers)).view()});
  }
}

// The RateLimit-Policy of a refusal by this limit.
void write_policy(Refusal refusal, const limit::Limit& limit, ByteWriter& out) {
  uint8_t buf[gate::kMaxRateLimitLen];
  ByteWriter policy(buf);
  gate::write_rate_limit_policy(limit, policy);
  line(out, {"refused", Digits(static_cast<size_t>(refusal)).view(), "ratelimit-policy",
             as_text(policy.written())});
}

void write_refusals(const Settings& settings, ByteWriter& out) {
  for (size_t i = 1; i < http::kNumRefusals; ++i) {
    const http::RefusalText& text = http::refusal_text(static_cast<Refusal>(i));
    line(out, {"refusal", Digits(i).view(), Digits(text.status).view(), text.name, text.body});
  }
  const auto index = [](Refusal r) { return Digits(static_cast<size_t>(r)); };
  line(out, {"refused", "-1", "content-type", "application/json"});
  // RFC 9110 section 11.6.1; nothing in it says which part of the credentials was wrong.
  line(out, {"refused", index(Refusal::kUnauthorized).view(), "www-authenticate",
             "Bearer realm=\"edgescale\""});
  write_policy(Refusal::kTooManyRequests, settings.requests, out);
  write_policy(Refusal::kTooManyFailures, settings.auth_failures, out);
  // Without a body there is nothing that a browser could render or run: fewer fields do.
  line(out, {"terse", "cache-control", "no-store"});
  line(out, {"terse", "strict-transport-security", "max-age=63072000; includeSubDomains"});
  line(out, {"terse", "x-content-type-options", "nosniff"});
}

}  // namespace

void write_tables(const Settings& settings, ByteWriter& out) {
  write_settings(settings, out);
  for (const std::string_view name : http::response_allow_list()) line(out, {"keep", name});
  write_header_sets(out);
  write_refusals(settings, out);
}

}  // namespace es::edge

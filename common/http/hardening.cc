#include "common/http/hardening.h"

namespace es::http {
namespace {

constexpr std::string_view kResponseAllowList[] = {
    "accept-ranges",
    "allow",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "sec-websocket-protocol",
    "set-cookie",
    "vary",
    "www-authenticate",
    "x-tailscale-response",
};

#define ES_COMMON_HEADERS                                                                          \
  {"cross-origin-embedder-policy", "require-corp"}, {"cross-origin-opener-policy", "same-origin"}, \
      {"cross-origin-resource-policy", "same-origin"}, {"origin-agent-cluster", "?1"},             \
      {"permissions-policy",                                                                       \
       "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), "  \
       "encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), "        \
       "magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), "              \
       "publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=(), web-share=(), "    \
       "xr-spatial-tracking=()"},                                                                  \
      {"referrer-policy", "no-referrer"},                                                          \
      {"strict-transport-security", "max-age=63072000; includeSubDomains"},                        \
      {"x-content-type-options", "nosniff"}, {"x-dns-prefetch-control", "off"},                    \
      {"x-frame-options", "DENY"}, {"x-permitted-cross-domain-policies", "none"}, {                \
    "x-xss-protection", "0"                                                                        \
  }

constexpr std::string_view kNothing =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr Field kApiHeaders[] = {
    ES_COMMON_HEADERS,
    {"cache-control", "no-store, max-age=0"},
    {"content-security-policy", kNothing},
};
constexpr Field kPublicHeaders[] = {
    ES_COMMON_HEADERS,
    {"access-control-allow-origin", "*"},
    {"cache-control", "no-store, max-age=0"},
    {"content-security-policy", kNothing},
};
constexpr Field kPageHeaders[] = {
    ES_COMMON_HEADERS,
    {"cache-control", "no-store, max-age=0"},
    {"content-security-policy",
     "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; "
     "frame-ancestors 'none'"},
};

#undef ES_COMMON_HEADERS

// FNV-1a over every text above, each with its end.
constexpr uint32_t mix(uint32_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return (hash ^ 0xffU) * 16777619U;
}

constexpr uint32_t mix(uint32_t hash, std::span<const Field> set) {
  for (const Field& field : set) hash = mix(mix(hash, field.name), field.value);
  return mix(hash, "");
}

constexpr uint32_t revision_of_all() {
  uint32_t hash = 2166136261U;
  for (const std::string_view name : kResponseAllowList) hash = mix(hash, name);
  return mix(mix(mix(hash, kApiHeaders), kPublicHeaders), kPageHeaders);
}
constexpr uint32_t kRevision = revision_of_all();

}  // namespace

std::span<const std::string_view> response_allow_list() { return kResponseAllowList; }

uint32_t hardening_revision() { return kRevision; }

std::span<const Field> response_headers(HeaderSet set) {
  switch (set) {
    case HeaderSet::kApi:
      return kApiHeaders;
    case HeaderSet::kPublic:
      return kPublicHeaders;
    case HeaderSet::kPage:
      return kPageHeaders;
  }
  return kApiHeaders;
}

}  // namespace es::http

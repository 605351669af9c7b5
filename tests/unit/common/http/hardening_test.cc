#include "common/http/hardening.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>

namespace es::http {

TEST_CASE("every kind of answer carries the OWASP secure headers") {
  // Names of owasp-secure-headers headers_add.json, 2026-07-19, without Clear-Site-Data, which is
  // for logging out.
  const std::string_view owasp[] = {"cache-control",
                                    "content-security-policy",
                                    "cross-origin-embedder-policy",
                                    "cross-origin-opener-policy",
                                    "cross-origin-resource-policy",
                                    "permissions-policy",
                                    "referrer-policy",
                                    "strict-transport-security",
                                    "x-content-type-options",
                                    "x-dns-prefetch-control",
                                    "x-frame-options",
                                    "x-permitted-cross-domain-policies"};
  for (const HeaderSet set : {HeaderSet::kApi, HeaderSet::kPublic, HeaderSet::kPage}) {
    const auto headers = response_headers(set);
    for (const std::string_view name : owasp) {
      CAPTURE(name);
      CHECK(std::count_if(headers.begin(), headers.end(),
                          [&](const Field& f) { return f.name == name; }) == 1);
    }
  }
}

TEST_CASE("only public answers may be read by any web page") {
  for (const HeaderSet set : {HeaderSet::kApi, HeaderSet::kPublic, HeaderSet::kPage}) {
    const auto headers = response_headers(set);
    const bool open = std::any_of(headers.begin(), headers.end(), [](const Field& f) {
      return f.name == "access-control-allow-origin";
    });
    CHECK(open == (set == HeaderSet::kPublic));
  }
}

TEST_CASE("lists are sorted, lower-case and free of what gives a server away") {
  for (const auto list :
       {std::span<const std::string_view>(kRequestAllowList), response_allow_list()}) {
    CHECK(std::is_sorted(list.begin(), list.end()));
    for (const std::string_view name : list) {
      CHECK(std::none_of(name.begin(), name.end(),
                         [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; }));
    }
  }
  for (const std::string_view leak :
       {"server", "x-powered-by", "x-aspnet-version", "via", "x-generator", "x-runtime",
        "x-envoy-upstream-service-time", "x-kong-proxy-latency", "sourcemap", "x-varnish"}) {
    const auto list = response_allow_list();
    CAPTURE(leak);
    CHECK(std::find(list.begin(), list.end(), leak) == list.end());
  }
  for (const HeaderSet set : {HeaderSet::kApi, HeaderSet::kPublic, HeaderSet::kPage}) {
    const auto list = response_allow_list();
    for (const Field& f : response_headers(set)) {
      CAPTURE(f.name);  // what we set, the origin cannot set
      CHECK(std::find(list.begin(), list.end(), f.name) == list.end());
    }
  }
}

}  // namespace es::http

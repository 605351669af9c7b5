// Which header fields pass in either direction, and which ones we set ourselves.
//
// Both directions are allow-lists: what is not named here never passes, whatever it is called.
// Values follow the OWASP Secure Headers project (headers_add.json of 2026-07-19).
// tests/unit/common/http/hardening_test.cc holds both lists against its headers_remove.json names.
#pragma once

#include "common/http/message.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace es::http {

// Request fields that go on to the origin, in lower case. Framing and WebSocket fields are the
// transport's own business.
inline constexpr auto kRequestAllowList = std::to_array<std::string_view>({
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "cookie",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "origin",
    "range",
    "sec-websocket-protocol",
    "user-agent",
    "x-tailscale-challenge",
});

// Response fields of the origin that go back to the client, in lower case.
std::span<const std::string_view> response_allow_list();

// Kinds of answers, which differ in what a browser may do with them.
enum class HeaderSet : uint8_t {
  kApi,     // machine-readable: nothing may be loaded, nothing stored
  kPublic,  // as kApi, but any web page may read it: /key and the DERP probes of browser clients
  kPage,    // pages for people: own styles and forms
};
inline constexpr size_t kNumHeaderSets = static_cast<size_t>(HeaderSet::kPage) + 1;

// The fields that every answer of this kind carries; they replace the origin's own.
std::span<const Field> response_headers(HeaderSet set);

// Stands for the response fields that may pass and for the header sets: two programs with the same
// revision harden answers alike.
uint32_t hardening_revision();

}  // namespace es::http

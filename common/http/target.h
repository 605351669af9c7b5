// Checks of a raw request target (RFC 9112 section 3.2) and of a host, before anybody decodes them.
//
// What passes is forwarded byte for byte; nothing is normalised, so that no two parties can read
// one target in two ways.
#pragma once

#include "common/http/refusal.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace es::http {

// Accepts origin-form only: "/path" with an optional "?query", of visible ASCII characters without
// `"<>\#`, without "{}^`" in the path and "'" in the query (URL parsers rewrite those), and
// well-formed percent-encoding. Refuses
//   - control characters: raw, percent-encoded and doubly encoded, in path and query;
//   - segments "." and ".." in the path: raw, encoded and doubly encoded, with "/" or "\" as
//     separator and with ";parameters" behind them;
//   - a path that begins with "//" or is longer than max_len.
Refusal check_target(std::string_view target, size_t max_len);

// Accepts a DNS name, IPv4 or bracketed IPv6 literal, with an optional port of digits.
bool is_valid_host(std::string_view host);

// The path of a checked target: all before "?".
std::string_view path_of(std::string_view target);

}  // namespace es::http

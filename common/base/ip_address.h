// One IP address, parsed strictly and written canonically, so that two spellings of one address
// never count as two.
//
// Text: IPv4 as four decimal octets without leading zeros; IPv6 as in RFC 4291 section 2.2, written
// back as in RFC 5952. An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is that IPv4 address. Zone ids,
// brackets, ports, prefixes, white space and everything else are refused.
#pragma once

#include "common/base/bytes.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace es {

// The longest canonical text: eight groups of four digits.
inline constexpr size_t kMaxIpAddressText = 39;

struct IpAddress {
  enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

  Family family = Family::kIpv4;
  // Network order; an IPv4 address uses the first four and leaves the others zero.
  std::array<uint8_t, 16> bytes{};

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

std::optional<IpAddress> parse_ip_address(std::string_view text);

// Writes at most kMaxIpAddressText characters.
void write_ip_address(const IpAddress& address, ByteWriter& out);

// True when `text` is exactly what write_ip_address would write.
bool is_canonical_ip_address(std::string_view text);

}  // namespace es

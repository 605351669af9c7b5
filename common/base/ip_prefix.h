// A block of IP addresses such as 10.0.0.0/8 or fd00::/8.
#pragma once

#include "common/base/ip_address.h"
#include "common/base/result.h"

#include <cstdint>
#include <string_view>

namespace es {

// 32 or 128.
constexpr size_t num_address_bits(IpAddress::Family family) {
  return family == IpAddress::Family::kIpv4 ? 32 : 128;
}

struct IpPrefix {
  IpAddress base;   // no bits set behind len
  uint8_t len = 0;  // bits

  bool contains(const IpAddress& address) const;

  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

// "address/length". Refuses a length out of range and set bits behind it.
Result<IpPrefix> parse_ip_prefix(std::string_view text);

}  // namespace es

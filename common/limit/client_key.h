// Whom a request counts against: an IPv4 address, an IPv6 /64, or the one client that all unknown
// addresses share.
#pragma once

#include "common/base/bytes.h"
#include "common/base/ip_address.h"
#include "common/limit/siphash.h"

#include <cstdint>
#include <string_view>

namespace es::limit {

// The longest text of a key: "ffff:ffff:ffff:ffff::/64".
inline constexpr size_t kMaxClientKeyText = 24;

struct ClientKey {
  enum class Kind : uint8_t { kUnknown = 1, kIpv4 = 2, kIpv6 = 3 };

  // The IPv4 address, or the upper 64 bits of the IPv6 address; 0 for the unknown client.
  uint64_t value = 0;
  Kind kind = Kind::kUnknown;

  friend bool operator==(const ClientKey&, const ClientKey&) = default;
};

// The key that every client without a usable address shares: it is limited like one client, so a
// lost address never means unlimited.
inline constexpr ClientKey kUnknownClient{};

ClientKey client_key(const IpAddress& address);

// Where tables with this seed keep the client.
uint64_t hash_of(const SipKey& seed, const ClientKey& client);

// The key of a textual address; kUnknownClient when parse_ip_address refuses the text.
ClientKey client_key(std::string_view address);

// "192.0.2.1", "2001:db8:0:1::/64" or "unknown": the name of this client's Durable Object and its
// name in logs. At most kMaxClientKeyText characters.
void write_client_key(const ClientKey& key, ByteWriter& out);

}  // namespace es::limit

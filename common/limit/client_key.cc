#include "common/limit/client_key.h"

namespace es::limit {

ClientKey client_key(const IpAddress& address) {
  const bool v4 = address.family == IpAddress::Family::kIpv4;
  uint64_t value = 0;
  for (size_t i = 0; i < (v4 ? 4U : 8U); ++i) value = value << 8 | address.bytes[i];
  return {value, v4 ? ClientKey::Kind::kIpv4 : ClientKey::Kind::kIpv6};
}

ClientKey client_key(std::string_view address) {
  const auto parsed = parse_ip_address(address);
  return parsed ? client_key(*parsed) : kUnknownClient;
}

uint64_t hash_of(const SipKey& seed, const ClientKey& client) {
  return siphash(seed, client.value, static_cast<uint64_t>(client.kind));
}

void write_client_key(const ClientKey& key, ByteWriter& out) {
  if (key.kind == ClientKey::Kind::kUnknown) {
    out.text("unknown");
    return;
  }
  const bool v4 = key.kind == ClientKey::Kind::kIpv4;
  IpAddress address;
  address.family = v4 ? IpAddress::Family::kIpv4 : IpAddress::Family::kIpv6;
  const size_t len = v4 ? 4 : 8;
  for (size_t i = 0; i < len; ++i) {
    address.bytes[i] = static_cast<uint8_t>(key.value >> 8 * (len - 1 - i));
  }
  write_ip_address(address, out);
  if (!v4) out.text("/64");
}

}  // namespace es::limit

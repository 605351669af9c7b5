#include "common/base/ip_prefix.h"

namespace es {
namespace {

bool bit(const IpAddress& address, size_t i) {
  return (address.bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

}  // namespace

bool IpPrefix::contains(const IpAddress& address) const {
  if (address.family != base.family) return false;
  const size_t whole = len / 8;
  for (size_t i = 0; i < whole; ++i) {
    if (address.bytes[i] != base.bytes[i]) return false;
  }
  for (size_t i = whole * 8; i < len; ++i) {
    if (bit(address, i) != bit(base, i)) return false;
  }
  return true;
}

Result<IpPrefix> parse_ip_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return refuse("a prefix is ADDRESS/LENGTH");
  const auto base = parse_ip_address(text.substr(0, slash));
  if (!base) return refuse("a prefix begins with an IP address");
  const std::string_view digits = text.substr(slash + 1);
  if (digits.empty() || digits.size() > 3) return refuse("a prefix ends with its length in bits");
  size_t len = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return refuse("a prefix ends with its length in bits");
    len = len * 10 + static_cast<size_t>(c - '0');
  }
  const size_t bits = num_address_bits(base->family);
  if (len > bits) return refuse("the prefix length is out of range");
  for (size_t i = len; i < bits; ++i) {
    if (bit(*base, i)) return refuse("the prefix has bits set behind its length");
  }
  return IpPrefix{*base, static_cast<uint8_t>(len)};
}

}  // namespace es

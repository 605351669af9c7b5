#include "common/gate/identity.h"

#include <optional>

namespace es::gate {
namespace {

size_t num_bits(IpAddress::Family family) { return family == IpAddress::Family::kIpv4 ? 32 : 128; }

bool bit(const IpAddress& address, size_t i) {
  return (address.bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

bool is_trusted(const IpAddress& address, std::span<const Cidr> trusted) {
  for (const Cidr& block : trusted) {
    if (block.contains(address)) return true;
  }
  return false;
}

// Takes the last element off a comma-separated list.
std::string_view pop_last(std::string_view& list) {
  const size_t comma = list.rfind(',');
  std::string_view last = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
  while (!last.empty() && (last.front() == ' ' || last.front() == '\t')) last.remove_prefix(1);
  while (!last.empty() && (last.back() == ' ' || last.back() == '\t')) last.remove_suffix(1);
  return last;
}

}  // namespace

bool Cidr::contains(const IpAddress& address) const {
  if (address.family != base.family) return false;
  const size_t whole = prefix_len / 8;
  for (size_t i = 0; i < whole; ++i) {
    if (address.bytes[i] != base.bytes[i]) return false;
  }
  for (size_t i = whole * 8; i < prefix_len; ++i) {
    if (bit(address, i) != bit(base, i)) return false;
  }
  return true;
}

Result<Cidr> parse_trusted_proxy(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> base = parse_ip_address(text.substr(0, slash));
  if (!base) return refuse("not an IP address or CIDR block");
  const size_t bits = num_bits(base->family);
  size_t len = bits;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    if (digits.empty() || digits.size() > 3) return refuse("not a prefix length");
    len = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') return refuse("not a prefix length");
      len = len * 10 + static_cast<size_t>(c - '0');
    }
    if (len > bits) return refuse("prefix length out of range");
    if (len == 0) return refuse("prefix length 0 would trust every address");
  }
  for (size_t i = len; i < bits; ++i) {
    if (bit(*base, i)) return refuse("address has bits set behind its prefix");
  }
  return Cidr{*base, static_cast<uint8_t>(len)};
}

IpAddress client_behind(const IpAddress& peer, std::string_view forwarded_for,
                        std::span<const Cidr> trusted_proxies) {
  IpAddress client = peer;
  while (!forwarded_for.empty() && is_trusted(client, trusted_proxies)) {
    const std::optional<IpAddress> hop = parse_ip_address(pop_last(forwarded_for));
    if (!hop) break;
    client = *hop;
  }
  return client;
}

}  // namespace es::gate

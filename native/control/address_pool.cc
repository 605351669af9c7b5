#include "native/control/address_pool.h"

#include <algorithm>
#include <utility>

namespace es::control {
namespace {

constexpr uint64_t kMaxSize = uint64_t{1} << 32;

// The last 64 bits of the address (all 32 of an IPv4 one), as a number.
uint64_t tail(const IpAddress& address) {
  const size_t len = num_address_bits(address.family) / 8;
  uint64_t v = 0;
  for (size_t i = len - std::min<size_t>(len, 8); i < len; ++i) v = v << 8 | address.bytes[i];
  return v;
}

IpAddress with_tail(IpAddress address, uint64_t v) {
  const size_t len = num_address_bits(address.family) / 8;
  for (size_t i = 0; i < std::min<size_t>(len, 8); ++i) {
    address.bytes[len - 1 - i] = static_cast<uint8_t>(v >> 8 * i);
  }
  return address;
}

bool is_set_aside(const IpAddress& address) {
  static const IpPrefix kSetAside[] = {*parse_ip_prefix("100.100.100.100/32"),
                                       *parse_ip_prefix("100.115.92.0/23"),
                                       *parse_ip_prefix("fd7a:115c:a1e0::53/128")};
  return std::any_of(std::begin(kSetAside), std::end(kSetAside),
                     [&](const IpPrefix& p) { return p.contains(address); });
}

}  // namespace

std::optional<AddressPool::Range> AddressPool::range_of(const IpPrefix& prefix) {
  const size_t host_bits = num_address_bits(prefix.base.family) - prefix.len;
  if (host_bits < 2) return std::nullopt;
  Range range;
  range.prefix = prefix;
  range.size = host_bits >= 32 ? kMaxSize : uint64_t{1} << host_bits;
  return range;
}

Result<AddressPool> AddressPool::create(Options options) {
  AddressPool pool;
  pool.random_ = std::move(options.random);
  if (options.v4) {
    if (options.v4->base.family != IpAddress::Family::kIpv4)
      return refuse("prefixes.v4 is not IPv4");
    pool.v4_ = range_of(*options.v4);
    if (!pool.v4_) return refuse("prefixes.v4 is too small");
  }
  if (options.v6) {
    if (options.v6->base.family != IpAddress::Family::kIpv6)
      return refuse("prefixes.v6 is not IPv6");
    pool.v6_ = range_of(*options.v6);
    if (!pool.v6_) return refuse("prefixes.v6 is too small");
  }
  if (!pool.v4_ && !pool.v6_) return refuse("a tailnet needs prefixes.v4 or prefixes.v6");
  return pool;
}

std::optional<uint64_t> AddressPool::offset_of(const Range& range, const IpAddress& address) {
  if (!range.prefix.contains(address)) return std::nullopt;
  return tail(address) - tail(range.prefix.base);
}

std::optional<IpAddress> AddressPool::take(Range& range) {
  const uint64_t usable = range.size - 2;
  // As many tries as offsets can be taken, and some for what is set aside.
  const uint64_t tries = std::min<uint64_t>(usable, range.taken.size() + 1024);
  uint64_t offset = random_ ? 1 + random_() % usable : range.last;
  for (uint64_t n = 0; n <= tries; ++n) {
    offset = offset >= usable ? 1 : offset + 1;
    const IpAddress address = with_tail(range.prefix.base, tail(range.prefix.base) + offset);
    if (range.taken.contains(offset) || is_set_aside(address)) continue;
    range.taken.insert(offset);
    range.last = offset;
    return address;
  }
  return std::nullopt;
}

Result<NodeAddresses> AddressPool::allocate() {
  NodeAddresses out;
  if (v4_) {
    ES_TRY(out.v4, allocate(IpAddress::Family::kIpv4));
  }
  if (v6_) {
    auto v6 = allocate(IpAddress::Family::kIpv6);
    if (!v6.ok()) {
      release(out);
      return v6.error();
    }
    out.v6 = *v6;
  }
  return out;
}

Result<IpAddress> AddressPool::allocate(IpAddress::Family family) {
  const bool v4 = family == IpAddress::Family::kIpv4;
  const auto address = take(v4 ? *v4_ : *v6_);
  if (address) return *address;
  return v4 ? retry_later("all IPv4 addresses of the tailnet are taken")
            : retry_later("all IPv6 addresses of the tailnet are taken");
}

bool AddressPool::serves(IpAddress::Family family) const {
  return family == IpAddress::Family::kIpv4 ? v4_.has_value() : v6_.has_value();
}

bool AddressPool::covers(const IpAddress& address) const {
  return (v4_ && v4_->prefix.contains(address)) || (v6_ && v6_->prefix.contains(address));
}

void AddressPool::reserve(const NodeAddresses& addresses) {
  for (const auto& [range, address] : {std::pair{&v4_, addresses.v4}, {&v6_, addresses.v6}}) {
    if (!*range || !address) continue;
    if (const auto offset = offset_of(**range, *address)) {
      (*range)->taken.insert(*offset);
      (*range)->last = std::max((*range)->last, *offset);
    }
  }
}

void AddressPool::release(const NodeAddresses& addresses) {
  for (const auto& [range, address] : {std::pair{&v4_, addresses.v4}, {&v6_, addresses.v6}}) {
    if (!*range || !address) continue;
    if (const auto offset = offset_of(**range, *address)) (*range)->taken.erase(*offset);
  }
}

}  // namespace es::control

// Hands out the tailnet addresses of new nodes, from one IPv4 and one IPv6 prefix (either may be
// absent), and never one address twice at a time.
//
// Skipped: the first and last address of a prefix, 100.100.100.100 and fd7a:115c:a1e0::53
// (MagicDNS), and 100.115.92.0/23 (ChromeOS). Sequential order goes on from the last address handed
// out, so that a freed one is not reused while caches still know its old owner, until the prefix
// wraps around.
//
// Threads: one caller at a time.
#pragma once

#include "common/base/ip_prefix.h"
#include "common/base/result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_set>

namespace es::control {

struct NodeAddresses {
  std::optional<IpAddress> v4;
  std::optional<IpAddress> v6;

  friend bool operator==(const NodeAddresses&, const NodeAddresses&) = default;
};

class AddressPool {
 public:
  struct Options {
    std::optional<IpPrefix> v4;  // at least 4 addresses
    std::optional<IpPrefix> v6;
    // Set for random allocation: yields 64 random bits a call.
    std::function<uint64_t()> random;
  };

  // Refuses prefixes of the wrong family, or none at all.
  static Result<AddressPool> create(Options options);

  // Both addresses, or the error that a prefix is full.
  Result<NodeAddresses> allocate();
  // One of them; its prefix must be there.
  Result<IpAddress> allocate(IpAddress::Family family);
  bool serves(IpAddress::Family family) const;  // is there a prefix of it?
  bool covers(const IpAddress& address) const;  // is the address in one of the prefixes?
  // Marks addresses as taken (those of stored nodes).
  void reserve(const NodeAddresses& addresses);
  void release(const NodeAddresses& addresses);

 private:
  // The addresses of one prefix, by their offset from its base.
  struct Range {
    IpPrefix prefix;
    uint64_t size = 0;  // usable offsets are 1 to size - 2; IPv6 is cut to 2^32
    uint64_t last = 0;
    std::unordered_set<uint64_t> taken;
  };

  static std::optional<Range> range_of(const IpPrefix& prefix);
  static std::optional<uint64_t> offset_of(const Range& range, const IpAddress& address);
  std::optional<IpAddress> take(Range& range);

  std::optional<Range> v4_;
  std::optional<Range> v6_;
  std::function<uint64_t()> random_;
};

}  // namespace es::control

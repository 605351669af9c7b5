// Addresses, prefixes, ranges, and sets of them, IPv4 and IPv6 side by side.
//
// Text forms: IPv4 dotted quads without leading zeros; IPv6 of RFC 4291 (an embedded dotted quad is
// fine, as 4via6 addresses are written; a zone is not), written as RFC 5952 says. A prefix may be
// given with host bits; they are cleared. IPv4-mapped IPv6 addresses stay IPv6.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::policy {

// Ordered with every IPv4 address before every IPv6 one, so that ranges never mix families.
struct Address {
  bool v6 = false;
  uint64_t hi = 0;
  uint64_t lo = 0;  // the whole address if IPv4

  static std::optional<Address> parse(std::string_view text);
  static constexpr Address v4(uint32_t value) { return {false, 0, value}; }

  int bits() const { return v6 ? 128 : 32; }
  std::string text() const;

  friend auto operator<=>(const Address&, const Address&) = default;
};

struct Range {
  Address first;
  Address last;  // inclusive, same family

  bool contains(const Address& a) const { return first <= a && a <= last; }
  bool overlaps(const Range& r) const { return first <= r.last && r.first <= last; }

  friend auto operator<=>(const Range&, const Range&) = default;
};

struct Prefix {
  Address address;  // host bits are zero
  int length = 0;

  // `a` alone is a prefix of one address.
  static std::optional<Prefix> parse(std::string_view text);
  static Prefix of(const Address& a) { return {a, a.bits()}; }

  Range range() const;
  Prefix parent() const;  // one bit shorter; of a /0, itself
  bool single() const { return length == address.bits(); }
  bool is_default() const { return length == 0; }  // 0.0.0.0/0 or ::/0: an exit route
  bool contains(const Prefix& p) const {
    return address.v6 == p.address.v6 && length <= p.length && range().contains(p.address);
  }
  std::string text() const;  // always with the length

  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

// What an alias may spell: an address, a prefix, or `first-last`.
std::optional<Range> parse_range(std::string_view text);

// `address` alone, a prefix where the range is one, else `first-last`: the wire form.
std::string range_text(const Range& range);

// A set of addresses as sorted ranges that neither overlap nor touch.
class AddressSet {
 public:
  void add(const Range& range) { pending_.push_back(range); }
  void add(const AddressSet& other);
  void remove(const Range& range);

  const std::vector<Range>& ranges() const;
  bool empty() const { return ranges().empty(); }
  bool contains(const Address& a) const;
  bool overlaps(const Range& range) const;

 private:
  mutable std::vector<Range> ranges_;
  mutable std::vector<Range> pending_;  // added, not merged in yet
};

// The addresses that Tailscale gives to nodes: 100.64.0.0/10 without ChromeOS's 100.115.92.0/23,
// and fd7a:115c:a1e0::/48. This is what `*` means.
const AddressSet& tailnet_addresses();

// Public addresses: what `autogroup:internet` means. IPv4 without private, shared and link-local
// space, and 2000::/3.
const AddressSet& internet_addresses();

}  // namespace es::policy

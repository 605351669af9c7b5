#include "native/policy/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>

namespace es::policy {
namespace {

// The longest text form, ffff:...:255.255.255.255, has 45 characters.
constexpr size_t kMaxAddressText = 45;

constexpr uint64_t low_mask(int bits) {
  return bits <= 0 ? 0 : bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

// The address with the lowest `bits` bits set or cleared.
Address with_host_bits(Address a, int bits, bool set) {
  const uint64_t lo = low_mask(bits);
  const uint64_t hi = low_mask(bits - 64);
  a.lo = set ? a.lo | lo : a.lo & ~lo;
  if (a.v6) a.hi = set ? a.hi | hi : a.hi & ~hi;
  return a;
}

std::optional<Address> next(Address a) {
  if (!a.v6) {
    if (a.lo == 0xffffffff) return std::nullopt;
    ++a.lo;
    return a;
  }
  if (++a.lo == 0 && ++a.hi == 0) return std::nullopt;
  return a;
}

std::optional<Address> previous(Address a) {
  if (!a.v6) {
    if (a.lo == 0) return std::nullopt;
    --a.lo;
    return a;
  }
  if (a.lo == 0 && a.hi == 0) return std::nullopt;
  if (a.lo-- == 0) --a.hi;
  return a;
}

// The length of the prefix that covers exactly this range, if there is one.
std::optional<int> prefix_length(const Range& r) {
  const int bits = r.first.bits();
  for (int host = 0; host <= bits; ++host) {
    const Address last = with_host_bits(r.first, host, true);
    if (last == r.last) {
      if (with_host_bits(r.first, host, false) == r.first) return bits - host;
      return std::nullopt;
    }
    if (last > r.last) return std::nullopt;
  }
  return std::nullopt;
}

std::string v6_text(const Address& a) {
  std::array<uint16_t, 8> group{};
  for (size_t i = 0; i < 8; ++i) {
    const uint64_t half = i < 4 ? a.hi : a.lo;
    group[i] = static_cast<uint16_t>(half >> (48 - 16 * (i % 4)));
  }
  if (a.hi == 0 && (a.lo >> 32) == 0xffff) {
    return "::ffff:" + Address::v4(static_cast<uint32_t>(a.lo)).text();
  }
  size_t best = 8;
  size_t best_len = 1;  // a run of one is written out (RFC 5952, 4.2.2)
  for (size_t i = 0; i < 8;) {
    size_t n = 0;
    while (i + n < 8 && group[i + n] == 0) ++n;
    if (n > best_len) {
      best = i;
      best_len = n;
    }
    i += n == 0 ? 1 : n;
  }
  std::string out;
  for (size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_len - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    std::array<char, 4> hex{};
    const auto end = std::to_chars(hex.data(), hex.data() + hex.size(), group[i], 16).ptr;
    out.append(hex.data(), end);
  }
  return out;
}

AddressSet make_set(std::initializer_list<const char*> add,
                    std::initializer_list<const char*> remove) {
  AddressSet set;
  for (const char* p : add) set.add(Prefix::parse(p)->range());
  for (const char* p : remove) set.remove(Prefix::parse(p)->range());
  return set;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxAddressText) return std::nullopt;
  const std::string copy(text);
  std::array<uint8_t, 16> raw{};
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  if (copy.find(':') == std::string::npos) {
    if (inet_pton(AF_INET, copy.c_str(), raw.data()) != 1) return std::nullopt;
    return v4(uint32_t{raw[0]} << 24 | uint32_t{raw[1]} << 16 | uint32_t{raw[2]} << 8 | raw[3]);
  }
  if (inet_pton(AF_INET6, copy.c_str(), raw.data()) != 1) return std::nullopt;
  Address a{true, 0, 0};
  for (size_t i = 0; i < 8; ++i) a.hi = a.hi << 8 | raw[i];
  for (size_t i = 8; i < 16; ++i) a.lo = a.lo << 8 | raw[i];
  return a;
}

std::string Address::text() const {
  if (v6) return v6_text(*this);
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (shift != 24) out += '.';
    out += std::to_string((lo >> shift) & 0xff);
  }
  return out;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return of(*address);
  const std::string_view tail = text.substr(slash + 1);
  int length = -1;
  const auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), length);
  if (error != std::errc{} || end != tail.data() + tail.size() || tail.size() > 3) {
    return std::nullopt;
  }
  if (tail[0] == '-' || (tail.size() > 1 && tail[0] == '0')) return std::nullopt;
  if (length < 0 || length > address->bits()) return std::nullopt;
  return Prefix{with_host_bits(*address, address->bits() - length, false), length};
}

Range Prefix::range() const {
  return {address, with_host_bits(address, address.bits() - length, true)};
}

Prefix Prefix::parent() const {
  if (length == 0) return *this;
  return {with_host_bits(address, address.bits() - length + 1, false), length - 1};
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

std::optional<Range> parse_range(std::string_view text) {
  if (const auto prefix = Prefix::parse(text)) return prefix->range();
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = Address::parse(text.substr(0, dash));
  const auto last = Address::parse(text.substr(dash + 1));
  if (!first || !last || first->v6 != last->v6 || *first > *last) return std::nullopt;
  return Range{*first, *last};
}

std::string range_text(const Range& range) {
  if (range.first == range.last) return range.first.text();
  if (const auto length = prefix_length(range)) return Prefix{range.first, *length}.text();
  return range.first.text() + "-" + range.last.text();
}

void AddressSet::add(const AddressSet& other) {
  const auto& more = other.ranges();
  pending_.insert(pending_.end(), more.begin(), more.end());
}

void AddressSet::remove(const Range& range) {
  std::vector<Range> left;
  for (const Range& r : ranges()) {
    if (!r.overlaps(range)) {
      left.push_back(r);
      continue;
    }
    if (r.first < range.first) left.push_back({r.first, *previous(range.first)});
    if (range.last < r.last) left.push_back({*next(range.last), r.last});
  }
  ranges_ = std::move(left);
}

const std::vector<Range>& AddressSet::ranges() const {
  if (pending_.empty()) return ranges_;
  pending_.insert(pending_.end(), ranges_.begin(), ranges_.end());
  std::sort(pending_.begin(), pending_.end());
  ranges_.clear();
  for (const Range& r : pending_) {
    if (!ranges_.empty() && ranges_.back().first.v6 == r.first.v6) {
      const auto after = next(ranges_.back().last);
      if (!after || r.first <= *after) {
        ranges_.back().last = std::max(ranges_.back().last, r.last);
        continue;
      }
    }
    ranges_.push_back(r);
  }
  pending_.clear();
  return ranges_;
}

bool AddressSet::contains(const Address& a) const { return overlaps({a, a}); }

bool AddressSet::overlaps(const Range& range) const {
  const auto& all = ranges();
  // The first range that does not end before `range` begins.
  const auto it = std::lower_bound(all.begin(), all.end(), range.first,
                                   [](const Range& r, const Address& a) { return r.last < a; });
  return it != all.end() && it->first <= range.last;
}

const AddressSet& tailnet_addresses() {
  static const AddressSet set =
      make_set({"100.64.0.0/10", "fd7a:115c:a1e0::/48"}, {"100.115.92.0/23"});
  return set;
}

const AddressSet& internet_addresses() {
  static const AddressSet set = make_set(
      {"0.0.0.0/0", "2000::/3"},
      {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"});
  return set;
}

}  // namespace es::policy

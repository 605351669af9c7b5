// Packet filters as clients receive them: FilterRule, NetPortRange, PortRange, CapGrant.
//
// Source: tailcfg.FilterRule and its parts, as shared by clients 1.80 and later. Rules describe
// what may come in to the node that receives them. Strings are already in wire form: `*`, an
// address, a prefix without host bits, or `first-last`. `SrcBits` and `Bits` are never written: a
// non-null one empties the whole filter on a client. Immutable once built, so parts are shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::tailcfg {

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 65535;  // inclusive

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct NetPortRange {
  std::string ip;
  PortRange ports;

  friend bool operator==(const NetPortRange&, const NetPortRange&) = default;
};

// One capability and its values; each value is JSON text. No values is written as null.
struct Capability {
  std::string name;
  std::vector<std::string> values;

  friend bool operator==(const Capability&, const Capability&) = default;
};
using CapMap = std::vector<Capability>;

struct CapGrant {
  std::vector<std::string> dsts;  // prefixes of the receiving node
  std::shared_ptr<const CapMap> cap_map;
};

// Either dst_ports or cap_grant is used. The source list is shared: with many nodes it is the big
// part, and the same one stands in the filters of many nodes.
struct FilterRule {
  std::shared_ptr<const std::vector<std::string>> src_ips;  // null is an empty list
  std::vector<NetPortRange> dst_ports;
  std::vector<int> ip_proto;  // empty: TCP, UDP, ICMPv4 and ICMPv6
  std::vector<CapGrant> cap_grant;
};

// Append the value's JSON to `out`.
void append_json(std::string& out, const CapMap& caps);
void append_json(std::string& out, const FilterRule& rule);
void append_json(std::string& out, const std::vector<FilterRule>& rules);

}  // namespace es::tailcfg

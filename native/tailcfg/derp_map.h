// tailcfg.DERPMap: the relays that clients may use, by region.
//
// Reads maps that others made (URLs, files) and writes the one that clients get. Names of members
// are matched in any case, as Go does, so that Headscale's YAML files (lower case) read the same.
// Unknown members are passed over; a member of the wrong type, a name with odd characters, or a
// number out of range refuses the whole map with a text that says where.
// Limits: kMaxDerpRegions, kMaxDerpNodes a region, texts of 255 bytes; ids are 1 to 65535.
// Threads: none.
#pragma once

#include "common/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::tailcfg {

inline constexpr size_t kMaxDerpRegions = 1024;
inline constexpr size_t kMaxDerpNodes = 64;

struct DerpNode {
  std::string name;
  std::string host_name;
  std::string cert_name;  // another name in the certificate, or "sha256-raw:<hex>"
  std::string ipv4;       // empty: from DNS; "none": not over IPv4
  std::string ipv6;
  int32_t stun_port = 0;  // 0: 3478, -1: no STUN here
  bool stun_only = false;
  int32_t derp_port = 0;  // 0: 443
  bool insecure_for_tests = false;
  std::string stun_test_ip;
  bool can_port80 = false;

  friend bool operator==(const DerpNode&, const DerpNode&) = default;
};

struct DerpRegion {
  uint32_t id = 0;
  std::string code;
  std::string name;
  std::optional<double> latitude;
  std::optional<double> longitude;
  bool avoid = false;
  bool no_measure_no_home = false;
  std::vector<DerpNode> nodes;  // at least one

  friend bool operator==(const DerpRegion&, const DerpRegion&) = default;
};

struct DerpMap {
  // Nothing: the region is taken out of the maps before this one.
  std::map<uint32_t, std::optional<DerpRegion>> regions;
  std::map<uint32_t, double> region_scores;  // HomeParams.RegionScore

  // What stands in `later` wins.
  void merge(const DerpMap& later);

  friend bool operator==(const DerpMap&, const DerpMap&) = default;
};

Result<DerpMap, std::string> read_derp_map(const nlohmann::json& object);
Result<DerpMap, std::string> parse_derp_map(std::string_view json);

// Regions without a value are left out; ids ascend, so equal maps are equal texts.
std::string to_json(const DerpMap& map);

}  // namespace es::tailcfg

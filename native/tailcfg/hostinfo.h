// What a client says about its host (tailcfg.Hostinfo), as far as the control server reads it.
//
// The rest is passed through: `full_json` is what the node itself gets back, `peer_json` the
// members that its peers need. Bounded: lists are cut, and a Hostinfo beyond kMaxHostinfoLen is
// refused.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::tailcfg {

inline constexpr size_t kMaxHostinfoLen = 64 * 1024;
inline constexpr size_t kMaxRoutableIps = 1024;
inline constexpr size_t kMaxRequestTags = 64;

struct Hostinfo {
  std::string hostname;  // as sent: may be empty or hold any characters
  std::string os;
  std::string os_version;
  std::string ipn_version;
  std::vector<std::string> routable_ips;  // prefixes as sent
  std::vector<std::string> request_tags;
  int32_t preferred_derp = 0;  // NetInfo.PreferredDERP; 0: none or no NetInfo
  std::string full_json = "{}";
  std::string peer_json = "{}";

  friend bool operator==(const Hostinfo&, const Hostinfo&) = default;
};

// `object` is a Hostinfo or null (then all is empty). nullopt when it is too large.
std::optional<Hostinfo> parse_hostinfo(const nlohmann::json& object);
// The same from stored text; anything unreadable is an empty Hostinfo.
Hostinfo hostinfo_of_text(std::string_view json);

}  // namespace es::tailcfg

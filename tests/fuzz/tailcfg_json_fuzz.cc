// What clients post inside Noise and what outside DERP maps hold: anything may come. What is
// accepted holds what the types promise, and a DERP map that is written reads back the same.
#include "native/tailcfg/derp_map.h"
#include "native/tailcfg/map_request.h"
#include "native/tailcfg/register.h"

#include <cstdlib>

namespace {

using namespace es::tailcfg;

void check(bool fine) {
  if (!fine) std::abort();
}

void check_host(const Hostinfo& host) {
  check(host.full_json.size() <= kMaxHostinfoLen);
  check(host.routable_ips.size() <= kMaxRoutableIps);
  check(host.request_tags.size() <= kMaxRequestTags);
  check(host.preferred_derp >= 0);
  // What is stored and given back reads as the same.
  check(hostinfo_of_text(host.full_json) == host);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto request = parse_register_request(text); request.ok()) {
    check(!request->node_key.is_zero());
    check_host(request->hostinfo);
  }
  if (const auto request = parse_map_request(text); request.ok()) {
    check(!request->node_key.is_zero());
    check(request->endpoints.size() <= kMaxEndpoints);
    check_host(request->hostinfo);
  }
  if (const auto map = parse_derp_map(text); map.ok()) {
    DerpMap kept = *map;
    std::erase_if(kept.regions, [](const auto& entry) { return !entry.second; });
    const std::string written = to_json(kept);
    const auto again = parse_derp_map(written);
    check(again.ok() && to_json(*again) == written);
  }
  return 0;
}

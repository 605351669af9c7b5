#include "native/tailcfg/hostinfo.h"

#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

namespace es::tailcfg {
namespace {

using nlohmann::json;

// What peers act on: naming and icons, peer API ports, SSH host keys, exit node choice.
constexpr const char* kPeerMembers[] = {"OS",       "Hostname",  "Services",     "sshHostKeys",
                                        "Location", "ShieldsUp", "AppConnector", "PeerRelay"};

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::optional<Hostinfo> parse_hostinfo(const json& object) {
  Hostinfo out;
  if (!object.is_object()) return out;
  out.full_json = dump(object);
  if (out.full_json.size() > kMaxHostinfoLen) return std::nullopt;
  out.hostname = text_member(object, "Hostname");
  out.os = text_member(object, "OS");
  out.os_version = text_member(object, "OSVersion");
  out.ipn_version = text_member(object, "IPNVersion");
  out.routable_ips = texts_member(object, "RoutableIPs", kMaxRoutableIps);
  out.request_tags = texts_member(object, "RequestTags", kMaxRequestTags);
  if (const auto net = object.find("NetInfo"); net != object.end() && net->is_object()) {
    const int64_t region = int_member(*net, "PreferredDERP");
    if (region > 0 && region <= INT32_MAX) out.preferred_derp = static_cast<int32_t>(region);
  }
  json peer = json::object();
  for (const char* name : kPeerMembers) {
    if (const auto it = object.find(name); it != object.end() && !it->is_null()) peer[name] = *it;
  }
  out.peer_json = dump(peer);
  return out;
}

Hostinfo hostinfo_of_text(std::string_view text) {
  const auto object = parse_json_object(text);
  if (!object) return {};
  return parse_hostinfo(*object).value_or(Hostinfo{});
}

}  // namespace es::tailcfg

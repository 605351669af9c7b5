#include "native/tailcfg/map_request.h"

#include "common/base/ip_address.h"
#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

namespace es::tailcfg {
namespace {

// "1.2.3.4:5" or "[2001:db8::1]:5": a peer that gets anything else drops the whole map.
bool is_endpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = parse_ip_address(host);
  if (!address || bracketed != (host.find(':') != std::string_view::npos)) return false;
  if (port.empty() || port.size() > 5) return false;
  uint32_t number = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number > 0 && number <= 65535;
}

}  // namespace

Result<MapRequest> parse_map_request(std::string_view text) {
  const auto object = parse_json_object(text);
  if (!object) return refuse("the map request is not a JSON object");
  MapRequest out;
  const int64_t version = int_member(*object, "Version");
  if (version < 0 || version > UINT16_MAX) return refuse("Version is out of range");
  out.version = static_cast<uint32_t>(version);
  const auto node_key = NodeKey::parse(text_member(*object, "NodeKey"));
  if (!node_key || node_key->is_zero()) return refuse("NodeKey is missing or malformed");
  out.node_key = *node_key;
  if (const std::string disco = text_member(*object, "DiscoKey"); !disco.empty()) {
    const auto key = DiscoKey::parse(disco);
    if (!key) return refuse("DiscoKey is malformed");
    out.disco_key = *key;
  }
  out.stream = bool_member(*object, "Stream");
  out.omit_peers = bool_member(*object, "OmitPeers");
  out.zstd = text_member(*object, "Compress") == "zstd";
  for (std::string& endpoint : texts_member(*object, "Endpoints", kMaxEndpoints)) {
    if (is_endpoint(endpoint)) out.endpoints.push_back(std::move(endpoint));
  }
  if (const auto host = object->find("Hostinfo"); host != object->end()) {
    auto parsed = parse_hostinfo(*host);
    if (!parsed) return refuse("Hostinfo is too large");
    out.hostinfo = std::move(*parsed);
  }
  return out;
}

}  // namespace es::tailcfg

#include "native/tailcfg/derp_map.h"

#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>

namespace es::tailcfg {
namespace {

using nlohmann::json;

constexpr size_t kMaxTextLen = 255;
constexpr int64_t kMaxRegionId = 65535;

bool same_letters(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// Reads the members of one object; the first problem is kept and makes all later ones moot.
class Reader {
 public:
  Reader(const json& object, std::string where, std::string& problem)
      : object_(object), where_(std::move(where)), problem_(problem) {}

  // Null counts as absent. Of names that differ in case only, the last wins, as in Go.
  const json* member(std::string_view name) const {
    const json* found = nullptr;
    for (auto it = object_.begin(); it != object_.end(); ++it) {
      if (same_letters(it.key(), name)) found = &it.value();
    }
    return found == nullptr || found->is_null() ? nullptr : found;
  }

  void text(std::string_view name, std::string& out) {
    const json* value = member(name);
    if (value == nullptr) return;
    // A YAML file's `regioncode: 900` is a number and meant as a text.
    if (value->is_number_integer()) {
      out = value->dump();
      return;
    }
    if (!value->is_string()) return fail(name, "is no text");
    const std::string& found = value->get_ref<const std::string&>();
    if (found.size() > kMaxTextLen) return fail(name, "is longer than 255 bytes");
    for (const char c : found) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7f) return fail(name, "holds a control character");
    }
    out = found;
  }
  void flag(std::string_view name, bool& out) {
    const json* value = member(name);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(name, "is neither true nor false");
    out = value->get<bool>();
  }
  void number(std::string_view name, int64_t low, int64_t high, int64_t& out) {
    const json* value = member(name);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return fail(name, "is no whole number");
    if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(high)) {
      return fail(name, "is out of range");
    }
    const auto found = value->get<int64_t>();
    if (found < low || found > high) return fail(name, "is out of range");
    out = found;
  }
  void degrees(std::string_view name, std::optional<double>& out) {
    const json* value = member(name);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(name, "is no number");
    const auto found = value->get<double>();
    if (!std::isfinite(found) || found < -360 || found > 360) return fail(name, "is out of range");
    out = found;
  }
  void fail(std::string_view name, std::string_view what) {
    if (!problem_.empty()) return;
    problem_ = where_ + (name.empty() ? "" : ": ") + std::string(name) + " " + std::string(what);
  }
  bool ok() const { return problem_.empty(); }
  const std::string& where() const { return where_; }

 private:
  const json& object_;
  const std::string where_;
  std::string& problem_;
};

bool is_host(std::string_view text) {
  return !text.empty() && text.find_first_of(" /\\@?#\"'<>[]") == std::string_view::npos;
}

DerpNode read_node(const json& object, uint32_t region, const std::string& where,
                   std::string& problem) {
  DerpNode out;
  Reader in(object, where, problem);
  if (!object.is_object()) {
    in.fail("", "is no node");
    return out;
  }
  int64_t its_region = region;
  int64_t stun_port = 0;
  int64_t derp_port = 0;
  in.text("Name", out.name);
  in.number("RegionID", 1, kMaxRegionId, its_region);
  in.text("HostName", out.host_name);
  in.text("CertName", out.cert_name);
  in.text("IPv4", out.ipv4);
  in.text("IPv6", out.ipv6);
  in.number("STUNPort", -1, 65535, stun_port);
  in.flag("STUNOnly", out.stun_only);
  in.number("DERPPort", 0, 65535, derp_port);
  in.flag("InsecureForTests", out.insecure_for_tests);
  in.text("STUNTestIP", out.stun_test_ip);
  in.flag("CanPort80", out.can_port80);
  if (its_region != region) in.fail("RegionID", "is not that of its region");
  if (out.name.empty()) in.fail("Name", "is missing");
  if (!is_host(out.host_name)) in.fail("HostName", "is missing or no host name");
  out.stun_port = static_cast<int32_t>(stun_port);
  out.derp_port = static_cast<int32_t>(derp_port);
  return out;
}

DerpRegion read_region(const json& object, uint32_t id, std::string& problem) {
  DerpRegion out;
  out.id = id;
  const std::string where = "region " + std::to_string(id);
  Reader in(object, where, problem);
  if (!object.is_object()) {
    in.fail("", "is no region");
    return out;
  }
  int64_t own_id = id;
  in.number("RegionID", 1, kMaxRegionId, own_id);
  if (own_id != id) in.fail("RegionID", "is not the key that it stands under");
  in.text("RegionCode", out.code);
  in.text("RegionName", out.name);
  in.degrees("Latitude", out.latitude);
  in.degrees("Longitude", out.longitude);
  in.flag("Avoid", out.avoid);
  in.flag("NoMeasureNoHome", out.no_measure_no_home);
  const json* nodes = in.member("Nodes");
  if (nodes == nullptr || !nodes->is_array() || nodes->empty()) {
    in.fail("Nodes", "is missing or empty");
    return out;
  }
  if (nodes->size() > kMaxDerpNodes) in.fail("Nodes", "has more than 64 entries");
  for (size_t i = 0; in.ok() && i < nodes->size(); ++i) {
    out.nodes.push_back(
        read_node((*nodes)[i], id, where + ", node " + std::to_string(i + 1), problem));
  }
  return out;
}

std::optional<uint32_t> region_id(std::string_view key) {
  uint32_t id = 0;
  const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), id);
  const bool sound = failed == std::errc() && end == key.data() + key.size();
  if (!sound || id == 0 || id > kMaxRegionId) return std::nullopt;
  return id;
}

json node_json(const DerpNode& node, uint32_t region) {
  json out = {{"Name", node.name}, {"RegionID", region}, {"HostName", node.host_name}};
  const auto put_text = [&](const char* name, const std::string& text) {
    if (!text.empty()) out[name] = text;
  };
  const auto put_flag = [&](const char* name, bool flag) {
    if (flag) out[name] = true;
  };
  put_text("CertName", node.cert_name);
  put_text("IPv4", node.ipv4);
  put_text("IPv6", node.ipv6);
  if (node.stun_port != 0) out["STUNPort"] = node.stun_port;
  put_flag("STUNOnly", node.stun_only);
  if (node.derp_port != 0) out["DERPPort"] = node.derp_port;
  put_flag("InsecureForTests", node.insecure_for_tests);
  put_text("STUNTestIP", node.stun_test_ip);
  put_flag("CanPort80", node.can_port80);
  return out;
}

}  // namespace

void DerpMap::merge(const DerpMap& later) {
  for (const auto& [id, region] : later.regions) regions[id] = region;
  for (const auto& [id, score] : later.region_scores) region_scores[id] = score;
}

Result<DerpMap, std::string> read_derp_map(const json& object) {
  if (!object.is_object()) return std::string("is no DERP map: an object with Regions is expected");
  DerpMap out;
  std::string problem;
  const Reader in(object, "the DERP map", problem);
  if (const json* regions = in.member("Regions")) {
    if (!regions->is_object()) return std::string("Regions is no object of regions by their id");
    if (regions->size() > kMaxDerpRegions) return std::string("Regions has more than 1024 entries");
    for (auto it = regions->begin(); it != regions->end(); ++it) {
      const auto id = region_id(it.key());
      if (!id) return std::string("Regions has a key that is no id from 1 to 65535");
      if (it.value().is_null()) {
        out.regions[*id] = std::nullopt;
      } else {
        out.regions[*id] = read_region(it.value(), *id, problem);
        if (!problem.empty()) return problem;
      }
    }
  }
  const json* params = in.member("HomeParams");
  if (params == nullptr || !params->is_object()) return out;
  const json* scores = Reader(*params, "HomeParams", problem).member("RegionScore");
  if (scores == nullptr || !scores->is_object()) return out;
  for (auto it = scores->begin(); it != scores->end(); ++it) {
    const auto id = region_id(it.key());
    const bool sound = id && it.value().is_number() && std::isfinite(it.value().get<double>()) &&
                       it.value().get<double>() >= 0;
    if (!sound) return std::string("HomeParams.RegionScore has an entry that is no score");
    out.region_scores[*id] = it.value().get<double>();
  }
  return out;
}

Result<DerpMap, std::string> parse_derp_map(std::string_view text) {
  const auto object = parse_json_object(text);
  if (!object) return std::string("is no JSON object");
  return read_derp_map(*object);
}

std::string to_json(const DerpMap& map) {
  json regions = json::object();
  for (const auto& [id, region] : map.regions) {
    if (!region) continue;
    json nodes = json::array();
    for (const DerpNode& node : region->nodes) nodes.push_back(node_json(node, id));
    json out = {{"RegionID", id},
                {"RegionCode", region->code},
                {"RegionName", region->name},
                {"Nodes", std::move(nodes)}};
    if (region->latitude) out["Latitude"] = *region->latitude;
    if (region->longitude) out["Longitude"] = *region->longitude;
    if (region->avoid) out["Avoid"] = true;
    if (region->no_measure_no_home) out["NoMeasureNoHome"] = true;
    regions[std::to_string(id)] = std::move(out);
  }
  json out = {{"Regions", std::move(regions)}};
  for (const auto& [id, score] : map.region_scores) {
    out["HomeParams"]["RegionScore"][std::to_string(id)] = score;
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace es::tailcfg

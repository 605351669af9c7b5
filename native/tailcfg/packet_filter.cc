#include "native/tailcfg/packet_filter.h"

#include "common/base/json_text.h"

namespace es::tailcfg {
namespace {

void append_port(std::string& out, const NetPortRange& port) {
  out += "{\"IP\":";
  append_json_string(out, port.ip);
  out += ",\"Ports\":{\"First\":";
  out += std::to_string(port.ports.first);
  out += ",\"Last\":";
  out += std::to_string(port.ports.last);
  out += "}}";
}

void append_grant(std::string& out, const CapGrant& grant) {
  out += "{\"Dsts\":";
  append_json_strings(out, grant.dsts);
  if (grant.cap_map != nullptr && !grant.cap_map->empty()) {
    out += ",\"CapMap\":";
    append_json(out, *grant.cap_map);
  }
  out += '}';
}

}  // namespace

void append_json(std::string& out, const CapMap& caps) {
  out += '{';
  for (size_t i = 0; i < caps.size(); ++i) {
    if (i != 0) out += ',';
    append_json_string(out, caps[i].name);
    out += ':';
    if (caps[i].values.empty()) {
      out += "null";
      continue;
    }
    append_json_array(out, caps[i].values, [&](const std::string& value) { out += value; });
  }
  out += '}';
}

void append_json(std::string& out, const FilterRule& rule) {
  out += "{\"SrcIPs\":";
  if (rule.src_ips == nullptr) {
    out += "[]";
  } else {
    append_json_strings(out, *rule.src_ips);
  }
  if (!rule.dst_ports.empty()) {
    out += ",\"DstPorts\":";
    append_json_array(out, rule.dst_ports, [&](const auto& port) { append_port(out, port); });
  }
  if (!rule.ip_proto.empty()) {
    out += ",\"IPProto\":";
    append_json_array(out, rule.ip_proto, [&](int protocol) { out += std::to_string(protocol); });
  }
  if (!rule.cap_grant.empty()) {
    out += ",\"CapGrant\":";
    append_json_array(out, rule.cap_grant, [&](const auto& grant) { append_grant(out, grant); });
  }
  out += '}';
}

void append_json(std::string& out, const std::vector<FilterRule>& rules) {
  append_json_array(out, rules, [&](const FilterRule& rule) { append_json(out, rule); });
}

}  // namespace es::tailcfg

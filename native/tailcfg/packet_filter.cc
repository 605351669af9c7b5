#include "native/tailcfg/packet_filter.h"

#include "common/base/json_text.h"

namespace es::tailcfg {
namespace {

void append_ports(std::string& out, const std::vector<NetPortRange>& ports) {
  out += '[';
  for (size_t i = 0; i < ports.size(); ++i) {
    if (i != 0) out += ',';
    out += "{\"IP\":";
    append_json_string(out, ports[i].ip);
    out += ",\"Ports\":{\"First\":";
    out += std::to_string(ports[i].ports.first);
    out += ",\"Last\":";
    out += std::to_string(ports[i].ports.last);
    out += "}}";
  }
  out += ']';
}

void append_grants(std::string& out, const std::vector<CapGrant>& grants) {
  out += '[';
  for (size_t i = 0; i < grants.size(); ++i) {
    if (i != 0) out += ',';
    out += "{\"Dsts\":";
    append_json_strings(out, grants[i].dsts);
    if (grants[i].cap_map != nullptr && !grants[i].cap_map->empty()) {
      out += ",\"CapMap\":";
      append_json(out, *grants[i].cap_map);
    }
    out += '}';
  }
  out += ']';
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
    out += '[';
    for (size_t k = 0; k < caps[i].values.size(); ++k) {
      if (k != 0) out += ',';
      out += caps[i].values[k];
    }
    out += ']';
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
    append_ports(out, rule.dst_ports);
  }
  if (!rule.ip_proto.empty()) {
    out += ",\"IPProto\":[";
    for (size_t i = 0; i < rule.ip_proto.size(); ++i) {
      if (i != 0) out += ',';
      out += std::to_string(rule.ip_proto[i]);
    }
    out += ']';
  }
  if (!rule.cap_grant.empty()) {
    out += ",\"CapGrant\":";
    append_grants(out, rule.cap_grant);
  }
  out += '}';
}

void append_json(std::string& out, const std::vector<FilterRule>& rules) {
  out += '[';
  for (size_t i = 0; i < rules.size(); ++i) {
    if (i != 0) out += ',';
    append_json(out, rules[i]);
  }
  out += ']';
}

}  // namespace es::tailcfg

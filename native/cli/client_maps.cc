#include "native/cli/client_maps.h"

#include "common/base/ip_address.h"
#include "common/base/ip_prefix.h"
#include "native/cli/file_text.h"
#include "native/cli/values.h"
#include "native/cli/yaml_tree.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cstdlib>
#include <utility>

namespace es::cli {
namespace {

using nlohmann::json;

constexpr size_t kMaxRecordBytes = 4 * 1024 * 1024;
constexpr size_t kMaxRecords = 10'000;
// A /8 of IPv4 has 256 zones of two octets; a smaller prefix length is split no further.
constexpr uint8_t kWidestReverseV4 = 8;

json resolvers(const TextList& addresses) {
  json array = json::array();
  for (const std::string& address : addresses) array.push_back({{"Addr", address}});
  return array;
}

// "64.100.in-addr.arpa" and so on: the zones that lie inside the prefix, cut at the next octet.
void add_reverse_zones_v4(const IpPrefix& prefix, json& routes) {
  if (prefix.len < kWidestReverseV4) return;
  const unsigned octets = (prefix.len + 7U) / 8U;
  const unsigned free_bits = octets * 8U - prefix.len;
  std::string tail;
  for (unsigned i = 0; i + 1 < octets; ++i) {
    tail = std::to_string(prefix.base.bytes[i]) + "." + tail;
  }
  const unsigned first = prefix.base.bytes[octets - 1];
  for (unsigned i = 0; i < (1U << free_bits); ++i) {
    routes[std::to_string(first + i) + "." + tail + "in-addr.arpa"] = json::array();
  }
}

// One zone of whole nibbles: clients are asked for nothing finer.
void add_reverse_zone_v6(const IpPrefix& prefix, json& routes) {
  static constexpr char kHex[] = "0123456789abcdef";
  const unsigned nibbles = prefix.len / 4U;
  if (nibbles == 0) return;
  std::string zone;
  for (unsigned i = nibbles; i-- > 0;) {
    const uint8_t byte = prefix.base.bytes[i / 2];
    zone += kHex[i % 2 == 0 ? byte >> 4U : byte & 15U];
    zone += '.';
  }
  routes[zone + "ip6.arpa"] = json::array();
}

void add_reverse_zones(const PrefixesConfig& prefixes, json& routes) {
  if (const auto v4 = parse_ip_prefix(prefixes.v4); v4.ok()) add_reverse_zones_v4(*v4, routes);
  if (const auto v6 = parse_ip_prefix(prefixes.v6); v6.ok()) add_reverse_zone_v6(*v6, routes);
}

bool is_inside(std::string_view name, std::string_view domain) {
  return !domain.empty() &&
         (name == domain || (name.size() > domain.size() && name.ends_with(domain) &&
                             name[name.size() - domain.size() - 1] == '.'));
}

// What a plain scalar means in YAML's core schema, as far as a DERP map has such values.
json scalar(const YamlNode& node) {
  if (node.quoted) return node.text;
  if (node.text == "true" || node.text == "True") return true;
  if (node.text == "false" || node.text == "False") return false;
  const char* const begin = node.text.data();
  const char* const end = begin + node.text.size();
  int64_t whole = 0;
  if (const auto [at, failed] = std::from_chars(begin, end, whole);
      failed == std::errc() && at == end) {
    return whole;
  }
  double real = 0;
  if (const auto [at, failed] = std::from_chars(begin, end, real);
      failed == std::errc() && at == end) {
    return real;
  }
  return node.text;
}

json json_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kScalar:
      return scalar(node);
    case YamlNode::Kind::kList: {
      json out = json::array();
      for (const YamlNode& item : node.items) out.push_back(json_of(item));
      return out;
    }
    case YamlNode::Kind::kMap: {
      json out = json::object();
      for (const YamlEntry& entry : node.entries) out[entry.key] = json_of(entry.value);
      return out;
    }
    case YamlNode::Kind::kNull:
      break;
  }
  return nullptr;
}

// With the path in the error.
Result<FileText, std::string> read_file(const std::string& path, size_t max_bytes) {
  auto file = read_file_text(path, max_bytes);
  if (!file.ok()) return path + " " + file.error();
  return file;
}

}  // namespace

std::string server_url_of(const Config& config) {
  std::string url = config.server_url;
  if (url.empty()) {
    url = (config.tls.cert_path.empty() ? "http://" : "https://") + config.listen_addr;
  }
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::pair<std::string, uint16_t> host_and_port(std::string_view url) {
  const bool tls = url.starts_with("https://");
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  const size_t close = url.find(']');
  const size_t colon = url.find(':', close == std::string_view::npos ? 0 : close);
  std::string host(url.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  uint16_t port = tls ? 443 : 80;
  if (colon != std::string_view::npos) {
    port = static_cast<uint16_t>(
        std::strtoul(std::string(url.substr(colon + 1)).c_str(), nullptr, 10));
  }
  return {std::move(host), port};
}

std::string dns_config_json(const Config& config, const std::vector<DnsRecord>& records) {
  const DnsConfig& dns = config.dns;
  json out = json::object();
  json routes = json::object();
  json domains = json::array();
  if (!dns.base_domain.empty()) domains.push_back(dns.base_domain);
  for (const std::string& domain : dns.search_domains) {
    if (domain != dns.base_domain) domains.push_back(domain);
  }
  if (dns.magic_dns) {
    out["Proxied"] = true;
    if (!dns.base_domain.empty()) routes[dns.base_domain] = json::array();
    add_reverse_zones(config.prefixes, routes);
    for (const DnsRecord& record : records) {
      if (!is_inside(record.name, dns.base_domain)) routes[record.name] = json::array();
    }
  }
  // What the operator says of a domain wins.
  for (const auto& [suffix, servers] : dns.nameservers_split) routes[suffix] = resolvers(servers);
  if (!domains.empty()) out["Domains"] = std::move(domains);
  if (!routes.empty()) out["Routes"] = std::move(routes);
  if (!dns.nameservers_global.empty()) {
    out[dns.override_local_dns ? "Resolvers" : "FallbackResolvers"] =
        resolvers(dns.nameservers_global);
  }
  for (const DnsRecord& record : records) {
    out["ExtraRecords"].push_back(
        {{"Name", record.name}, {"Type", record.type}, {"Value", record.value}});
  }
  return out.dump();
}

std::optional<tailcfg::DerpRegion> embedded_region(const Config& config) {
  const DerpServerConfig& server = config.derp.server;
  if (!server.enabled || !server.automatically_add_embedded_derp_region) return std::nullopt;
  const auto [host, port] = host_and_port(server_url_of(config));
  tailcfg::DerpRegion region;
  region.id = server.region_id;
  region.code = server.region_code;
  region.name = server.region_name;
  tailcfg::DerpNode node;
  node.name = std::to_string(server.region_id) + "a";
  node.host_name = host;
  node.derp_port = port == 443 ? 0 : port;
  node.ipv4 = server.ipv4;
  node.ipv6 = server.ipv6;
  const auto stun = parse_listen_address(server.stun_listen_addr);
  node.stun_port = server.stun_enabled && stun ? stun->port : -1;
  region.nodes.push_back(std::move(node));
  return region;
}

Result<tailcfg::DerpMap, std::string> read_derp_map_file(const std::string& path) {
  ES_TRY(const FileText file, read_file(path, kMaxYamlBytes));
  const auto tree = parse_yaml(file.text);
  if (!tree.ok()) {
    return path + ":" + std::to_string(tree.error().line) + ":" +
           std::to_string(tree.error().column) + ": " + tree.error().reason;
  }
  auto map = tailcfg::read_derp_map(json_of(*tree));
  if (!map.ok()) return path + ": " + map.error();
  return map;
}

Result<std::vector<DnsRecord>, std::string> parse_extra_records(std::string_view text) {
  const json list = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return std::string("is no JSON array of records");
  if (list.size() > kMaxRecords) return std::string("has more than 10000 records");
  std::vector<DnsRecord> out;
  const auto text_of = [](const json& item, const char* name) {
    const auto it = item.find(name);
    return it != item.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  for (size_t i = 0; i < list.size(); ++i) {
    const json& item = list[i];
    const std::string where = "record " + std::to_string(i + 1) + ": ";
    if (!item.is_object()) return where + "expected {name, type, value}";
    DnsRecord record{text_of(item, "name"), text_of(item, "type"), text_of(item, "value")};
    if (record.name.ends_with('.')) record.name.pop_back();
    if (!is_dns_name(record.name)) return where + "the name is not a DNS name";
    const auto family = parse_ip(record.value);
    if (!family) return where + "the value is not an address";
    const char* const fitting = *family == IpFamily::kV4 ? "A" : "AAAA";
    if (record.type.empty()) record.type = fitting;
    if (record.type != fitting) {
      return where + "the type must be " + fitting + " for this address: clients ignore others";
    }
    out.push_back(std::move(record));
  }
  return out;
}

Result<std::vector<DnsRecord>, std::string> read_extra_records(const std::string& path) {
  ES_TRY(const FileText file, read_file(path, kMaxRecordBytes));
  auto records = parse_extra_records(file.text);
  if (!records.ok()) return path + " " + records.error();
  return records;
}

}  // namespace es::cli

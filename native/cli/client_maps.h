// The two parts of a map that are the same for every client, made from the configuration and its
// files: the DNS configuration and the DERP map.
//
// Pure but for the two functions that read a file. Threads: none.
#pragma once

#include "common/base/result.h"
#include "native/cli/config.h"
#include "native/tailcfg/derp_map.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::cli {

// server_url without a trailing slash, or what listen_addr makes of it.
std::string server_url_of(const Config& config);

// Host (without brackets) and port of "https://host:port/path"; the scheme's port without one.
std::pair<std::string, uint16_t> host_and_port(std::string_view url);

// MapResponse.DNSConfig as JSON; `records` are the extra records, from wherever.
// With MagicDNS, the base domain, the reverse zones of the prefixes and the names of records
// outside of the base domain are routed to the client itself.
std::string dns_config_json(const Config& config, const std::vector<DnsRecord>& records);

// The region of the relay in this process, at the host and port of server_url; nothing when there
// is none or it is not to be added.
std::optional<tailcfg::DerpRegion> embedded_region(const Config& config);

// derp.paths: YAML or JSON, at most 256 KiB. The error begins with the path.
Result<tailcfg::DerpMap, std::string> read_derp_map_file(const std::string& path);

// dns.extra_records_path: a JSON array of {name, type, value}, at most 4 MiB and 10000 records; the
// type may be absent: it follows from the address. The error begins with the path.
Result<std::vector<DnsRecord>, std::string> read_extra_records(const std::string& path);
Result<std::vector<DnsRecord>, std::string> parse_extra_records(std::string_view json);

}  // namespace es::cli

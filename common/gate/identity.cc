#include "common/gate/identity.h"

#include <optional>

namespace es::gate {
namespace {

bool is_trusted(const IpAddress& address, std::span<const IpPrefix> trusted) {
  for (const IpPrefix& block : trusted) {
    if (block.contains(address)) return true;
  }
  return false;
}

// Takes the last element off a comma-separated list.
std::string_view pop_last(std::string_view& list) {
  const size_t comma = list.rfind(',');
  std::string_view last = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = comma == std::string_view::npos ? std::string_view{} : list.substr(0, comma);
  while (!last.empty() && (last.front() == ' ' || last.front() == '\t')) last.remove_prefix(1);
  while (!last.empty() && (last.back() == ' ' || last.back() == '\t')) last.remove_suffix(1);
  return last;
}

}  // namespace

Result<IpPrefix> parse_trusted_proxy(std::string_view text) {
  if (const auto address = parse_ip_address(text)) {
    return IpPrefix{*address, static_cast<uint8_t>(num_address_bits(address->family))};
  }
  ES_TRY(const IpPrefix prefix, parse_ip_prefix(text));
  if (prefix.len == 0) return refuse("a prefix of length 0 would trust every address");
  return prefix;
}

IpAddress client_behind(const IpAddress& peer, std::string_view forwarded_for,
                        std::span<const IpPrefix> trusted_proxies) {
  IpAddress client = peer;
  while (!forwarded_for.empty() && is_trusted(client, trusted_proxies)) {
    const std::optional<IpAddress> hop = parse_ip_address(pop_last(forwarded_for));
    if (!hop) break;
    client = *hop;
  }
  return client;
}

}  // namespace es::gate

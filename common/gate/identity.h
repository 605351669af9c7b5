// Who asks: the address that a request counts against and is signed for.
#pragma once

#include "common/base/ip_prefix.h"
#include "common/base/result.h"

#include <span>
#include <string_view>

namespace es::gate {

// A prefix, or an address alone for a block of one. Refuses length 0, which would trust everybody.
Result<IpPrefix> parse_trusted_proxy(std::string_view text);

// The client behind `peer`. While the hop is a trusted proxy, its own claim counts: the addresses
// of `forwarded_for` (X-Forwarded-For: appended to by every proxy) from the right, up to the first
// that is no trusted proxy. What stands further left is the client's word and is never read.
IpAddress client_behind(const IpAddress& peer, std::string_view forwarded_for,
                        std::span<const IpPrefix> trusted_proxies);

}  // namespace es::gate

#include "native/derp/upgrade.h"

#include "common/base/hex.h"
#include "common/base/ip_address.h"
#include "native/net/websocket_stream.h"

#include <algorithm>
#include <string>
#include <utility>

namespace es::derp {

net::Response upgrade_required() {
  net::Response response = net::text_response(426, "DERP requires connection upgrade");
  response.fields.push_back({"Upgrade", "DERP"});
  return response;
}

Endpoint endpoint_of(std::string_view client_address) {
  Endpoint out;
  const auto address = parse_ip_address(client_address);
  if (!address) return out;
  if (address->family == IpAddress::Family::kIpv6) {
    out.ip = address->bytes;
  } else {
    out.ip[10] = out.ip[11] = 0xff;
    std::copy_n(address->bytes.begin(), 4, out.ip.begin() + 12);
  }
  return out;
}

net::UpgradeHandler upgrade_handler(Hub& hub) {
  return [&hub](net::Upgrade upgrade) {
    const net::Request& request = upgrade.request();
    const std::string_view protocol = request.field("Upgrade").value_or("");
    const Endpoint source = endpoint_of(request.client_address);
    if (net::same_name(protocol, "websocket")) {
      return net::accept_stream(std::move(upgrade), "derp",
                                [&hub, source](std::unique_ptr<net::ByteStream> stream) {
                                  hub.serve(std::move(stream), source);
                                });
    }
    if (!net::same_name(protocol, "DERP")) return std::move(upgrade).refuse(upgrade_required());
    const bool fast_start = request.field("Derp-Fast-Start") == "1";
    auto stream =
        fast_start ? std::move(upgrade).take_silently()
                   : std::move(upgrade).take({{"Upgrade", "DERP"},
                                              {"Derp-Version", std::to_string(kProtocolVersion)},
                                              {"Derp-Public-Key", hex_encode(hub.public_key())}});
    hub.serve(std::move(stream), source);
  };
}

}  // namespace es::derp

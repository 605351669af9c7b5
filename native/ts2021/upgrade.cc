#include "native/ts2021/upgrade.h"

#include "common/base/base64.h"

#include <utility>

namespace es::ts2021 {

Result<std::vector<uint8_t>> decode_handshake(std::string_view text) {
  if (text.empty()) return refuse("missing Tailscale handshake header");
  std::array<uint8_t, 2 * noise::kInitiationLen> bytes;
  const auto len = base64_decode(text, Base64Alphabet::kStandardPadded, bytes);
  if (!len) return refuse("invalid tailscale handshake header");
  return std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*len));
}

net::UpgradeHandler upgrade_handler(Options options, MakeKeys make_keys,
                                    std::function<void(const Error&)> on_failed) {
  return [options = std::move(options), make_keys = std::move(make_keys),
          on_failed = std::move(on_failed)](net::Upgrade upgrade) {
    const net::Request& request = upgrade.request();
    const auto protocol = request.field("Upgrade");
    if (!protocol || !net::same_name(*protocol, kUpgradeName)) {
      const char* const why = protocol ? "unknown next protocol" : "missing next protocol";
      return std::move(upgrade).refuse(net::text_response(400, why));
    }
    const auto initiation = decode_handshake(request.field(kHandshakeHeader).value_or(""));
    if (!initiation.ok()) {
      return std::move(upgrade).refuse(
          net::text_response(400, std::string(initiation.error().what)));
    }
    // Clients compare the value byte for byte.
    auto stream = std::move(upgrade).take({{"Upgrade", std::string(kUpgradeName)}});
    const Status status = Connection::serve(std::move(stream), make_keys(), *initiation, options);
    if (!status.ok() && on_failed) on_failed(status.error());
  };
}

}  // namespace es::ts2021

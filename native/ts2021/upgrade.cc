#include "native/ts2021/upgrade.h"

#include "common/base/base64.h"
#include "native/net/websocket_stream.h"

#include <utility>

namespace es::ts2021 {

Result<std::vector<uint8_t>> decode_handshake(std::string_view text) {
  if (text.empty()) return refuse("missing Tailscale handshake header");
  std::array<uint8_t, 2 * noise::kInitiationLen> bytes;
  const auto len = base64_decode(text, Base64Alphabet::kStandardPadded, bytes);
  if (!len) return refuse("invalid tailscale handshake header");
  return std::vector<uint8_t>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*len));
}

namespace {

struct Settings {
  Options options;
  MakeKeys make_keys;
  std::function<void(const Error&)> on_failed;

  void serve(std::unique_ptr<net::ByteStream> stream, const Keys& keys, Bytes initiation,
             HalfOpen::Place place) const {
    const Status status =
        Connection::serve(std::move(stream), keys, initiation, options, std::move(place));
    if (!status.ok() && on_failed) on_failed(status.error());
  }
};

void refuse_upgrade(net::Upgrade upgrade, std::string_view why) {
  std::move(upgrade).refuse(net::text_response(400, std::string(why)));
}

// Clients try again by themselves, at growing intervals.
void refuse_crowd(net::Upgrade upgrade) {
  net::Response response = net::text_response(503, "too many handshakes at once");
  response.fields.push_back({"Retry-After", "1"});
  std::move(upgrade).refuse(std::move(response));
}

void serve_web_socket(const std::shared_ptr<const Settings>& settings, net::Upgrade upgrade,
                      HalfOpen::Place place) {
  const auto text = upgrade.request().query_value(kHandshakeHeader);
  auto initiation = decode_handshake(text.value_or(""));
  if (!initiation.ok()) return refuse_upgrade(std::move(upgrade), initiation.error().what);
  net::accept_stream(std::move(upgrade), kUpgradeName,
                     [settings, initiation = std::move(initiation).value(),
                      place = std::move(place)](std::unique_ptr<net::ByteStream> stream) mutable {
                       Keys keys = settings->make_keys();
                       keys.challenge_public.reset();
                       settings->serve(std::move(stream), keys, initiation, std::move(place));
                     });
}

}  // namespace

net::UpgradeHandler upgrade_handler(Options options, MakeKeys make_keys,
                                    std::function<void(const Error&)> on_failed) {
  const auto settings = std::make_shared<const Settings>(
      Settings{std::move(options), std::move(make_keys), std::move(on_failed)});
  return [settings](net::Upgrade upgrade) {
    const net::Request& request = upgrade.request();
    const auto protocol = request.field("Upgrade");
    if (!protocol) return refuse_upgrade(std::move(upgrade), "missing next protocol");
    const bool web_socket = net::same_name(*protocol, "websocket");
    if (!web_socket && !net::same_name(*protocol, kUpgradeName)) {
      return refuse_upgrade(std::move(upgrade), "unknown next protocol");
    }
    HalfOpen::Place place;
    if (HalfOpen* const half_open = settings->options.half_open; half_open != nullptr) {
      place = half_open->take(request.client_address, settings->options.clock());
      if (place == nullptr) return refuse_crowd(std::move(upgrade));
    }
    if (web_socket) return serve_web_socket(settings, std::move(upgrade), std::move(place));
    const auto initiation = decode_handshake(request.field(kHandshakeHeader).value_or(""));
    if (!initiation.ok()) return refuse_upgrade(std::move(upgrade), initiation.error().what);
    // Clients compare the value byte for byte.
    auto stream = std::move(upgrade).take({{"Upgrade", std::string(kUpgradeName)}});
    settings->serve(std::move(stream), settings->make_keys(), *initiation, std::move(place));
  };
}

}  // namespace es::ts2021

#include "native/api/relay_routes.h"

#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

#include <memory>
#include <utility>

namespace es::api {
namespace {

constexpr size_t kMaxVerifyBody = 4096;

net::Response verify(const RelayOptions& options, const net::Request& request) {
  if (request.body.size() > kMaxVerifyBody)
    return net::error_response(413, "the body is too large");
  const auto object = tailcfg::parse_json_object(request.body);
  if (!object) return net::error_response(400, "the body is not a JSON object");
  // {"NodePublic":"nodekey:...","Source":"<ip>"}; where the client is does not matter here.
  const auto key = tailcfg::NodeKey::parse(tailcfg::text_member(*object, "NodePublic"));
  if (!key || key->is_zero()) return net::error_response(400, "NodePublic is no node key");
  return net::json_response(200, options.knows(*key) ? "{\"Allow\":true}" : "{\"Allow\":false}");
}

}  // namespace

void add_relay_routes(net::Router& router, RelayOptions options) {
  const auto shared = std::make_shared<const RelayOptions>(std::move(options));
  router.add("POST", "/verify", [shared](const net::Request& request, const net::Reply& reply) {
    reply(verify(*shared, request));
  });
  router.add(
      "GET", "/bootstrap-dns", [shared](const net::Request& request, const net::Reply& reply) {
        reply(
            net::json_response(200, shared->bootstrap_dns(request.query_value("q").value_or(""))));
      });
}

}  // namespace es::api

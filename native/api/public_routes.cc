#include "native/api/public_routes.h"

#include "native/api/page.h"
#include "native/net/websocket.h"

#include <charconv>
#include <memory>
#include <utility>

namespace es::api {
namespace {

using net::Reply;
using net::Request;
using net::Response;

constexpr std::string_view kFrontText =
    "<p>It connects machines that run Tailscale. One asks to join with</p>\n"
    "<pre>tailscale up --login-server=URL</pre>\n"
    "<p class=\"dim\">and the URL that its operator gave you.</p>\n";

struct State {
  explicit State(PublicOptions o) : options(std::move(o)), health(options.database) {}

  PublicOptions options;
  telemetry::Health health;
};

Response with_type(unsigned status, std::string_view type, std::string_view body) {
  return {status, {{"Content-Type", std::string(type)}}, std::string(body)};
}

std::string version_body(const PublicOptions& o) {
#if defined(__x86_64__)
  constexpr std::string_view kArch = "amd64";
#elif defined(__aarch64__)
  constexpr std::string_view kArch = "arm64";
#else
  constexpr std::string_view kArch = "unknown";
#endif
  // Every value is ours: nothing to escape. There is no Go here; the member is part of the shape.
  std::string body = "{\"version\":\"";
  body += kHeadscaleVersion;
  body += "+edgescale." + o.version;
  body += "\",\"commit\":\"" + o.commit + "\",\"buildTime\":\"" + o.build_time;
  body += "\",\"go\":{\"version\":\"\",\"os\":\"linux\",\"arch\":\"";
  body += kArch;
  body += "\"},\"dirty\":";
  body += o.dirty ? "true" : "false";
  body += "}";
  return body;
}

Response key_answer(const PublicOptions& options, const Request& request) {
  const auto text = request.query_value("v");
  int version = 0;
  if (!text || text->empty())
    return net::error_response(400, "the capability version v is missing");
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), version);
  if (failed != std::errc() || end != text->data() + text->size() || version < 0) {
    return net::error_response(400, "the capability version v is no number");
  }
  if (version < kMinNoiseCapability) return with_type(200, "application/json", "");
  return net::json_response(200, "{\"legacyPublicKey\":\"mkey:" + std::string(64, '0') +
                                     "\",\"publicKey\":\"" + options.noise_public_key + "\"}");
}

}  // namespace

void add_public_routes(net::Router& router, PublicOptions options) {
  const auto state = std::make_shared<State>(std::move(options));

  router.add("GET", "/health", [state](const Request&, const Reply& reply) {
    state->health.ask(state->options.monotonic(), [reply](telemetry::Verdict verdict) {
      const bool pass = verdict == telemetry::Verdict::kPass;
      reply(with_type(pass ? 200 : 500, "application/health+json",
                      pass ? R"({"status":"pass"})" : R"({"status":"fail"})"));
    });
  });
  router.add("GET", "/version",
             [body = version_body(state->options)](const Request&, const Reply& reply) {
               reply(net::json_response(200, body));
             });
  router.add("GET", "/key", [state](const Request& request, const Reply& reply) {
    reply(key_answer(state->options, request));
  });
  router.add("GET", "/robots.txt", [](const Request&, const Reply& reply) {
    reply(net::text_response(200, "User-agent: *\nDisallow: /\n"));
  });
  router.add("GET", "/", [](const Request&, const Reply& reply) {
    reply(with_type(200, "text/html; charset=utf-8",
                    page_document("A control server is running here", kFrontText)));
  });
  router.add(
      "GET", "/api/v1/edge",
      [](const Request& request, const Reply& reply) {
        // Literals, an address and a number: nothing to escape.
        std::string body = "{\"signature\":\"" + request.edge.signature +
                           "\",\"clientAddress\":\"" + request.client_address + "\",\"ageMs\":";
        body += request.edge.age ? std::to_string(request.edge.age->count()) : "null";
        reply(net::json_response(200, body + "}"));
      },
      net::Access::kApiKey);
  router.add_upgrade("GET", "/ws", net::websocket_echo({}), net::Access::kApiKey);
}

}  // namespace es::api

// /api/v1/auth and /api/v1/node/register: registrations and SSH log-ins that wait for an operator.
#include "common/base/ip_prefix.h"
#include "common/base/rfc3339.h"
#include "common/token/token.h"
#include "native/api/answers.h"
#include "native/api/body.h"
#include "native/api/render.h"
#include "native/api/v1.h"

namespace es::api {
namespace {

using net::Reply;
using net::Request;

// Headscale's word for it, in all three operations.
constexpr std::string_view kBadAuthId =
    "invalid auth id: expected hskey-authreq- and 24 letters or digits, as the address of the "
    "log-in "
    "page ends";

// For the log: an id of a key is no secret. The gate has verified the key.
std::string who_asks(const Request& request) {
  if (request.trust == net::Trust::kLocalSocket) return "the unix socket";
  const auto bearer = token::bearer_token(request.field("Authorization").value_or(""));
  const auto key = token::parse_token(bearer.ok() ? *bearer : std::string_view());
  return "API key " + std::string(key.ok() ? key->id : "?");
}

// Or was tried: anything but that no log-in waits under the id.
bool is_decided(const Result<void, control::Refusal>& result) {
  return result.ok() || result.error().reason != control::Reason::kNotFound;
}

}  // namespace

void V1::approve(std::string_view user, std::string_view auth_id, const Request& request,
                 const Reply& reply) {
  if (user.empty()) return reply(error(400, "user: give the name of the node's owner"));
  const auto owner = user_called(user);
  if (owner == nullptr) return reply(error(404, "user not found"));
  const auto id = control::parse_auth_id(auth_id);
  if (!id) return reply(error(400, kBadAuthId));
  tailnet_.approve(*id, owner->id, request.received, reply_node(request, reply));
}

// The older form of auth/register; its parameters are in the query, and Headplane repeats them in
// the body.
void V1::register_node(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  std::string user = body->text("user");
  std::string key = body->text("key");
  if (body->error()) return reply(error(*body->error()));
  if (user.empty()) user = request.query_value("user").value_or("");
  if (key.empty()) key = request.query_value("key").value_or("");
  approve(user, key, request, reply);
}

void V1::auth_register(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const std::string user = body->text("user");
  const std::string auth_id = body->text("authId", "auth_id");
  if (body->error()) return reply(error(*body->error()));
  approve(user, auth_id, request, reply);
}

// An SSH log-in, or a registration; a node needs an owner.
void V1::auth_approve(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const std::string user = body->text("user");
  const auto id = control::parse_auth_id(body->text("authId", "auth_id"));
  if (body->error()) return reply(error(*body->error()));
  if (!id) return reply(error(400, kBadAuthId));
  const auto log_in = ssh_checks_.approve(*id, who_asks(request), request.received);
  if (is_decided(log_in)) return reply_empty(reply)(log_in);
  if (!tailnet_.registration(*id)) {
    return reply(error(404, control::kNoSuchRegistration));
  }
  if (user.empty()) {
    return reply(error(400,
                       "a registration waits under this id: say whose node it becomes, with user "
                       "here or with auth/register"));
  }
  const auto owner = user_called(user);
  if (owner == nullptr) return reply(error(404, "user not found"));
  tailnet_.approve(*id, owner->id, request.received,
                   [reply](const Result<control::NodePtr, control::Refusal>& result) {
                     reply(result.ok() ? ok("{}") : error(result.error()));
                   });
}

void V1::auth_reject(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const auto id = control::parse_auth_id(body->text("authId", "auth_id"));
  if (body->error()) return reply(error(*body->error()));
  if (!id) return reply(error(400, kBadAuthId));
  const auto log_in = ssh_checks_.reject(*id, who_asks(request), request.received);
  if (is_decided(log_in)) return reply_empty(reply)(log_in);
  tailnet_.reject(*id, reply_empty(reply));
}

// A registration that no client asked for; the answer shows the node that it would be.
void V1::debug_create_node(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const std::string user = body->text("user");
  const auto id = control::parse_auth_id(body->text("key"));
  const std::string name = body->text("name");
  const std::vector<std::string> routes = body->texts("routes");
  if (body->error()) return reply(error(*body->error()));
  const auto owner = user_called(user);
  if (owner == nullptr) return reply(error(404, "user not found"));
  if (!id) return reply(error(400, kBadAuthId));
  for (const std::string& route : routes) {
    if (const auto prefix = parse_ip_prefix(route); !prefix.ok()) {
      return reply(error(400, "routes: " + std::string(prefix.error().what)));
    }
  }
  const auto added = tailnet_.add_registration(*id, name, routes, request.received);
  if (!added.ok()) return reply(error(added.error()));
  control::Node node;
  node.row.machine_key = added->machine_key.text();
  node.row.node_key = added->node_key.text();
  node.row.hostname = name;
  node.row.given_name = control::label_of(name);
  node.row.user_id = owner->id;
  node.row.expiry = kZeroTime;  // so does Headscale
  node.row.last_seen = kZeroTime;
  node.row.created_at = request.received;
  node.hostinfo.routable_ips = routes;
  std::string out = "{\"node\":";
  append_node(out, node, {owner, {}}, TaggedOwner::kNone, request.received);
  reply(ok(out + "}"));
}

}  // namespace es::api

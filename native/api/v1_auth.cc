// /api/v1/auth and /api/v1/node/register: registrations that wait for an operator.
#include "native/api/answers.h"
#include "native/api/body.h"
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

// What waits under an id is a registration so far, and a node needs an owner.
void V1::auth_approve(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const std::string user = body->text("user");
  const auto id = control::parse_auth_id(body->text("authId", "auth_id"));
  if (body->error()) return reply(error(*body->error()));
  if (!id) return reply(error(400, kBadAuthId));
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
  tailnet_.reject(*id, reply_empty(reply));
}

}  // namespace es::api

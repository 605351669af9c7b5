#include "native/api/v1.h"

#include "common/base/json_text.h"
#include "native/api/answers.h"
#include "native/api/body.h"
#include "native/api/openapi.h"
#include "native/api/render.h"

#include <optional>
#include <utility>

namespace es::api {
namespace {

using control::Refusal;
using net::Reply;
using net::Request;

void append_user_answer(std::string& out, const control::User& user) {
  out += "{\"user\":";
  append_user(out, user);
  out += '}';
}

}  // namespace

std::shared_ptr<const std::string> CachedBody::get(uint64_t version) const {
  const std::lock_guard lock(mutex_);
  return version == version_ ? body_ : nullptr;
}

void CachedBody::put(uint64_t version, std::shared_ptr<const std::string> body) {
  const std::lock_guard lock(mutex_);
  if (version < version_) return;  // a slower renderer of an older list
  version_ = version;
  body_ = std::move(body);
}

const std::vector<V1::Operation>& V1::operations() {
  static const std::vector<Operation> kOperations = {
      {"GET", "/api/v1/health", &V1::health},
      {"GET", "/api/v1/openapi.json", &V1::openapi},
      {"GET", "/api/v1/user", &V1::list_users},
      {"POST", "/api/v1/user", &V1::create_user},
      {"POST", "/api/v1/user/{oldId}/rename/{newName}", &V1::rename_user},
      {"POST", "/api/v1/user/{id}/role", &V1::set_user_role},
      {"DELETE", "/api/v1/user/{id}", &V1::delete_user},
      {"GET", "/api/v1/preauthkey", &V1::list_pre_auth_keys},
      {"POST", "/api/v1/preauthkey", &V1::create_pre_auth_key},
      {"POST", "/api/v1/preauthkey/expire", &V1::expire_pre_auth_key},
      {"DELETE", "/api/v1/preauthkey", &V1::delete_pre_auth_key},
      {"GET", "/api/v1/apikey", &V1::list_api_keys},
      {"POST", "/api/v1/apikey", &V1::create_api_key},
      {"POST", "/api/v1/apikey/expire", &V1::expire_api_key},
      {"DELETE", "/api/v1/apikey/{prefix}", &V1::delete_api_key},
      // By ?id= alone, which Headscale's path leaves no room for.
      {"DELETE", "/api/v1/apikey", &V1::delete_api_key},
      {"GET", "/api/v1/policy", &V1::get_policy},
      {"PUT", "/api/v1/policy", &V1::put_policy},
      {"POST", "/api/v1/policy/check", &V1::check_policy},
      {"GET", "/api/v1/policy/explain", &V1::explain_policy},
      {"GET", "/api/v1/node", &V1::list_nodes},
      {"GET", "/api/v1/node/{nodeId}", &V1::get_node},
      {"DELETE", "/api/v1/node/{nodeId}", &V1::delete_node},
      {"POST", "/api/v1/node/{nodeId}/expire", &V1::expire_node},
      {"POST", "/api/v1/node/{nodeId}/rename/{newName}", &V1::rename_node},
      {"POST", "/api/v1/node/{nodeId}/tags", &V1::set_tags},
      {"POST", "/api/v1/node/{nodeId}/approve_routes", &V1::approve_routes},
      {"POST", "/api/v1/node/register", &V1::register_node},
      {"POST", "/api/v1/node/backfillips", &V1::backfill_addresses},
      {"POST", "/api/v1/debug/node", &V1::debug_create_node},
      {"GET", "/api/v1/debug/node/{nodeId}/map", &V1::debug_map},
      {"POST", "/api/v1/auth/register", &V1::auth_register},
      {"POST", "/api/v1/auth/approve", &V1::auth_approve},
      {"POST", "/api/v1/auth/reject", &V1::auth_reject},
  };
  return kOperations;
}

void V1::add_routes(net::Router& router) {
  for (const Operation& operation : operations()) {
    router.add(
        operation.method, operation.pattern,
        [this, handle = operation.handle](const Request& request, const Reply& reply) {
          (this->*handle)(request, reply);
        },
        net::Access::kApiKey);
  }
}

void V1::health(const Request&, const Reply& reply) {
  directory_.ping([reply](const Result<void, Refusal>& result) {
    reply(result.ok() ? ok("{\"databaseConnectivity\":true}") : error(result.error()));
  });
}

void V1::openapi(const Request&, const Reply& reply) { reply(ok(std::string(openapi_document()))); }

void V1::list_users(const Request& request, const Reply& reply) {
  const auto text_id = request.query_value("id").value_or("");
  const auto name = request.query_value("name").value_or("");
  const auto email = request.query_value("email").value_or("");
  uint64_t id = 0;
  if (!text_id.empty()) {  // wrong is wrong, also when another filter wins
    const auto parsed = id_or_reply(text_id, "invalid id: expected a number", reply);
    if (!parsed) return;
    id = *parsed;
  }
  const bool filtered = !name.empty() || !email.empty() || id != 0;
  if (!filtered) {
    if (const auto cached = users_.get(directory_.users_version())) return reply(ok(*cached));
  }
  auto users = directory_.users();
  if (filtered) {
    std::erase_if(users.rows, [&](const auto& user) {
      if (!name.empty()) return user->name != name;
      if (!email.empty()) return user->email != email;
      return user->id != id;
    });
  }
  auto body = std::make_shared<const std::string>(render_list(
      "users", users.rows, [](std::string& out, const auto& user) { append_user(out, *user); }));
  if (!filtered) users_.put(users.version, body);
  reply(ok(*body));
}

void V1::create_user(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  control::NewUser user;
  user.name = body->text("name");
  user.display_name = body->text("displayName", "display_name");
  user.email = body->text("email");
  user.profile_pic_url = body->text("pictureUrl", "picture_url");
  user.role = body->text("role");
  if (body->error()) return reply(error(*body->error()));
  directory_.create_user(user, request.received,
                         reply_with<control::User>(reply, append_user_answer));
}

void V1::rename_user(const Request& request, const Reply& reply) {
  const auto id = id_or_reply(request.path_args.at(0), "invalid user id: expected a number", reply);
  if (!id) return;
  directory_.rename_user(*id, request.path_args.at(1), request.received,
                         reply_with<control::User>(reply, append_user_answer));
}

// Not in Headscale, which has no roles.
void V1::set_user_role(const Request& request, const Reply& reply) {
  const auto id = id_or_reply(request.path_args.at(0), "invalid user id: expected a number", reply);
  if (!id) return;
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  std::string role = body->text("role");
  if (body->error()) return reply(error(*body->error()));
  directory_.set_user_role(*id, std::move(role), request.received,
                           reply_with<control::User>(reply, append_user_answer));
}

void V1::delete_user(const Request& request, const Reply& reply) {
  const auto id = id_or_reply(request.path_args.at(0), "invalid user id: expected a number", reply);
  if (id) directory_.delete_user(*id, reply_empty(reply));
}

void V1::list_pre_auth_keys(const Request&, const Reply& reply) {
  if (const auto cached = pre_auth_keys_.get(directory_.pre_auth_keys_version())) {
    return reply(ok(*cached));
  }
  const auto keys = directory_.pre_auth_keys();
  auto body = std::make_shared<const std::string>(
      render_list("preAuthKeys", keys.rows,
                  [](std::string& out, const auto& key) { append_pre_auth_key(out, key); }));
  pre_auth_keys_.put(keys.version, body);
  reply(ok(*body));
}

void V1::create_pre_auth_key(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  control::NewPreAuthKey key;
  key.user_id = body->uint64("user");
  if (key.user_id == uint64_t{0}) key.user_id.reset();
  key.reusable = body->flag("reusable");
  key.ephemeral = body->flag("ephemeral");
  key.expiration = body->time("expiration");
  key.tags = body->texts("aclTags", "acl_tags");
  if (body->error()) return reply(error(*body->error()));
  directory_.create_pre_auth_key(
      std::move(key), request.received,
      reply_with<control::MintedPreAuthKey>(
          reply, [](std::string& out, const control::MintedPreAuthKey& minted) {
            out += "{\"preAuthKey\":";
            append_pre_auth_key(out, minted.key, minted.text);
            out += '}';
          }));
}

void V1::expire_pre_auth_key(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const auto id = body->uint64("id");
  if (body->error()) return reply(error(*body->error()));
  // Without an id Headscale looks for key 0, which is nobody's.
  directory_.expire_pre_auth_key(id.value_or(0), request.received, reply_empty(reply));
}

void V1::delete_pre_auth_key(const Request& request, const Reply& reply) {
  const std::string text = request.query_value("id").value_or("0");
  const auto id =
      id_or_reply(text.empty() ? "0" : text, "invalid pre-auth key id: expected a number", reply);
  if (id) directory_.delete_pre_auth_key(*id, reply_empty(reply));
}

void V1::list_api_keys(const Request&, const Reply& reply) {
  reply(ok(render_list("apiKeys", directory_.api_keys(),
                       [](std::string& out, const auto& key) { append_api_key(out, key); })));
}

void V1::create_api_key(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const auto expiration = body->time("expiration");
  if (body->error()) return reply(error(*body->error()));
  directory_.create_api_key(expiration, request.received,
                            reply_with<control::MintedApiKey>(
                                reply, [](std::string& out, const control::MintedApiKey& minted) {
                                  out += "{\"apiKey\":";
                                  append_json_string(out, minted.text);
                                  out += '}';
                                }));
}

namespace {

// Exactly one of the two; id 0 counts as none. Replies when it is not so.
std::optional<control::ApiKeySelector> selector_or_reply(std::optional<uint64_t> id,
                                                         std::string prefix, const Reply& reply) {
  if (id == uint64_t{0}) id.reset();
  if (id && !prefix.empty()) {
    reply(error(400, "provide either id or prefix, not both"));
    return std::nullopt;
  }
  if (!id && prefix.empty()) {
    reply(error(400, "must provide id or prefix"));
    return std::nullopt;
  }
  return control::ApiKeySelector{id, std::move(prefix)};
}

}  // namespace

void V1::expire_api_key(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const auto id = body->uint64("id");
  std::string prefix = body->text("prefix");
  if (body->error()) return reply(error(*body->error()));
  if (const auto which = selector_or_reply(id, std::move(prefix), reply)) {
    directory_.expire_api_key(*which, request.received, reply_empty(reply));
  }
}

void V1::delete_api_key(const Request& request, const Reply& reply) {
  std::optional<uint64_t> id;
  const std::string text_id = request.query_value("id").value_or("");
  if (!text_id.empty()) {
    id = id_or_reply(text_id, "invalid api key id: expected a number", reply);
    if (!id) return;
  }
  std::string prefix = request.path_args.empty() ? std::string() : request.path_args.at(0);
  if (const auto which = selector_or_reply(id, std::move(prefix), reply)) {
    directory_.delete_api_key(*which, reply_empty(reply));
  }
}

}  // namespace es::api

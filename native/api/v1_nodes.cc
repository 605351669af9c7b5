// /api/v1/node: what nodes there are, and what an operator does to them.
#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "native/api/answers.h"
#include "native/api/body.h"
#include "native/api/render.h"
#include "native/api/v1.h"

#include <algorithm>
#include <unordered_map>

namespace es::api {
namespace {

using control::NodePtr;
using net::Reply;
using net::Request;

constexpr std::string_view kNoId = "invalid node id: expected a number";

std::optional<uint64_t> node_id_or_reply(const Request& request, const Reply& reply) {
  return id_or_reply(request.path_args.at(0), kNoId, reply);
}

bool is_number(std::string_view text) { return parse_uint64(text).has_value(); }

}  // namespace

std::shared_ptr<const control::User> V1::user_called(std::string_view name_or_id) const {
  const auto users = directory_.users();
  for (const auto& user : users.rows) {
    if (user->name == name_or_id) return user;
  }
  // No name begins with a digit.
  return is_number(name_or_id) ? directory_.user(*parse_uint64(name_or_id)) : nullptr;
}

control::Answer<NodePtr> V1::reply_node(const Request& request, const Reply& reply) const {
  return reply_with<NodePtr>(
      reply, [this, now = request.received](std::string& out, const NodePtr& node) {
        NodeContext context;
        if (node->row.user_id) context.user = directory_.user(*node->row.user_id);
        if (node->row.pre_auth_key_id) {
          context.pre_auth_key = directory_.pre_auth_key(*node->row.pre_auth_key_id);
        }
        out += "{\"node\":";
        append_node(out, *node, context, TaggedOwner::kNone, now);
        out += '}';
      });
}

void V1::list_nodes(const Request& request, const Reply& reply) {
  std::vector<NodePtr> nodes = tailnet_.nodes();
  if (const auto name = request.query_value("user"); name && !name->empty()) {
    const auto user = user_called(*name);
    if (user == nullptr) return reply(error(404, "user not found"));
    std::erase_if(nodes, [&](const NodePtr& node) { return node->row.user_id != user->id; });
  }
  // One look at the directory for all of them.
  std::unordered_map<uint64_t, std::shared_ptr<const control::User>> users;
  for (auto& user : directory_.users().rows) users[user->id] = user;
  std::unordered_map<uint64_t, control::OwnedPreAuthKey> keys;
  for (auto& key : directory_.pre_auth_keys().rows) keys[key.key->id] = key;
  reply(ok(render_list("nodes", nodes, [&](std::string& out, const NodePtr& node) {
    NodeContext context;
    if (node->row.user_id) context.user = users[*node->row.user_id];
    if (node->row.pre_auth_key_id) context.pre_auth_key = keys[*node->row.pre_auth_key_id];
    append_node(out, *node, context, TaggedOwner::kShown, request.received);
  })));
}

void V1::get_node(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (!id) return;
  NodePtr node = tailnet_.node(*id);
  if (node == nullptr) return reply(error(404, "node not found"));
  reply_node(request, reply)(std::move(node));
}

void V1::delete_node(const Request& request, const Reply& reply) {
  if (const auto id = node_id_or_reply(request, reply)) tailnet_.remove(*id, reply_empty(reply));
}

void V1::expire_node(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (!id) return;
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  std::optional<WallTime> expiry = body->time("expiry");
  bool never = body->flag("disableExpiry");
  if (body->error()) return reply(error(*body->error()));
  // Headscale 0.29 takes them from the query as well.
  if (const auto text = request.query_value("expiry"); text && !text->empty() && !expiry) {
    const auto parsed = parse_rfc3339(*text);
    if (!parsed) return reply(error(400, "expiry: expected an RFC 3339 time"));
    expiry = *parsed;
  }
  for (const char* name : {"disableExpiry", "disable_expiry"}) {
    never = never || request.query_value(name) == "true";
  }
  if (never && expiry) {
    return reply(error(400, "cannot set both disableExpiry and expiry"));
  }
  if (!never && !expiry) expiry = request.received;
  tailnet_.set_expiry(*id, expiry, reply_node(request, reply));
}

void V1::rename_node(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (id) tailnet_.rename(*id, request.path_args.at(1), reply_node(request, reply));
}

void V1::set_tags(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (!id) return;
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  std::vector<std::string> tags = body->texts("tags");
  if (body->error()) return reply(error(*body->error()));
  tailnet_.set_tags(*id, std::move(tags), reply_node(request, reply));
}

void V1::approve_routes(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (!id) return;
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  std::vector<std::string> routes = body->texts("routes");
  if (body->error()) return reply(error(*body->error()));
  tailnet_.approve_routes(*id, std::move(routes), reply_node(request, reply));
}

void V1::backfill_addresses(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body);
  if (!body.ok()) return reply(error(body.error()));
  const bool confirmed = body->flag("confirmed") || request.query_value("confirmed") == "true";
  if (body->error()) return reply(error(*body->error()));
  if (!confirmed) return reply(error(400, "not confirmed, aborting"));
  tailnet_.backfill_addresses(reply_with<std::vector<std::string>>(
      reply, [](std::string& out, const std::vector<std::string>& changes) {
        out = render_list("changes", changes, append_json_string);
      }));
}

// Not Headscale's: what the node would be sent as its first message.
void V1::debug_map(const Request& request, const Reply& reply) {
  const auto id = node_id_or_reply(request, reply);
  if (!id) return;
  const auto map = tailnet_.full_map(*id, request.received);
  if (!map) return reply(error(404, "node not found"));
  reply(ok("{\"map\":" + *map + "}"));
}

}  // namespace es::api

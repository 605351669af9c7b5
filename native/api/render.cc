#include "native/api/render.h"

#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "common/token/token.h"
#include "native/control/names.h"

#include <array>

namespace es::api {
namespace {

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(out, text);
}

void append_flag(std::string& out, std::string_view name, bool flag) {
  out += ",\"";
  out += name;
  out += flag ? "\":true" : "\":false";
}

void append_time(std::string& out, std::string_view name, WallTime t) {
  out += ",\"";
  out += name;
  out += "\":\"";
  append_rfc3339(out, t);
  out += '"';
}

void append_optional_time(std::string& out, std::string_view name,
                          const std::optional<WallTime>& t) {
  if (t) {
    append_time(out, name, *t);
  } else {
    out += ",\"";
    out += name;
    out += "\":null";
  }
}

void append_list(std::string& out, std::string_view name, const std::vector<std::string>& texts) {
  out += ",\"";
  out += name;
  out += "\":[";
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, texts[i]);
  }
  out += ']';
}

void append_id(std::string& out, uint64_t id) {
  out += "\"id\":\"";
  out += std::to_string(id);
  out += '"';
}

std::string_view method_name(std::string_view method) {
  if (method == "authkey") return "REGISTER_METHOD_AUTH_KEY";
  if (method == "cli") return "REGISTER_METHOD_CLI";
  if (method == "oidc") return "REGISTER_METHOD_OIDC";
  return "REGISTER_METHOD_UNSPECIFIED";
}

control::User tagged_devices() {
  control::User user;
  user.id = control::kTaggedDevicesId;
  user.name = "tagged-devices";
  user.display_name = "Tagged Devices";
  user.created_at = kZeroTime;
  return user;
}

std::string masked(token::TokenKind kind, std::string_view prefix) {
  token::Token key;
  key.kind = kind;
  key.id = prefix;
  std::array<uint8_t, token::kMaxTokenLen> buffer{};
  ByteWriter out(buffer);
  token::write_masked(key, out);
  return std::string(as_text(out.written()));
}

}  // namespace

std::string shown_name(const control::User& user) {
  if (!user.name.empty()) return user.name;
  if (!user.email.empty()) return user.email;
  if (!user.provider_identifier.empty()) return user.provider_identifier;
  return std::to_string(user.id);
}

void append_user(std::string& out, const control::User& user) {
  out += '{';
  append_id(out, user.id);
  append_member(out, "name", shown_name(user));
  append_time(out, "createdAt", user.created_at);
  append_member(out, "displayName", user.display_name);
  append_member(out, "email", user.email);
  append_member(out, "providerId", user.provider_identifier);
  append_member(out, "provider", user.provider);
  append_member(out, "profilePicUrl", user.profile_pic_url);
  // Headscale has no roles; who has none in particular looks as there.
  if (user.role != "member") append_member(out, "role", user.role);
  out += '}';
}

void append_pre_auth_key(std::string& out, const control::OwnedPreAuthKey& owned,
                         std::string_view text, UnsetTime unset) {
  const control::PreAuthKey& key = *owned.key;
  out += "{\"user\":";
  if (owned.user != nullptr) {
    append_user(out, *owned.user);
  } else {
    out += "null";
  }
  out += ',';
  append_id(out, key.id);
  append_member(out, "key",
                text.empty() ? masked(token::TokenKind::kAuth, key.prefix) : std::string(text));
  append_flag(out, "reusable", key.reusable);
  append_flag(out, "ephemeral", key.ephemeral);
  append_flag(out, "used", key.used);
  if (unset == UnsetTime::kZero) {
    append_time(out, "expiration", key.expiration.value_or(kZeroTime));
  } else {
    append_optional_time(out, "expiration", key.expiration);
  }
  append_time(out, "createdAt", key.created_at);
  append_list(out, "aclTags", key.tags);
  out += '}';
}

void append_api_key(std::string& out, const control::ApiKey& key) {
  out += '{';
  append_id(out, key.id);
  append_member(out, "prefix", masked(token::TokenKind::kApi, key.prefix));
  append_optional_time(out, "expiration", key.expiration);
  append_time(out, "createdAt", key.created_at);
  append_optional_time(out, "lastSeen", key.last_seen);
  out += '}';
}

std::vector<std::string> addresses_of(const control::Node& node) {
  std::vector<std::string> out;
  for (const std::string& address : {node.row.ipv4, node.row.ipv6}) {
    if (!address.empty()) out.push_back(address);
  }
  return out;
}

std::vector<std::string> served_routes(const control::Node& node) {
  std::vector<std::string> out = node.primary_routes;
  for (std::string& route : control::usable_routes(node)) {
    if (control::is_exit_route(route)) out.push_back(std::move(route));
  }
  return out;
}

void append_node(std::string& out, const control::Node& node, const NodeContext& context,
                 TaggedOwner tagged, WallTime now) {
  const store::Node& row = node.row;
  out += '{';
  append_id(out, row.id);
  append_member(out, "machineKey", row.machine_key);
  append_member(out, "nodeKey", row.node_key);
  append_member(out, "discoKey", node.disco_key.text());
  append_list(out, "ipAddresses", addresses_of(node));
  append_member(out, "name", row.hostname);
  out += ",\"user\":";
  if (node.tagged() && tagged == TaggedOwner::kShown) {
    append_user(out, tagged_devices());
  } else if (!node.tagged() && context.user != nullptr) {
    append_user(out, *context.user);
  } else {
    out += "null";
  }
  // Registering is being seen.
  append_time(out, "lastSeen", node.online ? now : row.last_seen.value_or(row.created_at));
  append_optional_time(out, "expiry", row.expiry);
  out += ",\"preAuthKey\":";
  if (context.pre_auth_key.key != nullptr) {
    append_pre_auth_key(out, context.pre_auth_key, {}, UnsetTime::kNull);
  } else {
    out += "null";
  }
  append_time(out, "createdAt", row.created_at);
  append_member(out, "registerMethod", method_name(row.register_method));
  append_member(out, "givenName", row.given_name);
  append_flag(out, "online", node.online);
  // In Headscale the key alone says it; here a client may also ask for it, and a key be deleted.
  const bool key_says = context.pre_auth_key.key != nullptr && context.pre_auth_key.key->ephemeral;
  if (row.ephemeral && !key_says) append_flag(out, "ephemeral", true);
  append_list(out, "approvedRoutes", row.approved_routes);
  append_list(out, "availableRoutes", node.hostinfo.routable_ips);
  append_list(out, "subnetRoutes", served_routes(node));
  append_list(out, "tags", row.tags);
  out += '}';
}

}  // namespace es::api

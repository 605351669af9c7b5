#include "native/tailcfg/register.h"

#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

namespace es::tailcfg {
namespace {

using nlohmann::json;

// An AuthURL and a key are far shorter; what waits for an approval is kept.
constexpr size_t kMaxFollowupLen = 1024;
constexpr size_t kMaxAuthKeyLen = 512;

Result<NodeKey> key_member(const json& object, const char* name) {
  const std::string text = text_member(object, name);
  if (text.empty()) return NodeKey();
  const auto key = NodeKey::parse(text);
  if (!key) return refuse("a node key is malformed");
  return *key;
}

}  // namespace

Result<RegisterRequest> parse_register_request(std::string_view text) {
  const auto object = parse_json_object(text);
  if (!object) return refuse("the register request is not a JSON object");
  RegisterRequest out;
  const int64_t version = int_member(*object, "Version");
  if (version < 0 || version > UINT16_MAX) return refuse("Version is out of range");
  out.version = static_cast<uint32_t>(version);
  ES_TRY(out.node_key, key_member(*object, "NodeKey"));
  if (out.node_key.is_zero()) return refuse("NodeKey is missing");
  ES_TRY(out.old_node_key, key_member(*object, "OldNodeKey"));
  if (const auto auth = object->find("Auth"); auth != object->end() && auth->is_object()) {
    out.auth_key = text_member(*auth, "AuthKey");
    if (out.auth_key.size() > kMaxAuthKeyLen) return refuse("AuthKey is too long");
  }
  out.expiry = parse_rfc3339(text_member(*object, "Expiry"));
  if (out.expiry == kZeroTime) out.expiry.reset();
  out.followup = text_member(*object, "Followup");
  if (out.followup.size() > kMaxFollowupLen) return refuse("Followup is too long");
  out.ephemeral = bool_member(*object, "Ephemeral");
  if (const auto host = object->find("Hostinfo"); host != object->end()) {
    auto parsed = parse_hostinfo(*host);
    if (!parsed) return refuse("Hostinfo is too large");
    out.hostinfo = std::move(*parsed);
  }
  return out;
}

std::string to_json(const RegisterResponse& response) {
  const Profile& user = response.user;
  const std::string id = std::to_string(user.id);
  std::string out = "{\"User\":{\"ID\":" + id + ",\"DisplayName\":";
  append_json_string(out, user.display_name);
  out += ",\"ProfilePicURL\":";
  append_json_string(out, user.picture_url);
  out += "},\"Login\":{\"ID\":" + id + ",\"Provider\":\"\",\"LoginName\":";
  append_json_string(out, user.login_name);
  out += ",\"DisplayName\":";
  append_json_string(out, user.display_name);
  out += ",\"ProfilePicURL\":";
  append_json_string(out, user.picture_url);
  out += "},\"NodeKeyExpired\":";
  out += response.node_key_expired ? "true" : "false";
  out += ",\"MachineAuthorized\":";
  out += response.machine_authorized ? "true" : "false";
  out += ",\"AuthURL\":";
  append_json_string(out, response.auth_url);
  out += ",\"NodeKeySignature\":null,\"Error\":";
  append_json_string(out, response.error);
  return out + '}';
}

}  // namespace es::tailcfg

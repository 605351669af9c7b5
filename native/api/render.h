// The records of the API as JSON, member for member as Headscale prints them (protojson rules): ids
// are strings, times RFC 3339, zero values are there, lists are never null.
//
// Unset times: a pre-auth key of a list prints Go's zero time; one inside a node, an API key and a
// node print null.
#pragma once

#include "native/control/directory.h"
#include "native/control/node.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::api {

void append_user(std::string& out, const control::User& user);
// `text` is the secret where it is shown, else empty: then the masked form.
enum class UnsetTime : uint8_t { kZero, kNull };
void append_pre_auth_key(std::string& out, const control::OwnedPreAuthKey& key,
                         std::string_view text = {}, UnsetTime unset = UnsetTime::kZero);
void append_api_key(std::string& out, const control::ApiKey& key);

// Who owns a node and what let it in, looked up by the caller.
struct NodeContext {
  std::shared_ptr<const control::User> user;
  control::OwnedPreAuthKey pre_auth_key;
};
// Lists show tagged nodes under the user "tagged-devices", single answers under none. A node that
// is connected is seen `now`.
enum class TaggedOwner : uint8_t { kNone, kShown };
void append_node(std::string& out, const control::Node& node, const NodeContext& context,
                 TaggedOwner tagged, WallTime now);
// "100.64.0.1", "fd7a::1" of the node, and the routes that it serves.
std::vector<std::string> addresses_of(const control::Node& node);
std::vector<std::string> served_routes(const control::Node& node);

// The name that people see: of a user without one the email, the provider's identifier or the id.
std::string shown_name(const control::User& user);

}  // namespace es::api

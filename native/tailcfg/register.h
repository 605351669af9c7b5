// POST /machine/register: RegisterRequest and RegisterResponse.
//
// Source: tailcfg.RegisterRequest, clients 1.80 to 1.102. Unknown members are ignored; a member of
// the wrong type counts as absent, except for keys, which must be right: they name the node.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/tailcfg/hostinfo.h"
#include "native/tailcfg/keys.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace es::tailcfg {

struct RegisterRequest {
  uint32_t version = 0;  // capability version
  NodeKey node_key;      // never zero
  NodeKey old_node_key;  // zero: none. Kept by clients after a rotation: compare before use
  std::string auth_key;  // empty: none
  // A wish; none for the zero time. The past means "log out".
  std::optional<WallTime> expiry;
  std::string followup;  // empty, or the AuthURL that was given out
  bool ephemeral = false;
  Hostinfo hostinfo;
};

Result<RegisterRequest> parse_register_request(std::string_view json);

struct Profile {
  uint64_t id = 0;
  std::string login_name;
  std::string display_name;
  std::string picture_url;

  friend bool operator==(const Profile&, const Profile&) = default;
};

struct RegisterResponse {
  Profile user;
  bool node_key_expired = false;
  bool machine_authorized = false;
  std::string auth_url;  // not empty: interactive login
  std::string error;     // not empty: shown to the person, nothing else is read
};

std::string to_json(const RegisterResponse& response);

}  // namespace es::tailcfg

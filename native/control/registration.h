// What waits for an operator: ids, and what an operator may know of a registration.
//
// An id is a secret: whoever holds it sees the page of what waits, and an operator who is shown the
// wrong one lets the wrong machine in. It must not get into logs.
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "native/tailcfg/keys.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::control {

// "hskey-authreq-" and 24 characters, as since Headscale 0.29.
inline constexpr std::string_view kAuthIdPrefix = "hskey-authreq-";
inline constexpr size_t kAuthIdSecretLen = 24;

inline constexpr std::string_view kNoSuchRegistration =
    "no registration is waiting under this id: it was decided, or too old; run 'tailscale up' "
    "again for a new one";

// The id in its full form. Takes the secret part alone too (Headscale 0.28), and a whole address of
// a page; nullopt for anything else.
std::optional<std::string> parse_auth_id(std::string_view text);

std::string make_auth_id(const std::function<void(MutableBytes)>& random);

struct PendingRegistration {
  std::string auth_id;
  tailcfg::MachineKey machine_key;
  tailcfg::NodeKey node_key;
  std::string hostname;  // this and the next five as the client sent them
  std::string os;
  std::string client_version;
  std::vector<std::string> tags;
  std::vector<std::string> routes;
  bool ephemeral = false;
  WallTime created{};
  WallTime expires{};
};

}  // namespace es::control

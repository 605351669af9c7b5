// The users and nodes that a policy is compiled for.
#pragma once

#include "native/policy/address.h"
#include "native/policy/alias.h"
#include "native/policy/posture.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace es::policy {

using NodeId = uint64_t;
using UserId = uint64_t;

// A policy names a user by provider_id, email or name, whichever fits.
struct User {
  UserId id = 0;
  std::string name;
  std::string email;
  std::string provider_id;
  Role role = Role::kMember;

  friend bool operator==(const User&, const User&) = default;
};

// Where a node stands in answers that are Bits.
using Slot = uint32_t;
inline constexpr Slot kAnySlot = ~Slot{0};

struct Node {
  NodeId id = 0;                  // smaller ids are preferred as primary routers: older nodes
  std::optional<UserId> user;     // of no meaning to rules if the node has tags
  std::vector<std::string> tags;  // with the prefix tag:
  std::vector<Address> addresses;
  std::vector<Prefix> routes;  // announced and approved; /0 makes it an exit node
  Attributes attributes;       // for postures
  bool serving = true;         // may be a primary router: online and healthy
  Slot slot = kAnySlot;        // small and its own; or kAnySlot, for all nodes alike: no matter

  friend bool operator==(const Node&, const Node&) = default;
};

}  // namespace es::policy

// What the store keeps, as plain records. Columns follow Headscale's tables where that makes sense
// (hscontrol/db/schema.sql, 0.29), so that an import is a copy; secrets are kept as hashes only.
//
// Units: times are wall-clock milliseconds. Ids are assigned by the database at commit, start at 1
// and are never used again; 0 means "not stored yet".
#pragma once

#include "common/base/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace es::store {

struct User {
  uint64_t id = 0;
  std::string name;  // unique among local users
  std::string display_name;
  std::string email;
  std::string provider_identifier;  // empty for local users
  std::string provider;
  std::string profile_pic_url;
  std::string role = "member";  // what role groups of policies go by
  WallTime created_at{};
  WallTime updated_at{};

  friend bool operator==(const User&, const User&) = default;
};

struct PreAuthKey {
  uint64_t id = 0;
  std::string prefix;               // the public part of the key's text, unique
  std::string hash;                 // of the secret, raw bytes
  std::optional<uint64_t> user_id;  // owner, or creator of a tagged key; none: made by the system
  bool reusable = false;
  bool ephemeral = false;
  bool used = false;
  std::vector<std::string> tags;
  std::optional<WallTime> expiration;  // none: does not expire
  bool revoked = false;                // for good; its expiration is then when that was
  WallTime created_at{};

  bool expired(WallTime now) const { return revoked || (expiration && *expiration <= now); }
  friend bool operator==(const PreAuthKey&, const PreAuthKey&) = default;
};

struct ApiKey {
  uint64_t id = 0;
  std::string prefix;
  std::string hash;
  std::optional<WallTime> expiration;  // none: does not expire
  std::optional<WallTime> last_seen;   // written in batches: may be behind by a minute
  bool revoked = false;                // for good; its expiration is then when that was
  WallTime created_at{};

  bool expired(WallTime now) const { return revoked || (expiration && *expiration <= now); }
  friend bool operator==(const ApiKey&, const ApiKey&) = default;
};

// Keys and addresses are in their text forms; lists and Hostinfo are JSON in the database.
struct Node {
  uint64_t id = 0;
  std::string machine_key;          // "mkey:..."
  std::string node_key;             // "nodekey:...", unique
  std::string disco_key;            // empty: not known yet
  std::string ipv4;                 // unique; empty: none
  std::string ipv6;                 // likewise
  std::string hostname;             // as the host calls itself
  std::string given_name;           // its DNS label, unique
  bool name_is_chosen = false;      // by a person: the host's renaming does not change it
  std::optional<uint64_t> user_id;  // none: owned by its tags
  std::vector<std::string> tags;
  std::optional<uint64_t> pre_auth_key_id;
  std::string register_method;  // "authkey", "cli", "oidc"
  bool ephemeral = false;
  std::string hostinfo;
  std::vector<std::string> endpoints;
  int32_t home_derp = 0;
  uint32_t capability_version = 0;
  std::vector<std::string> approved_routes;
  std::optional<WallTime> expiry;     // none: never
  std::optional<WallTime> last_seen;  // none: never connected
  WallTime created_at{};

  friend bool operator==(const Node&, const Node&) = default;
};

// A policy document; the one with the highest id is in force, the others are its history.
struct Policy {
  uint64_t id = 0;
  std::string text;
  WallTime created_at{};

  friend bool operator==(const Policy&, const Policy&) = default;
};

// Everything, each ascending by id; of policies the one in force.
struct Contents {
  std::vector<User> users;
  std::vector<PreAuthKey> pre_auth_keys;
  std::vector<ApiKey> api_keys;
  std::vector<Node> nodes;
  std::optional<Policy> policy;
};

}  // namespace es::store

// What one command line asks for, after it has been understood: plain data between the parser
// (command_line.h) and the commands (commands.h).
#pragma once

#include "common/base/time.h"

#include <optional>
#include <string>
#include <vector>

namespace es::cli {

enum class Command : uint8_t {
  kServe,
  kVersion,
  kConfigTest,
  kDumpConfig,
  kCompletion,
  kGeneratePrivateKey,
  kHealth,
  kUsersCreate,
  kUsersList,
  kUsersDestroy,
  kUsersRename,
  kUsersRole,
  kPreauthKeysCreate,
  kPreauthKeysList,
  kPreauthKeysExpire,
  kPreauthKeysDelete,
  kApiKeysCreate,
  kApiKeysList,
  kApiKeysExpire,
  kApiKeysDelete,
  kNodesList,
  kNodesListRoutes,
  kNodesRegister,
  kNodesExpire,
  kNodesRename,
  kNodesDelete,
  kNodesTag,
  kNodesApproveRoutes,
  kNodesBackfill,
  kAuthRegister,
  kAuthApprove,
  kAuthReject,
  kDebugCreateNode,
  kDebugMap,
  kPolicyCompile,
  kPolicyCheck,
  kPolicyGet,
  kPolicySet,
  kPolicyExplain,
};

enum class Format : uint8_t { kText, kJson, kJsonLine, kYaml };

struct Invocation {
  Command command = Command::kVersion;

  // Everywhere.
  std::optional<std::string> config_path;
  Format format = Format::kText;
  bool force = false;

  // How to reach the server; these win over the configuration.
  std::optional<std::string> address;
  std::optional<std::string> api_key;
  std::optional<Millis> timeout;
  bool insecure = false;

  // Users: one of name and id where a user is meant; `user` may be either.
  std::string name;
  std::string id;
  std::string user;
  std::string new_name;
  std::string display_name;
  std::string email;
  std::string picture_url;
  std::string role;

  // Keys; `id` names one, `prefix` another way to.
  std::string prefix;
  bool reusable = false;
  bool ephemeral = false;
  Millis expiration{0};
  std::vector<std::string> tags;

  // Nodes: `id`, or `name` as its DNS label; `user` owns it, `auth_id` waits for its approval.
  std::string auth_id;
  std::vector<std::string> routes;
  std::string expiry;  // RFC 3339, or a duration from now; empty: now
  bool disable_expiry = false;

  // Policies. A check with a topology, or an offline one, needs no server; with `bypass` the
  // server's database stands for it.
  bool bypass = false;
  std::string policy_file;
  std::string topology_file;
  bool offline = false;
  std::string source;  // kPolicyExplain
  std::string destination;
  std::string protocol;

  std::string shell;  // kCompletion: bash, zsh or fish
};

}  // namespace es::cli

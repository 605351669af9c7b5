// The policy in the database while no server runs: for `policy get`, `set` and `check` with
// --bypass-server-and-access-database-directly. The way out when the stored policy is what keeps
// the server from starting.
//
// A policy is read against the users and nodes in the database, and its tests run, exactly as in
// the server. Threads: one caller.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/cli/client.h"
#include "native/cli/config.h"

#include <memory>
#include <string>
#include <string_view>

namespace es::cli {

class PolicyBypass {
 public:
  // Opens the configured database, which must exist; the error is for a person. While a server has
  // it open it is refused.
  static Result<std::unique_ptr<PolicyBypass>, std::string> open(const Config& config);
  ~PolicyBypass();

  // The answer that the server's API would give: GET and PUT are of /api/v1/policy, POST of
  // /api/v1/policy/check. `body` is the subcommands' own.
  Answer call(std::string_view method, std::string_view body, WallTime now) const;

 private:
  struct State;
  explicit PolicyBypass(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace es::cli

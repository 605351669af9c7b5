// `edgescale policy compile|check`: a policy against a tailnet written down in a file, offline.
//
// compile prints one JSON object for every node: packet filter, SSH rules, attributes, peers with
// the routes that the node sees; or {"accepted": false, "error": ...} and exit status 1. check
// prints every problem with its place, or that there is none.
#pragma once

#include <string>

namespace es::cli {

struct PolicyFiles {
  std::string policy;    // HuJSON or YAML
  std::string topology;  // JSON: {"tailnet", "users": [...], "nodes": {name: {...}}}; may be empty
};

// Both return an exit status (see app.h) and append what they say to `out` and `err`.
int policy_compile(const PolicyFiles& files, std::string& out, std::string& err);
int policy_check(const PolicyFiles& files, std::string& out, std::string& err);

}  // namespace es::cli

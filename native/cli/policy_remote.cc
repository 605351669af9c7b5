// policy get, set, check and explain: what the server does with policies.
#include "native/cli/file_text.h"
#include "native/cli/session.h"

#include <nlohmann/json.hpp>

namespace es::cli {
namespace {

// As the body of a request.
Result<Json, Failure> read_policy(const std::string& path) {
  const auto file = read_policy_text(path);
  if (!file.ok()) return Failure{file.error()};
  return Json{{"policy", file->text}};
}

}  // namespace

Outcome Session::policy_get() {
  const auto got = get("/api/v1/policy");
  if (!got.ok()) {
    const bool none = got.error().text == "acl policy not found";  // Headscale's words
    return none ? Failure{got.error().text +
                          ": without one every node may talk to every other; "
                          "set policy.path, or policy.mode to database and 'edgescale policy set'"}
                : got.error();
  }
  const Json& answer = *got;
  if (in_.format != Format::kText) {
    print(answer, {});
    return {};
  }
  // As it was given, so that what is printed can be set again.
  const std::string text = text_of(answer, "policy");
  io_.out += text;
  if (!text.ends_with('\n')) io_.out += '\n';
  return {};
}

Outcome Session::policy_set() {
  ES_TRY(const Json body, read_policy(in_.policy_file));
  ES_TRY(const Json answer, put("/api/v1/policy", body));
  print(answer, in_.bypass ? "The policy is stored; the server reads it when it starts."
                           : "The policy is in service.");
  return {};
}

Outcome Session::policy_check() {
  ES_TRY(const Json body, read_policy(in_.policy_file));
  ES_TRY(const Json answer, post("/api/v1/policy/check", body));
  print(answer, "The policy is good.");
  return {};
}

Outcome Session::policy_explain() {
  std::string target = "/api/v1/policy/explain?src=" + percent_encode(in_.source) +
                       "&dst=" + percent_encode(in_.destination);
  if (!in_.protocol.empty()) target += "&proto=" + percent_encode(in_.protocol);
  ES_TRY(const Json answer, get(target));
  const Json& decisions = list_of(answer, "decisions");
  Table rows;
  for (const Json& d : decisions) {
    const std::string line = text_of(d, "line");
    const bool allowed = flag_of(d, "allowed");
    const std::string without = allowed ? "there is no policy" : "no rule allows it";
    rows.push_back({text_of(d, "src"), text_of(d, "dst"), text_of(d, "port"),
                    allowed ? "allowed" : "denied", line == "0" ? without : "line " + line,
                    text_of(d, "rule")});
  }
  print_list(decisions, {"Source", "Destination", "Port", "Verdict", "Because", "Rule"}, rows);
  return {};
}

}  // namespace es::cli

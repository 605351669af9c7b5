// nodes, auth and debug: what stands in the way of a node, and what it gets.
#include "common/base/base64.h"
#include "common/base/hex.h"
#include "common/base/rfc3339.h"
#include "native/cli/api_call.h"
#include "native/cli/output.h"
#include "native/cli/session.h"
#include "native/cli/times.h"
#include "native/cli/values.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace es::cli {
namespace {

// "[AbCdE]" for "nodekey:<64 hex>", as Tailscale's clients print keys.
std::string short_key(const std::string& text) {
  std::array<uint8_t, 32> raw{};
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return {};
  const std::string_view digits = std::string_view(text).substr(colon + 1);
  if (digits.size() != 2 * raw.size() || !hex_decode(digits, raw)) return {};
  return "[" + base64_encode(raw, Base64Alphabet::kStandardPadded).substr(0, 5) + "]";
}

std::string joined(const Json& list, const char* between = ", ") {
  std::string out;
  for (const Json& item : list) {
    if (!item.is_string()) continue;
    if (!out.empty()) out += between;
    out += item.get<std::string>();
  }
  return out;
}

bool expired(const Json& node, WallTime now) {
  const auto at = parse_rfc3339(text_of(node, "expiry"));
  return at && *at != kZeroTime && *at <= now;
}

// By the key that made it, as Headscale shows it; the node's own flag is there when that key is
// not.
bool is_ephemeral(const Json& node) {
  return flag_of(node, "ephemeral") ||
         (node.contains("preAuthKey") && flag_of(node["preAuthKey"], "ephemeral"));
}

// The part of a pasted log-in address that counts.
std::string auth_id_of(const std::string& text) {
  for (const std::string_view path : {"/register/", "/auth/"}) {
    const size_t at = text.rfind(path);
    if (at != std::string::npos) return text.substr(at + path.size());
  }
  return text;
}

}  // namespace

// By its id, or by the name that `nodes list` shows.
Result<Json, Failure> Session::find_node() {
  if (!in_.id.empty()) {
    ES_TRY(const Json answer, get("/api/v1/node/" + in_.id));
    return Json(part_of(answer, "node"));
  }
  ES_TRY(const Json answer, get("/api/v1/node"));
  for (const Json& node : list_of(answer, "nodes")) {
    if (text_of(node, "givenName") == in_.name) return Json(node);
  }
  return no_such_node();
}

Failure Session::no_such_node() const {
  const std::string which =
      in_.id.empty() ? "called \"" + in_.name + "\"" : "with the id " + in_.id;
  return {"there is no node " + which + ": 'edgescale nodes list' shows all"};
}

Outcome Session::nodes_list() {
  std::string target = "/api/v1/node";
  if (!in_.user.empty()) target += "?user=" + percent_encode(in_.user);
  ES_TRY(const Json answer, get(target));
  const Json& nodes = list_of(answer, "nodes");
  Table rows;
  for (const Json& node : nodes) {
    const Json user = node.is_object() && node.contains("user") ? node["user"] : Json();
    const bool online = flag_of(node, "online");
    rows.push_back({text_of(node, "id"), text_of(node, "name"), text_of(node, "givenName"),
                    short_key(text_of(node, "machineKey")), short_key(text_of(node, "nodeKey")),
                    text_of(user, "name"), joined(list_of(node, "tags"), ","),
                    joined(list_of(node, "ipAddresses")), is_ephemeral(node) ? "true" : "false",
                    moment(node, "lastSeen"), expiry(node, "expiry"), online ? "online" : "offline",
                    expired(node, io_.now) ? "yes" : "no"});
  }
  print_list(nodes,
             {"ID", "Hostname", "Name", "MachineKey", "NodeKey", "User", "Tags", "IP addresses",
              "Ephemeral", "Last seen", "Expiration", "Connected", "Expired"},
             rows);
  if (nodes.empty() && in_.user.empty()) {
    remark(
        "There are no nodes yet: 'edgescale preauthkeys create USER' makes a key for "
        "'tailscale up --auth-key'.");
  }
  return {};
}

Outcome Session::nodes_list_routes() {
  ES_TRY(const Json answer, get("/api/v1/node"));
  Json nodes = Json::array();
  Table rows;
  const bool all = in_.id.empty() && in_.name.empty();
  bool found = all;
  for (const Json& node : list_of(answer, "nodes")) {
    const bool asked_for =
        in_.id.empty() ? text_of(node, "givenName") == in_.name : text_of(node, "id") == in_.id;
    if (!all && !asked_for) continue;
    found = true;
    const bool none =
        list_of(node, "availableRoutes").empty() && list_of(node, "approvedRoutes").empty();
    if (none && all) continue;
    nodes.push_back(node);
    rows.push_back(
        {text_of(node, "id"), text_of(node, "givenName"), joined(list_of(node, "approvedRoutes")),
         joined(list_of(node, "availableRoutes")), joined(list_of(node, "subnetRoutes"))});
  }
  if (!found) return no_such_node();
  print_list(nodes, {"ID", "Hostname", "Approved", "Available", "Serving (Primary)"}, rows);
  return {};
}

Outcome Session::nodes_register() {
  const Json body{{"user", in_.user}, {"authId", auth_id_of(in_.auth_id)}};
  ES_TRY(const Json answer, post("/api/v1/auth/register", body));
  const Json& node = part_of(answer, "node");
  print(node,
        "Node " + printable(text_of(node, "givenName")) + " registered, id " + text_of(node, "id"));
  if (!list_of(node, "availableRoutes").empty()) {
    remark("It offers " + printable(joined(list_of(node, "availableRoutes"))) +
           ": 'edgescale nodes list-routes' shows what is approved, 'edgescale nodes "
           "approve-routes' approves.");
  }
  return {};
}

// One change of the node that the command names.
Result<Json, Failure> Session::change_node(const std::string& action, const Json& body) {
  std::string id = in_.id;
  if (id.empty()) {
    ES_TRY(const Json node, find_node());
    id = text_of(node, "id");
  }
  ES_TRY(const Json answer, post("/api/v1/node/" + percent_encode(id) + "/" + action, body));
  return Json(part_of(answer, "node"));
}

Outcome Session::put_node(const std::string& action, const Json& body, const std::string& done) {
  ES_TRY(const Json node, change_node(action, body));
  print(node, done);
  return {};
}

Outcome Session::nodes_expire() {
  Json body = Json::object();
  if (in_.disable_expiry) {
    body["disableExpiry"] = true;
    return put_node("expire", body, "Node expiry disabled");
  }
  if (in_.expiry.empty()) return put_node("expire", body, "Node expired");
  auto at = parse_rfc3339(in_.expiry);
  if (const auto from_now = parse_duration(in_.expiry); !at && from_now) at = io_.now + *from_now;
  if (!at) {
    return Failure{"--expiry: \"" + in_.expiry +
                   "\" is neither a time such as 2026-12-31T12:00:00Z nor a duration such as 90d"};
  }
  body["expiry"] = format_rfc3339(*at);
  return put_node("expire", body,
                  *at <= io_.now ? "Node expired"
                                 : "Node expires " + time_for_people(format_rfc3339(*at), io_.now));
}

Outcome Session::nodes_rename() {
  return put_node("rename/" + percent_encode(in_.new_name), Json::object(), "Node renamed");
}

Outcome Session::nodes_delete() {
  ES_TRY(const Json node, find_node());
  const std::string who =
      "\"" + printable(text_of(node, "givenName")) + "\" (id " + text_of(node, "id") + ")";
  ES_TRY(const bool yes, confirmed("Delete the node " + who + "?", "this deletes the node " + who));
  if (!yes) {
    print(Json{{"Result", "Node not deleted"}}, "Node not deleted");
    return {};
  }
  ES_TRY(const Json answer, remove("/api/v1/node/" + percent_encode(text_of(node, "id"))));
  print(Json{{"Result", "Node deleted"}}, "Node deleted");
  return {};
}

Outcome Session::nodes_tag() { return put_node("tags", Json{{"tags", in_.tags}}, "Node updated"); }

Outcome Session::nodes_approve_routes() {
  ES_TRY(const Json node, change_node("approve_routes", Json{{"routes", in_.routes}}));
  const Json& approved = list_of(node, "approvedRoutes");
  print(node, "Approved routes of " + printable(text_of(node, "givenName")) + ": " +
                  (approved.empty() ? "none" : printable(joined(approved))));
  std::string missing;
  for (const Json& route : approved) {
    const Json& offered = list_of(node, "availableRoutes");
    if (std::find(offered.begin(), offered.end(), route) != offered.end()) continue;
    missing += (missing.empty() ? "" : ", ") +
               printable(route.is_string() ? route.get<std::string>() : "");
  }
  if (!missing.empty())
    remark("It does not offer " + missing + ": 'tailscale set --advertise-routes' does.");
  return {};
}

Outcome Session::nodes_backfill() {
  ES_TRY(const bool yes,
         confirmed("Give and take addresses of nodes until they fit the configured prefixes?",
                   "this gives and takes addresses of nodes"));
  if (!yes) {
    print(Json{{"Result", "Nothing changed"}}, "Nothing changed");
    return {};
  }
  ES_TRY(const Json answer, post("/api/v1/node/backfillips?confirmed=true", Json::object()));
  const Json& changes = list_of(answer, "changes");
  print(answer, changes.empty() ? "All nodes fit the prefixes: nothing changed"
                                : printable(joined(changes, "; ")));
  return {};
}

Outcome Session::auth_approve() {
  Json body{{"authId", auth_id_of(in_.auth_id)}};
  if (!in_.user.empty()) body["user"] = in_.user;
  ES_TRY(const Json answer, post("/api/v1/auth/approve", body));
  print(answer, "Approved");
  return {};
}

Outcome Session::auth_reject() {
  ES_TRY(const Json answer, post("/api/v1/auth/reject", Json{{"authId", auth_id_of(in_.auth_id)}}));
  print(answer, "Rejected");
  return {};
}

Outcome Session::debug_create_node() {
  const Json body{
      {"user", in_.user}, {"key", in_.auth_id}, {"name", in_.name}, {"routes", in_.routes}};
  ES_TRY(const Json answer, post("/api/v1/debug/node", body));
  print(part_of(answer, "node"), "A registration waits: 'edgescale auth register --auth-id " +
                                     printable(in_.auth_id) + " --user " + printable(in_.user) +
                                     "' approves it");
  return {};
}

Outcome Session::debug_map() {
  std::string id = in_.id;
  if (id.empty()) {
    ES_TRY(const Json node, find_node());
    id = text_of(node, "id");
  }
  ES_TRY(const Json answer, get("/api/v1/debug/node/" + percent_encode(id) + "/map"));
  // There is no table of it.
  io_.out +=
      render_data(part_of(answer, "map"), in_.format == Format::kText ? Format::kJson : in_.format);
  return {};
}

Outcome Session::run_nodes() {
  switch (in_.command) {
    case Command::kNodesList:
      return nodes_list();
    case Command::kNodesListRoutes:
      return nodes_list_routes();
    case Command::kNodesRegister:
    case Command::kAuthRegister:
      return nodes_register();
    case Command::kNodesExpire:
      return nodes_expire();
    case Command::kNodesRename:
      return nodes_rename();
    case Command::kNodesDelete:
      return nodes_delete();
    case Command::kNodesTag:
      return nodes_tag();
    case Command::kNodesApproveRoutes:
      return nodes_approve_routes();
    case Command::kNodesBackfill:
      return nodes_backfill();
    case Command::kAuthApprove:
      return auth_approve();
    case Command::kAuthReject:
      return auth_reject();
    case Command::kDebugCreateNode:
      return debug_create_node();
    case Command::kDebugMap:
      return debug_map();
    case Command::kPolicyGet:
      return policy_get();
    case Command::kPolicySet:
      return policy_set();
    case Command::kPolicyCheck:
      return policy_check();
    case Command::kPolicyExplain:
      return policy_explain();
    default:
      return Failure{"this command does not talk to a server"};
  }
}

}  // namespace es::cli

#include "native/cli/commands.h"

#include "common/base/rfc3339.h"
#include "native/cli/app.h"
#include "native/cli/output.h"
#include "native/cli/session.h"
#include "native/cli/times.h"
#include "native/cli/values.h"

#include <nlohmann/json.hpp>

namespace es::cli {
std::string text_of(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) return {};
  const Json& value = object[key];
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() || value.is_boolean() ? value.dump() : std::string();
}

bool flag_of(const Json& object, const char* key) { return text_of(object, key) == "true"; }

const Json& list_of(const Json& answer, const char* key) {
  static const Json kEmpty = Json::array();
  return answer.contains(key) && answer[key].is_array() ? answer[key] : kEmpty;
}

const Json& part_of(const Json& answer, const char* key) {
  return answer.contains(key) ? answer[key] : answer;
}

Result<Json, Failure> Session::send(std::string_view method, const std::string& target,
                                    const Json& body) {
  try {
    return call_api(io_, method, target, body.dump());
  } catch (const Json::type_error&) {  // a terminal, or a file, of another encoding
    return Failure{"what is to be sent is not UTF-8 text"};
  }
}

Result<Json, Failure> Session::get(const std::string& target) {
  return call_api(io_, "GET", target, {});
}

Result<Json, Failure> Session::post(const std::string& target, const Json& body) {
  return send("POST", target, body);
}

Result<Json, Failure> Session::put(const std::string& target, const Json& body) {
  return send("PUT", target, body);
}

Result<Json, Failure> Session::remove(const std::string& target) {
  return call_api(io_, "DELETE", target, {});
}

void Session::print(const Json& data, const std::string& text) {
  io_.out += in_.format == Format::kText ? text + "\n" : render_data(data, in_.format);
}

void Session::print_list(const Json& list, const std::vector<std::string>& header,
                         const Table& rows) {
  io_.out +=
      in_.format == Format::kText ? render_table(header, rows) : render_data(list, in_.format);
}

void Session::remark(const std::string& text) {
  if (in_.format == Format::kText) io_.err += text + "\n";
}

std::string Session::moment(const Json& object, const char* key) const {
  return time_for_people(text_of(object, key), io_.now);
}

std::string Session::expiry(const Json& object, const char* key) const {
  return expiry_for_people(text_of(object, key), io_.now);
}

Result<bool, Failure> Session::confirmed(const std::string& question,
                                         const std::string& consequence) {
  if (in_.force) return true;
  const auto yes = io_.confirm(question);
  if (!yes) return Failure{consequence + ", and there is no terminal to ask at: say --force"};
  return *yes;
}

Result<Json, Failure> Session::find_user(const std::string& id, const std::string& name) {
  const std::string query = id.empty() ? "name=" + percent_encode(name) : "id=" + id;
  ES_TRY(const Json answer, get("/api/v1/user?" + query));
  const Json& users = list_of(answer, "users");
  if (users.size() == 1) return Json(users[0]);
  const std::string who = id.empty() ? "called \"" + name + "\"" : "with the id " + id;
  if (users.empty()) {
    return Failure{"there is no user " + who + ": 'edgescale users list' shows all"};
  }
  return Failure{"more than one user is " + who + ": give the id ('edgescale users list')"};
}

Result<Json, Failure> Session::find_user(const std::string& id_or_name) {
  const bool number = parse_unsigned(id_or_name).has_value();
  return find_user(number ? id_or_name : "", number ? "" : id_or_name);
}

Outcome Session::health() {
  ES_TRY(const Json answer, get("/api/v1/health"));
  const bool good = flag_of(answer, "databaseConnectivity");
  print(answer, good ? "healthy: the server and its database answer"
                     : "unhealthy: the server answers, its database does not");
  if (!good) return Failure{"the server's database does not answer: see the server's log"};
  return {};
}

Outcome Session::users_create() {
  Json body{{"name", in_.name}};
  if (!in_.display_name.empty()) body["displayName"] = in_.display_name;
  if (!in_.email.empty()) body["email"] = in_.email;
  if (!in_.picture_url.empty()) body["pictureUrl"] = in_.picture_url;
  if (!in_.role.empty()) body["role"] = in_.role;
  ES_TRY(const Json answer, post("/api/v1/user", body));
  const Json& user = part_of(answer, "user");
  print(user, "User created: " + printable(text_of(user, "name")) + ", id " + text_of(user, "id"));
  return {};
}

Outcome Session::users_list() {
  std::string target = "/api/v1/user";
  // One filter at most, as Headscale.
  if (!in_.id.empty()) {
    target += "?id=" + in_.id;
  } else if (!in_.name.empty()) {
    target += "?name=" + percent_encode(in_.name);
  } else if (!in_.email.empty()) {
    target += "?email=" + percent_encode(in_.email);
  }
  ES_TRY(const Json answer, get(target));
  const Json& users = list_of(answer, "users");
  Table rows;
  for (const Json& user : users) {
    const std::string role = text_of(user, "role");
    rows.push_back({text_of(user, "id"), text_of(user, "displayName"), text_of(user, "name"),
                    text_of(user, "email"), role.empty() ? "member" : role,
                    moment(user, "createdAt")});
  }
  print_list(users, {"ID", "Name", "Username", "Email", "Role", "Created"}, rows);
  if (users.empty() && target == "/api/v1/user") {
    remark("There are no users yet: 'edgescale users create NAME' makes one.");
  }
  return {};
}

Outcome Session::users_destroy() {
  ES_TRY(const Json user, find_user(in_.id, in_.name));
  const std::string who =
      "\"" + printable(text_of(user, "name")) + "\" (id " + text_of(user, "id") + ")";
  ES_TRY(const bool yes, confirmed("Delete the user " + who + " and all of its keys?",
                                   "this deletes the user " + who + " and all of its keys"));
  if (!yes) {
    print(Json{{"Result", "User not destroyed"}}, "User not destroyed");
    return {};
  }
  ES_TRY(const Json answer, remove("/api/v1/user/" + percent_encode(text_of(user, "id"))));
  print(answer, "User destroyed");
  return {};
}

Outcome Session::users_role() {
  ES_TRY(const Json user, find_user(in_.id, in_.name));
  ES_TRY(const Json answer, post("/api/v1/user/" + percent_encode(text_of(user, "id")) + "/role",
                                 Json{{"role", in_.role}}));
  print(part_of(answer, "user"), "Role of " + printable(text_of(user, "name")) + ": " + in_.role);
  return {};
}
Outcome Session::users_rename() {
  ES_TRY(const Json user, find_user(in_.id, in_.name));
  ES_TRY(const Json answer, post("/api/v1/user/" + percent_encode(text_of(user, "id")) +
                                     "/rename/" + percent_encode(in_.new_name),
                                 Json::object()));
  print(part_of(answer, "user"), "User renamed");
  return {};
}

Outcome Session::preauth_create() {
  Json body = Json::object();
  // With tags the nodes are the tags', whoever the key is of.
  std::string owner = "nodes with";
  for (const std::string& tag : in_.tags) owner += " " + printable(tag);
  if (!in_.user.empty()) {
    ES_TRY(const Json user, find_user(in_.user));
    body["user"] = text_of(user, "id");
    if (in_.tags.empty()) owner = "nodes of user " + printable(text_of(user, "name"));
  }
  body["reusable"] = in_.reusable;
  body["ephemeral"] = in_.ephemeral;
  body["expiration"] = format_rfc3339(io_.now + in_.expiration);
  body["aclTags"] = in_.tags;
  ES_TRY(const Json answer, post("/api/v1/preauthkey", body));
  const Json& key = part_of(answer, "preAuthKey");
  if (text_of(key, "key").empty()) return Failure{"the server made a key but did not tell it"};
  print(key, text_of(key, "key"));
  remark("Key " + text_of(key, "id") + " for " + owner + ", " +
         (in_.reusable ? "reusable" : "for one node") + ", expires " + moment(key, "expiration") +
         ". It is not shown again.");
  return {};
}

Outcome Session::preauth_list() {
  std::string only;
  if (!in_.user.empty()) {
    ES_TRY(const Json user, find_user(in_.user));
    only = text_of(user, "id");
  }
  ES_TRY(const Json answer, get("/api/v1/preauthkey"));
  Json keys = Json::array();
  Table rows;
  for (const Json& key : list_of(answer, "preAuthKeys")) {
    const Json user = key.is_object() && key.contains("user") ? key["user"] : Json();
    if (!only.empty() && text_of(user, "id") != only) continue;
    keys.push_back(key);
    std::string owner;
    for (const Json& tag : list_of(key, "aclTags")) {
      if (tag.is_string()) owner += (owner.empty() ? "" : ",") + tag.get<std::string>();
    }
    if (owner.empty()) owner = text_of(user, "name");
    rows.push_back({text_of(key, "id"), text_of(key, "key"), text_of(key, "reusable"),
                    text_of(key, "ephemeral"), text_of(key, "used"), expiry(key, "expiration"),
                    moment(key, "createdAt"), owner.empty() ? "-" : owner});
  }
  print_list(
      keys, {"ID", "Key/Prefix", "Reusable", "Ephemeral", "Used", "Expiration", "Created", "Owner"},
      rows);
  return {};
}

// Keys are addressed by id; what a person has at hand may be the key itself.
Result<std::string, Failure> Session::preauth_key_id() {
  if (!in_.id.empty()) return in_.id;
  ES_TRY(const Json answer, get("/api/v1/preauthkey"));
  const std::string wanted = bare_key_id(in_.prefix);
  for (const Json& key : list_of(answer, "preAuthKeys")) {
    if (bare_key_id(text_of(key, "key")) == wanted) return text_of(key, "id");
  }
  return Failure{"there is no such key: 'edgescale preauthkeys list' shows all with their ids"};
}

Outcome Session::preauth_expire() {
  ES_TRY(const std::string id, preauth_key_id());
  ES_TRY(const Json answer, post("/api/v1/preauthkey/expire", Json{{"id", id}}));
  print(answer, "Key expired");
  return {};
}

Outcome Session::preauth_delete() {
  ES_TRY(const std::string id, preauth_key_id());
  ES_TRY(const Json answer, remove("/api/v1/preauthkey?id=" + percent_encode(id)));
  print(answer, "Key deleted");
  return {};
}

Outcome Session::api_create() {
  const Json body{{"expiration", format_rfc3339(io_.now + in_.expiration)}};
  ES_TRY(const Json answer, post("/api/v1/apikey", body));
  const std::string key = text_of(answer, "apiKey");
  if (key.empty()) return Failure{"the server made a key but did not tell it"};
  print(Json(key), key);
  remark("Expires " + time_for_people(text_of(body, "expiration"), io_.now) +
         ". It is not shown again.");
  return {};
}

Outcome Session::api_list() {
  ES_TRY(const Json answer, get("/api/v1/apikey"));
  const Json& keys = list_of(answer, "apiKeys");
  Table rows;
  for (const Json& key : keys) {
    rows.push_back({text_of(key, "id"), text_of(key, "prefix"), expiry(key, "expiration"),
                    moment(key, "createdAt"), moment(key, "lastSeen")});
  }
  print_list(keys, {"ID", "Prefix", "Expiration", "Created", "Last used"}, rows);
  return {};
}

Outcome Session::api_expire() {
  const Json body =
      in_.id.empty() ? Json{{"prefix", bare_key_id(in_.prefix)}} : Json{{"id", in_.id}};
  ES_TRY(const Json answer, post("/api/v1/apikey/expire", body));
  print(answer, "Key expired");
  return {};
}

// The path of the DELETE needs the prefix.
Result<std::string, Failure> Session::api_key_prefix() {
  if (in_.id.empty()) return bare_key_id(in_.prefix);
  ES_TRY(const Json answer, get("/api/v1/apikey"));
  for (const Json& key : list_of(answer, "apiKeys")) {
    if (text_of(key, "id") == in_.id) return bare_key_id(text_of(key, "prefix"));
  }
  return Failure{"there is no key with the id " + in_.id + ": 'edgescale apikeys list' shows all"};
}

Outcome Session::api_delete() {
  ES_TRY(const std::string prefix, api_key_prefix());
  ES_TRY(const Json answer, remove("/api/v1/apikey/" + percent_encode(prefix)));
  print(answer, "Key deleted");
  return {};
}

Outcome Session::run() {
  switch (in_.command) {
    case Command::kHealth:
      return health();
    case Command::kUsersCreate:
      return users_create();
    case Command::kUsersList:
      return users_list();
    case Command::kUsersDestroy:
      return users_destroy();
    case Command::kUsersRole:
      return users_role();
    case Command::kUsersRename:
      return users_rename();
    case Command::kPreauthKeysCreate:
      return preauth_create();
    case Command::kPreauthKeysList:
      return preauth_list();
    case Command::kPreauthKeysExpire:
      return preauth_expire();
    case Command::kPreauthKeysDelete:
      return preauth_delete();
    case Command::kApiKeysCreate:
      return api_create();
    case Command::kApiKeysList:
      return api_list();
    case Command::kApiKeysExpire:
      return api_expire();
    case Command::kApiKeysDelete:
      return api_delete();
    default:
      return run_nodes();
  }
}

int run_remote(const Invocation& invocation, Io& io) {
  const Outcome done = Session(invocation, io).run();
  if (done.ok()) return kExitOk;
  report_error(done.error().text, invocation.format, io);
  return kExitError;
}

void report_error(std::string_view text, Format format, Io& io) {
  if (format == Format::kText) {
    io.err += "Error: " + printable(text) + "\n";
  } else {
    io.err += render_data(Json{{"error", std::string(text)}}, format);
  }
}

std::string bare_key_id(std::string_view text) {
  for (const std::string_view scheme : {"tskey-api-", "hskey-api-", "tskey-auth-", "hskey-auth-"}) {
    if (text.starts_with(scheme)) {
      text.remove_prefix(scheme.size());
      break;
    }
  }
  // Headscale's oldest keys are PREFIX.SECRET.
  text = text.substr(0, text.find_first_of(".*"));
  // Headscale's ids are 12 characters and may hold '-' themselves.
  constexpr size_t kIdLength = 12;
  if (text.size() > kIdLength && text[kIdLength] == '-')
    return std::string(text.substr(0, kIdLength));
  return std::string(text.substr(0, text.find('-')));
}

}  // namespace es::cli

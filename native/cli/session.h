// A command that talks to a server, in progress: what commands.cc and node_commands.cc share.
// Internal to the subcommands.
#pragma once

#include "native/cli/api_call.h"
#include "native/cli/commands.h"
#include "native/cli/output.h"

#include <string>
#include <string_view>
#include <vector>

namespace es::cli {

using Table = std::vector<std::vector<std::string>>;

// A member as text; empty when there is none or it is structured.
std::string text_of(const Json& object, const char* key);
bool flag_of(const Json& object, const char* key);
// The list `key`, or an empty one.
const Json& list_of(const Json& answer, const char* key);
// The member `key`, or the whole answer.
const Json& part_of(const Json& answer, const char* key);

// A command in progress: the first failed step ends it, by way of Failure.
class Session {
 public:
  Session(const Invocation& in, Io& io) : in_(in), io_(io) {}

  Outcome run();

 private:
  Result<Json, Failure> send(std::string_view method, const std::string& target, const Json& body);
  Result<Json, Failure> get(const std::string& target);
  Result<Json, Failure> post(const std::string& target, const Json& body);
  Result<Json, Failure> put(const std::string& target, const Json& body);
  Result<Json, Failure> remove(const std::string& target);

  void print(const Json& data, const std::string& text);
  void print_list(const Json& list, const std::vector<std::string>& header, const Table& rows);
  // A remark for people only.
  void remark(const std::string& text);
  std::string moment(const Json& object, const char* key) const;
  std::string expiry(const Json& object, const char* key) const;
  // True when a person or --force says yes; an error where there is nobody to ask.
  Result<bool, Failure> confirmed(const std::string& question, const std::string& consequence);

  Result<Json, Failure> find_user(const std::string& id, const std::string& name);
  Result<Json, Failure> find_user(const std::string& id_or_name);
  Result<std::string, Failure> preauth_key_id();
  Result<std::string, Failure> api_key_prefix();

  Outcome health();
  Outcome users_create();
  Outcome users_list();
  Outcome users_destroy();
  Outcome users_rename();
  Outcome users_role();
  Outcome preauth_create();
  Outcome preauth_list();
  Outcome preauth_expire();
  Outcome preauth_delete();
  Outcome api_create();
  Outcome api_list();
  Outcome api_expire();
  Outcome api_delete();
  // node_commands.cc
  Result<Json, Failure> find_node();
  Failure no_such_node() const;
  Result<Json, Failure> change_node(const std::string& action, const Json& body);
  Outcome put_node(const std::string& action, const Json& body, const std::string& done);
  Outcome nodes_list();
  Outcome nodes_list_routes();
  Outcome nodes_register();
  Outcome nodes_expire();
  Outcome nodes_rename();
  Outcome nodes_delete();
  Outcome nodes_tag();
  Outcome nodes_approve_routes();
  Outcome nodes_backfill();
  Outcome auth_approve();
  Outcome auth_reject();
  Outcome debug_create_node();
  Outcome debug_map();
  Outcome run_nodes();
  // policy_remote.cc
  Outcome policy_get();
  Outcome policy_set();
  Outcome policy_check();
  Outcome policy_explain();

  const Invocation& in_;
  Io& io_;
};

}  // namespace es::cli

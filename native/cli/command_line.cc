#include "native/cli/command_line.h"

#include "native/cli/app.h"
#include "native/cli/values.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>

namespace es::cli {
namespace {

// Texts that become other types once everything is parsed.
struct Raw {
  std::string format;
  std::string config;
  std::string address;
  std::string api_key;
  std::string timeout;
  std::string expiration;
  std::string target;  // the positional user or key
};

// Thrown for what CLI11 cannot check; caught in parse_command_line.
struct Wrong {
  std::string text;
};

// At most one subcommand: else CLI11 takes an argument that is called like a sibling, such as a
// user named "list", for a second command.
void one_command(CLI::App& app) { app.require_subcommand(0, 1); }

CLI::App* add(CLI::App& parent, Invocation& in, Command command, std::string name,
              std::string description, const std::vector<const char*>& aliases = {}) {
  CLI::App* const sub = parent.add_subcommand(std::move(name), std::move(description));
  for (const char* alias : aliases) sub->alias(alias);
  sub->fallthrough();
  sub->footer("Flags of every command: edgescale --help");
  sub->final_callback([&in, command] { in.command = command; });
  return sub;
}

CLI::App* add_group(CLI::App& root, std::string name, std::string description,
                    const std::vector<const char*>& aliases) {
  CLI::App* const group = root.add_subcommand(std::move(name), std::move(description));
  for (const char* alias : aliases) group->alias(alias);
  group->fallthrough();
  one_command(*group);
  return group;
}

void add_users(CLI::App& root, Invocation& in, Raw& raw) {
  CLI::App& users = *add_group(root, "users", "Manage users", {"user"});

  CLI::App* c = add(users, in, Command::kUsersCreate, "create", "Create a user", {"c", "new"});
  c->add_option("NAME", in.name, "At least two characters, beginning with a letter")->required();
  c->add_option("-d,--display-name", in.display_name, "Name for people");
  c->add_option("-e,--email", in.email, "E-mail address");
  c->add_option("-p,--picture-url", in.picture_url, "URL of a picture");
  const char* const roles =
      "member, auditor, billing-admin, it-admin, network-admin, admin or owner";
  c->add_option("--role", in.role, roles);

  const auto identify = [&](CLI::App* sub) {
    sub->add_option("-i,--identifier", in.id, "Id of the user");
    sub->add_option("-n,--name", in.name, "Name of the user");
  };
  c = add(users, in, Command::kUsersList, "list", "List the users", {"ls", "show"});
  identify(c);
  c->add_option("-e,--email", in.email, "E-mail address of the user");

  c = add(users, in, Command::kUsersDestroy, "destroy", "Delete a user and its keys",
          {"delete", "remove", "rm", "del"});
  identify(c);
  c->add_option("USER", raw.target, "Name or id of the user");

  c = add(users, in, Command::kUsersRename, "rename", "Rename a user", {"mv"});
  identify(c);
  c->add_option("-r,--new-name", in.new_name, "The new name");
  c->add_option("USER", raw.target, "Name or id of the user");
  c->add_option("NEW_NAME", in.new_name, "The new name");

  c = add(users, in, Command::kUsersRole, "role", "Give a user another role", {});
  identify(c);
  c->add_option("--role", in.role, roles);
  c->add_option("USER", raw.target, "Name or id of the user");
  c->add_option("ROLE", in.role, roles);
}

void add_preauth_keys(CLI::App& root, Invocation& in, Raw& raw) {
  CLI::App& keys = *add_group(root, "preauthkeys", "Manage the keys that register nodes",
                              {"preauthkey", "authkey", "pre"});
  // Where Headscale had it before 0.28, and much of what is written about it still has.
  keys.add_option("-u,--user", in.user)->group("");
  CLI::App* c = add(keys, in, Command::kPreauthKeysCreate, "create",
                    "Create a key and print it: it is shown this once", {"c", "new"});
  c->add_option("-u,--user", in.user, "Id or name of the user whose nodes it registers");
  c->add_option("USER", raw.target, "Id or name of the user whose nodes it registers");
  c->add_flag("--reusable", in.reusable, "For any number of nodes");
  c->add_flag("--ephemeral", in.ephemeral, "Its nodes are removed when they go away");
  c->add_option("-e,--expiration", raw.expiration, "How long it works: 30m, 24h, 90d (default 1h)");
  c->add_option("--tags", in.tags, "Tags of its nodes: tag:a,tag:b")
      ->delimiter(',')
      ->allow_extra_args(false);

  c = add(keys, in, Command::kPreauthKeysList, "list", "List the keys", {"ls", "show"});
  c->add_option("-u,--user", in.user, "Only those of this user (id or name)");

  const auto name_one = [&](CLI::App* sub) {
    sub->add_option("-i,--id", in.id, "Id of the key");
    sub->add_option("KEY", raw.target, "Id or prefix of the key, as listed");
  };
  name_one(add(keys, in, Command::kPreauthKeysExpire, "expire", "Let a key expire now",
               {"revoke", "exp", "e"}));
  name_one(add(keys, in, Command::kPreauthKeysDelete, "delete", "Delete a key",
               {"remove", "rm", "del", "d"}));
}

void add_api_keys(CLI::App& root, Invocation& in, Raw& raw) {
  CLI::App& keys = *add_group(root, "apikeys", "Manage the keys of the API", {"apikey", "api"});
  CLI::App* c = add(keys, in, Command::kApiKeysCreate, "create",
                    "Create a key and print it: it is shown this once", {"c", "new"});
  c->add_option("-e,--expiration", raw.expiration, "How long it works: 24h, 90d, 1y (default 90d)");
  add(keys, in, Command::kApiKeysList, "list", "List the keys", {"ls", "show"});
  const auto name_one = [&](CLI::App* sub) {
    sub->add_option("-p,--prefix", in.prefix, "Prefix of the key, as listed");
    sub->add_option("-i,--id", in.id, "Id of the key");
    sub->add_option("KEY", raw.target, "Id or prefix of the key, as listed");
  };
  name_one(add(keys, in, Command::kApiKeysExpire, "expire", "Let a key expire now",
               {"revoke", "exp", "e"}));
  name_one(
      add(keys, in, Command::kApiKeysDelete, "delete", "Delete a key", {"remove", "rm", "del"}));
}

void add_nodes(CLI::App& root, Invocation& in, Raw& raw) {
  CLI::App& nodes = *add_group(root, "nodes", "Manage the nodes", {"node", "machine", "machines"});
  const auto identify = [&](CLI::App* sub) {
    sub->add_option("-i,--identifier", in.id, "Id of the node");
    return sub;
  };
  const auto name_one = [&](CLI::App* sub) {
    identify(sub)->add_option("NODE", raw.target, "Id or name of the node");
    return sub;
  };
  const auto add_list = [&](CLI::App* sub, const char* flags, std::vector<std::string>& list,
                            const char* description) {
    sub->add_option(flags, list, description)->delimiter(',')->allow_extra_args(false)->required();
  };
  CLI::App* c = add(nodes, in, Command::kNodesList, "list", "List the nodes", {"ls", "show"});
  c->add_option("-u,--user", in.user, "Only those of this user (id or name)");
  c = add(nodes, in, Command::kNodesListRoutes, "list-routes",
          "List the routes that nodes offer, and which are approved and served", {"lsr", "routes"});
  identify(c)->add_option("NODE", raw.target, "Id or name of the node");
  c = add(nodes, in, Command::kNodesRegister, "register",
          "Let a waiting node in (older form of 'auth register')");
  c->add_option("-u,--user", in.user, "Id or name of the user who owns it")->required();
  c->add_option("-k,--key", in.auth_id, "Id that the log-in page shows")->required();
  c = name_one(add(nodes, in, Command::kNodesExpire, "expire",
                   "Let a node's key expire: it must log in again", {"logout", "exp", "e"}));
  c->add_option("-e,--expiry", in.expiry,
                "When: 2026-12-31T12:00:00Z, or a duration from now (default: now)");
  c->add_flag("-d,--disable", in.disable_expiry, "Its key never expires");
  c = add(nodes, in, Command::kNodesRename, "rename", "Give a node another name");
  name_one(c)->add_option("NEW_NAME", in.new_name,
                          "A DNS label: lower-case letters, digits and '-'");
  name_one(
      add(nodes, in, Command::kNodesDelete, "delete", "Delete a node", {"del", "remove", "rm"}));
  c = name_one(add(nodes, in, Command::kNodesTag, "tag",
                   "Set the tags of a node, which then belongs to them and no longer to a user",
                   {"tags", "t"}));
  add_list(c, "-t,--tags", in.tags, "All of its tags: tag:a,tag:b");
  c = name_one(add(nodes, in, Command::kNodesApproveRoutes, "approve-routes",
                   "Set which of a node's routes are approved"));
  add_list(c, "-r,--routes", in.routes,
           "All that are approved: 10.0.0.0/24,0.0.0.0/0; \"\" for none");
  add(nodes, in, Command::kNodesBackfill, "backfillips",
      "Give and take addresses until they fit the configured prefixes");
}

void add_auth(CLI::App& root, Invocation& in) {
  CLI::App& auth =
      *add_group(root, "auth", "Decide about nodes and SSH log-ins that wait to be let in", {});
  const auto name_one = [&](CLI::App* sub) {
    sub->add_option("--auth-id", in.auth_id, "Id that the page shows, or its address")->required();
    return sub;
  };
  CLI::App* c = name_one(add(auth, in, Command::kAuthRegister, "register", "Let a node in"));
  c->add_option("-u,--user", in.user, "Id or name of the user who owns it")->required();
  c = name_one(
      add(auth, in, Command::kAuthApprove, "approve", "Let in the node or the SSH log-in"));
  c->add_option("-u,--user", in.user,
                "Id or name of the user who owns the node; an SSH log-in needs none");
  name_one(add(auth, in, Command::kAuthReject, "reject", "Turn it away"));
}

void add_debug(CLI::App& root, Invocation& in, Raw& raw) {
  CLI::App& debug = *add_group(root, "debug", "Look inside, for debugging", {});
  CLI::App* c = add(debug, in, Command::kDebugMap, "map", "Print the map that a node would get");
  c->add_option("-i,--identifier", in.id, "Id of the node");
  c->add_option("NODE", raw.target, "Id or name of the node");
  c = add(debug, in, Command::kDebugCreateNode, "create-node",
          "Let a registration wait that no client asked for");
  c->add_option("--name", in.name, "Host name of the node")->required();
  c->add_option("-u,--user", in.user, "Id or name of a user")->required();
  c->add_option("-k,--key", in.auth_id, "Id of the registration: hskey-authreq- and 24 characters")
      ->required();
  c->add_option("-r,--route", in.routes, "Routes that it offers")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void add_policy(CLI::App& root, Invocation& in) {
  CLI::App& policy = *add_group(root, "policy", "Say who may talk to whom", {});
  const auto add_file = [&](CLI::App* sub) {
    sub->add_option("-f,--policy,--file", in.policy_file,
                    "The policy, HuJSON or YAML; - is standard input")
        ->type_name("FILE")
        ->required();
    return sub;
  };
  const auto add_topology = [&](CLI::App* sub) {
    sub->add_option("--topology", in.topology_file, "Users and nodes, as JSON")->type_name("FILE");
    return sub;
  };
  const auto add_bypass = [&](CLI::App* sub) {
    sub->add_flag(
        "--bypass-server-and-access-database-directly", in.bypass,
        "Open the configured database, and bring it up to date, while the server is stopped");
    return sub;
  };
  add_bypass(add(policy, in, Command::kPolicyGet, "get", "Print the policy in service",
                 {"show", "view", "fetch"}));
  add_bypass(
      add_file(add(policy, in, Command::kPolicySet, "set",
                   "Put a policy into service, if nothing is wrong with it", {"put", "update"})));
  CLI::App* c = add_bypass(add_topology(
      add_file(add(policy, in, Command::kPolicyCheck, "check",
                   "Print every problem of a policy; asks the server about its users and nodes, "
                   "unless --topology names them"))));
  c->add_flag("--offline", in.offline, "Ask nobody; the policy's own tests are not run then");
  c = add(policy, in, Command::kPolicyExplain, "explain",
          "Say which rule decides about a connection");
  c->add_option("--src", in.source, "An address, a node's name or id, a tag, or a user")
      ->required();
  c->add_option("--dst", in.destination, "The same, with its port: web:443")->required();
  c->add_option("--proto", in.protocol, "tcp, udp, icmp, a number; left out: any of the usual");
  add_topology(add_file(add(policy, in, Command::kPolicyCompile, "compile",
                            "Print what each node would get, without a server")));
}

void add_globals(CLI::App& root, Invocation& in, Raw& raw) {
  root.add_option("-c,--config", raw.config, "Config file (see docs/config-example.yaml)")
      ->type_name("FILE");
  root.add_option("-o,--output", raw.format, "Output for programs")
      ->check(CLI::IsMember({"json", "json-line", "yaml"}));
  root.add_flag("--force", in.force, "Ask for no confirmation");
  root.add_option("--address", raw.address,
                  "Talk to the server at this URL instead of the unix socket");
  root.add_option("--api-key", raw.api_key,
                  "Key for --address; safer in the variable HEADSCALE_CLI_API_KEY");
  root.add_option("--timeout", raw.timeout, "How long to wait for the server (default 5s)");
  root.add_flag("--insecure", in.insecure, "Accept any certificate of the server");
}

std::unique_ptr<CLI::App> make_app(Invocation& in, Raw& raw) {
  auto app =
      std::make_unique<CLI::App>("Edgescale: a control server for Tailscale clients", "edgescale");
  CLI::App& root = *app;
  one_command(root);
  root.set_help_flag("-h,--help", "Print this help");
  add_globals(root, in, raw);
  add_users(root, in, raw);
  add_preauth_keys(root, in, raw);
  add_api_keys(root, in, raw);
  add_nodes(root, in, raw);
  add_auth(root, in);
  add_policy(root, in);
  add_debug(root, in, raw);
  add(root, in, Command::kHealth, "health", "Ask the server whether it is healthy");
  add(root, in, Command::kServe, "serve", "Run the server");
  add(root, in, Command::kConfigTest, "configtest", "Say everything that is wrong with the config");
  CLI::App& generate = *add_group(root, "generate", "Generate keys", {"gen"});
  add(generate, in, Command::kGeneratePrivateKey, "private-key",
      "Print a new private key for the server");
  CLI::App* c = add(root, in, Command::kCompletion, "completion",
                    "Print a script that completes commands; see 'completion --help'");
  c->add_option("SHELL", in.shell, "For example: source <(edgescale completion bash)")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  add(root, in, Command::kVersion, "version", "Print the version");
  c = add(root, in, Command::kDumpConfig, "dumpConfig", "Print the configuration in effect");
  c->group("");  // hidden, as Headscale's is
  return app;
}

// The innermost command that the command line named.
const CLI::App& deepest(const CLI::App& app) {
  const auto subs = app.get_subcommands();
  return subs.empty() ? app : deepest(*subs.front());
}

std::string full_name(const CLI::App& app) {
  const CLI::App* const parent = app.get_parent();
  return parent == nullptr ? "edgescale" : full_name(*parent) + " " + app.get_name();
}

std::vector<const CLI::App*> children(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

// What to use for the commands that older Headscales had.
std::string instead_of(const std::string& command) {
  if (command == "edgescale routes") {
    return "see 'edgescale nodes list-routes' and 'approve-routes'";
  }
  if (command == "edgescale namespaces") return "see 'edgescale users'";
  return command == "edgescale nodes move" ? "delete it, and let it join for the other user" : "";
}

std::string unexpected(const CLI::App& at, const std::vector<std::string>& extras) {
  const std::string word = extras.empty() ? "" : extras.front();
  const std::string where = full_name(at);
  std::vector<std::string_view> candidates;
  std::vector<std::string> names;
  const bool flag = word.starts_with("-");
  bool misplaced = false;
  if (flag) {
    for (const CLI::App* app = &at; app != nullptr; app = app->get_parent()) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
        for (const std::string& name : option->get_snames()) misplaced |= "-" + name == word;
      }
    }
  } else {
    for (const CLI::App* sub : children(at)) {
      names.push_back(sub->get_name());
      for (const std::string& alias : sub->get_aliases()) names.push_back(alias);
    }
  }
  candidates.assign(names.begin(), names.end());
  const std::string_view near = near_miss(word.substr(0, word.find('=')), candidates);
  std::string text = flag                   ? where + " has no flag " + word
                     : children(at).empty() ? where + " takes no argument \"" + word + "\""
                                            : where + " has no command \"" + word + "\"";
  if (misplaced || (flag && near == word)) {
    text = word + " comes after the whole command: " + where + " " + word;
  } else if (const std::string now = instead_of(where + " " + word); !now.empty()) {
    text += ": " + now;
  } else if (!near.empty()) {
    text += ": did you mean " + std::string(near) + "?";
  }
  return text + "\nSee " + where + " --help";
}

Millis duration(const std::string& text, const char* flag) {
  const auto value = parse_duration(text);
  if (!value) {
    throw Wrong{std::string(flag) + ": \"" + text + "\" is not a duration such as 30m, 24h or 90d"};
  }
  if (value->count() == 0) throw Wrong{std::string(flag) + " must be longer than 0"};
  return *value;
}

void require_number(const std::string& text, const char* flag) {
  if (text.empty() || parse_unsigned(text).value_or(0) != 0) return;
  throw Wrong{std::string(flag) + " takes a number, not \"" + text + "\""};
}

// The positional argument stands for one of the flags; both at once is a contradiction.
void place_target(Invocation& in, const std::string& target) {
  if (target.empty()) return;
  const bool number = parse_unsigned(target).has_value();
  const auto put = [&](std::string& field) {
    if (!field.empty())
      throw Wrong{"\"" + target + "\" is given beside a flag that means the same"};
    field = target;
  };
  switch (in.command) {
    case Command::kUsersDestroy:
    case Command::kUsersRename:
    case Command::kUsersRole:
      if (!in.id.empty() || !in.name.empty()) {
        if (in.command == Command::kUsersRename && in.new_name.empty()) return put(in.new_name);
        if (in.command == Command::kUsersRole && in.role.empty()) return put(in.role);
        throw Wrong{"\"" + target + "\" is given beside --identifier or --name: give one"};
      }
      return put(number ? in.id : in.name);
    case Command::kPreauthKeysCreate:
      return put(in.user);
    case Command::kPreauthKeysExpire:
    case Command::kPreauthKeysDelete:
    case Command::kApiKeysExpire:
    case Command::kApiKeysDelete:
      if (!in.id.empty() || !in.prefix.empty()) {
        throw Wrong{"\"" + target + "\" is given beside --id or --prefix: give one"};
      }
      return put(number ? in.id : in.prefix);
    case Command::kNodesExpire:
    case Command::kNodesRename:
    case Command::kNodesListRoutes:
    case Command::kNodesDelete:
    case Command::kNodesTag:
    case Command::kNodesApproveRoutes:
    case Command::kDebugMap:
      if (!in.id.empty()) {
        // Headscale's form: rename --identifier ID NEW_NAME.
        if (in.command == Command::kNodesRename && in.new_name.empty()) return put(in.new_name);
        throw Wrong{"\"" + target + "\" is given beside --identifier: give one"};
      }
      return put(number ? in.id : in.name);
    default:
      return;
  }
}

void check(const Invocation& in) {
  switch (in.command) {
    case Command::kUsersDestroy:
    case Command::kUsersRename:
    case Command::kUsersRole:
      if (in.id.empty() && in.name.empty()) {
        throw Wrong{
            "which user? Give its name, or --identifier ID; 'edgescale users list' shows "
            "both"};
      }
      if (!in.id.empty() && !in.name.empty()) {
        throw Wrong{"--identifier and --name are both given: give one"};
      }
      if (in.command == Command::kUsersRename && in.new_name.empty()) {
        throw Wrong{"which new name? 'edgescale users rename USER NEW_NAME'"};
      }
      if (in.command == Command::kUsersRole && in.role.empty()) {
        throw Wrong{
            "which role? member, auditor, billing-admin, it-admin, network-admin, admin "
            "or owner"};
      }
      return;
    case Command::kPreauthKeysCreate:
      if (in.user.empty() && in.tags.empty()) {
        throw Wrong{
            "for which user? 'edgescale preauthkeys create USER', or --tags for nodes that "
            "belong to no user"};
      }
      return;
    case Command::kPreauthKeysExpire:
    case Command::kPreauthKeysDelete:
      if (in.id.empty() && in.prefix.empty()) {
        throw Wrong{"which key? Give --id ID; 'edgescale preauthkeys list' shows it"};
      }
      return;
    case Command::kApiKeysExpire:
    case Command::kApiKeysDelete:
      if (in.id.empty() == in.prefix.empty()) {
        throw Wrong{
            "which key? Give either --id ID or --prefix PREFIX; 'edgescale apikeys list' "
            "shows both"};
      }
      return;
    case Command::kNodesExpire:
      if (in.disable_expiry && !in.expiry.empty()) {
        throw Wrong{"--disable and --expiry are both given: give one"};
      }
      [[fallthrough]];
    case Command::kNodesRename:
    case Command::kNodesDelete:
    case Command::kNodesTag:
    case Command::kNodesApproveRoutes:
    case Command::kDebugMap:
      if (in.id.empty() && in.name.empty()) {
        throw Wrong{
            "which node? Give its name, or --identifier ID; 'edgescale nodes list' shows both"};
      }
      if (in.command == Command::kNodesRename && in.new_name.empty()) {
        throw Wrong{"which new name? 'edgescale nodes rename NODE NEW_NAME'"};
      }
      return;
    default:
      return;
  }
}

void finish(Invocation& in, const Raw& raw) {
  if (!raw.config.empty()) in.config_path = raw.config;
  if (!raw.address.empty()) in.address = raw.address;
  if (!raw.api_key.empty()) in.api_key = raw.api_key;
  if (!raw.timeout.empty()) in.timeout = duration(raw.timeout, "--timeout");
  in.format = raw.format == "json"        ? Format::kJson
              : raw.format == "json-line" ? Format::kJsonLine
              : raw.format == "yaml"      ? Format::kYaml
                                          : Format::kText;
  if (in.command == Command::kPreauthKeysCreate || in.command == Command::kApiKeysCreate) {
    const char* const standard = in.command == Command::kApiKeysCreate ? "90d" : "1h";
    in.expiration = duration(raw.expiration.empty() ? standard : raw.expiration, "--expiration");
  }
  place_target(in, raw.target);
  // -i -1 is how Headscale's help spells "none".
  if (in.id == "-1") in.id.clear();
  const bool is_key =
      in.command >= Command::kPreauthKeysCreate && in.command <= Command::kApiKeysDelete;
  require_number(in.id, is_key ? "--id" : "--identifier");
  // --routes "" and --tags "" name none.
  std::erase(in.routes, "");
  std::erase(in.tags, "");
  check(in);
}

void collect(const CLI::App& app, CommandShape& shape) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    const size_t open = type.find('{');
    std::vector<std::string> choices;
    if (open != std::string::npos) {
      choices = CLI::detail::split(type.substr(open + 1, type.find('}') - open - 1), ',');
    }
    if (option->get_positional()) {
      if (shape.arguments.empty()) shape.arguments = choices;
      continue;
    }
    FlagShape flag;
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    flag.description = option->get_description();
    flag.takes_value = option->get_items_expected_max() > 0;
    flag.is_file = type == "FILE";
    flag.choices = std::move(choices);
    shape.flags.push_back(std::move(flag));
  }
  for (const CLI::App* sub : children(app)) {
    if (sub->get_group().empty()) continue;
    CommandShape child;
    child.names.push_back(sub->get_name());
    for (const std::string& alias : sub->get_aliases()) child.names.push_back(alias);
    child.description = sub->get_description();
    collect(*sub, child);
    shape.commands.push_back(std::move(child));
  }
}

ParseEnd usage(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return {kExitUsage, "Error: " + std::move(text) + "\n"};
}

// CLI11's "--user: 1 required TEXT missing", for people.
std::string words_of(const CLI::ParseError& error) {
  const std::string text = error.what();
  const size_t at = text.find(": 1 required ");
  return at == std::string::npos ? text : text.substr(0, at) + " needs a value";
}

// From the last word to the first, as CLI11 takes them. "help users create" is cobra's, and thereby
// Headscale's; --version is everybody's.
std::vector<std::string> reversed(std::span<const std::string> args) {
  std::vector<std::string> words(args.rbegin(), args.rend());
  if (!words.empty() && words.back() == "help") {
    words.pop_back();
    words.insert(words.begin(), "--help");
  } else if (words.size() == 1 && words[0] == "--version") {
    words[0] = "version";
  }
  return words;
}

}  // namespace

std::variant<Invocation, ParseEnd> parse_command_line(std::span<const std::string> args) {
  Invocation in;
  Raw raw;
  const auto app = make_app(in, raw);
  try {
    app->parse(reversed(args));
    const CLI::App& at = deepest(*app);
    if (!children(at).empty()) return usage("a command is missing\n\n" + app->help());
    finish(in, raw);
  } catch (const CLI::CallForHelp&) {
    return ParseEnd{kExitOk, app->help()};
  } catch (const CLI::ExtrasError&) {
    return usage(unexpected(deepest(*app), app->remaining(true)));
  } catch (const CLI::ParseError& e) {
    return usage(words_of(e) + "\nSee " + full_name(deepest(*app)) + " --help");
  } catch (const Wrong& wrong) {
    return usage(wrong.text);
  }
  return in;
}

CommandShape command_shape() {
  Invocation in;
  Raw raw;
  const auto app = make_app(in, raw);
  CommandShape shape;
  shape.names.push_back(app->get_name());
  shape.description = app->get_description();
  collect(*app, shape);
  return shape;
}

}  // namespace es::cli

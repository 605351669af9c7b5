#include "native/cli/command_line.h"

#include "native/cli/app.h"
#include "native/cli/completion.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <unistd.h>

namespace es::cli {
namespace {

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> out;
  for (std::string word; stream >> word;) out.push_back(word);
  return out;
}

Invocation understood(const std::string& line) {
  INFO(line);
  auto parsed = parse_command_line(words(line));
  if (const auto* end = std::get_if<ParseEnd>(&parsed)) FAIL(end->text);
  return std::get<Invocation>(parsed);
}

std::string refused(const std::string& line) {
  INFO(line);
  auto parsed = parse_command_line(words(line));
  REQUIRE(std::holds_alternative<ParseEnd>(parsed));
  const auto& end = std::get<ParseEnd>(parsed);
  CHECK(end.exit_code == kExitUsage);
  return end.text.substr(0, end.text.find('\n'));
}

}  // namespace

TEST_CASE("every command has Headscale's names and aliases") {
  const std::pair<const char*, Command> rows[] = {
      {"version", Command::kVersion},
      {"--version", Command::kVersion},
      {"health", Command::kHealth},
      {"configtest", Command::kConfigTest},
      {"dumpConfig", Command::kDumpConfig},
      {"completion bash", Command::kCompletion},
      {"generate private-key", Command::kGeneratePrivateKey},
      {"gen private-key", Command::kGeneratePrivateKey},
      {"users create ann", Command::kUsersCreate},
      {"user c ann", Command::kUsersCreate},
      {"user new ann", Command::kUsersCreate},
      {"users list", Command::kUsersList},
      {"user ls", Command::kUsersList},
      {"user show", Command::kUsersList},
      {"users destroy -i 1", Command::kUsersDestroy},
      {"users delete -n ann", Command::kUsersDestroy},
      {"users rename -i 1 -r bob", Command::kUsersRename},
      {"user mv -i 1 -r bob", Command::kUsersRename},
      {"users role ann admin", Command::kUsersRole},
      {"users role -i 1 --role admin", Command::kUsersRole},
      {"users role -n ann admin", Command::kUsersRole},
      {"preauthkeys create -u 1", Command::kPreauthKeysCreate},
      {"preauthkey c -u 1", Command::kPreauthKeysCreate},
      {"authkey new -u 1", Command::kPreauthKeysCreate},
      {"preauthkeys --user 1 create", Command::kPreauthKeysCreate},
      {"pre list", Command::kPreauthKeysList},
      {"authkey ls", Command::kPreauthKeysList},
      {"authkey show", Command::kPreauthKeysList},
      {"authkey expire -i 1", Command::kPreauthKeysExpire},
      {"authkey revoke -i 1", Command::kPreauthKeysExpire},
      {"authkey exp -i 1", Command::kPreauthKeysExpire},
      {"authkey e -i 1", Command::kPreauthKeysExpire},
      {"authkey delete -i 1", Command::kPreauthKeysDelete},
      {"authkey rm -i 1", Command::kPreauthKeysDelete},
      {"authkey remove -i 1", Command::kPreauthKeysDelete},
      {"authkey del -i 1", Command::kPreauthKeysDelete},
      {"authkey d -i 1", Command::kPreauthKeysDelete},
      {"apikeys create", Command::kApiKeysCreate},
      {"apikey c", Command::kApiKeysCreate},
      {"api list", Command::kApiKeysList},
      {"api ls", Command::kApiKeysList},
      {"api expire -p abc", Command::kApiKeysExpire},
      {"api revoke -i 1", Command::kApiKeysExpire},
      {"api delete -p abc", Command::kApiKeysDelete},
      {"api remove -i 1", Command::kApiKeysDelete},
      {"nodes list", Command::kNodesList},
      {"node ls -u ann", Command::kNodesList},
      {"machines show", Command::kNodesList},
      {"nodes list-routes", Command::kNodesListRoutes},
      {"node lsr -i 1", Command::kNodesListRoutes},
      {"nodes list-routes laptop", Command::kNodesListRoutes},
      {"node routes", Command::kNodesListRoutes},
      {"nodes register -u ann -k hskey-authreq-x", Command::kNodesRegister},
      {"nodes expire -i 1", Command::kNodesExpire},
      {"node logout -i 1 -d", Command::kNodesExpire},
      {"node exp 1", Command::kNodesExpire},
      {"node e laptop -e 2030-01-01T00:00:00Z", Command::kNodesExpire},
      {"nodes rename -i 1 laptop", Command::kNodesRename},
      {"nodes rename laptop --identifier 1", Command::kNodesRename},
      {"nodes delete -i 1", Command::kNodesDelete},
      {"node del laptop", Command::kNodesDelete},
      {"nodes tag -i 1 -t tag:a,tag:b", Command::kNodesTag},
      {"node tags -i 1 --tags tag:a", Command::kNodesTag},
      {"node t laptop -t tag:a", Command::kNodesTag},
      {"nodes approve-routes -i 1 -r 10.0.0.0/8", Command::kNodesApproveRoutes},
      {"nodes backfillips", Command::kNodesBackfill},
      {"auth register -u ann --auth-id x", Command::kAuthRegister},
      {"auth approve --auth-id x", Command::kAuthApprove},
      {"auth reject --auth-id x", Command::kAuthReject},
      {"debug create-node --name n -u ann -k x -r 10.0.0.0/8", Command::kDebugCreateNode},
      {"debug map -i 1", Command::kDebugMap},
  };
  for (const auto& [line, command] : rows) {
    INFO(line);
    CHECK(understood(line).command == command);
  }
}

TEST_CASE("the commands of the deployment guide work as written") {
  const Invocation user = understood("user create admin");
  CHECK(user.command == Command::kUsersCreate);
  CHECK(user.name == "admin");
  const Invocation key = understood("authkey create 1 --reusable --expiration 24h");
  CHECK(key.command == Command::kPreauthKeysCreate);
  CHECK(key.user == "1");
  CHECK(key.reusable);
  CHECK(key.expiration == std::chrono::hours(24));
}

TEST_CASE("nodes are named by id or by name, and lists come with commas, repeated, or empty") {
  CHECK(understood("nodes delete 7").id == "7");
  CHECK(understood("nodes delete -i 7").id == "7");
  CHECK(understood("nodes delete laptop").name == "laptop");
  const Invocation renamed = understood("nodes rename -i 7 42");
  CHECK(renamed.id == "7");
  CHECK(renamed.new_name == "42");
  const Invocation by_name = understood("nodes rename laptop desktop");
  CHECK(by_name.name == "laptop");
  CHECK(by_name.new_name == "desktop");
  const Invocation tagged = understood("nodes tag -i 7 -t tag:a,tag:b -t tag:c");
  CHECK(tagged.tags == std::vector<std::string>{"tag:a", "tag:b", "tag:c"});
  const auto none =
      parse_command_line(std::vector<std::string>{"nodes", "approve-routes", "-i", "7", "-r", ""});
  REQUIRE(std::holds_alternative<Invocation>(none));
  CHECK(std::get<Invocation>(none).routes.empty());
  CHECK(refused("nodes approve-routes -i 7").find("--routes") != std::string::npos);
  CHECK(refused("nodes tag -i 7").find("--tags") != std::string::npos);
  CHECK(refused("nodes expire") ==
        "Error: which node? Give its name, or --identifier ID; 'edgescale nodes list' shows both");
  CHECK(refused("nodes expire 7 -d -e 1h") ==
        "Error: --disable and --expiry are both given: give one");
  CHECK(refused("nodes delete laptop -i 7") ==
        "Error: \"laptop\" is given beside --identifier: give one");
  CHECK(refused("nodes delete -i seven") == "Error: --identifier takes a number, not \"seven\"");
  CHECK(refused("auth register --auth-id x").find("--user") != std::string::npos);
}

TEST_CASE("flags and their short forms fill the request") {
  const Invocation user =
      understood("users create ann -d Ann -e ann@example.com -p https://example.com/a.png");
  CHECK(user.display_name == "Ann");
  CHECK(user.email == "ann@example.com");
  CHECK(user.picture_url == "https://example.com/a.png");
  const Invocation key =
      understood("preauthkeys create --user 7 --ephemeral -e 30m --tags tag:a,tag:b --tags tag:c");
  CHECK(key.user == "7");
  CHECK(key.ephemeral);
  CHECK_FALSE(key.reusable);
  CHECK(key.expiration == std::chrono::minutes(30));
  CHECK(key.tags == std::vector<std::string>{"tag:a", "tag:b", "tag:c"});
  CHECK(understood("authkey create ann").expiration == std::chrono::hours(1));
  CHECK(understood("apikeys create").expiration == std::chrono::hours(24 * 90));
  CHECK(understood("authkey create --tags tag:a ann").user == "ann");
}

TEST_CASE("flags of every command stand before or behind it") {
  for (const char* line :
       {"-c /x.yaml -o json --force users list", "users list -o json --force -c /x.yaml",
        "users -o json list --force --config /x.yaml"}) {
    const Invocation in = understood(line);
    CHECK(in.config_path == "/x.yaml");
    CHECK(in.format == Format::kJson);
    CHECK(in.force);
  }
  const Invocation far =
      understood("health --address https://a.example --api-key k --timeout 2s --insecure");
  CHECK(far.address == "https://a.example");
  CHECK(far.api_key == "k");
  CHECK(far.timeout == std::chrono::seconds(2));
  CHECK(far.insecure);
  CHECK(understood("users list -o json-line").format == Format::kJsonLine);
  CHECK(understood("users list --output=yaml").format == Format::kYaml);
}

TEST_CASE("a user or key may be positional, by id or by name") {
  CHECK(understood("users destroy ann").name == "ann");
  CHECK(understood("users destroy 3").id == "3");
  const Invocation old = understood("users rename ann bob");
  CHECK(old.name == "ann");
  CHECK(old.new_name == "bob");
  const Invocation mixed = understood("users rename -i 3 bob");
  CHECK(mixed.id == "3");
  CHECK(mixed.new_name == "bob");
  for (const char* line : {"users role ann admin", "users role -n ann admin",
                           "users role ann --role admin", "users role --role admin ann"}) {
    INFO(line);
    CHECK(understood(line).name == "ann");
    CHECK(understood(line).role == "admin");
  }
  CHECK(understood("authkey expire 4").id == "4");
  CHECK(understood("apikeys expire abc").prefix == "abc");
}

TEST_CASE("a user may be called like a command") {
  CHECK(understood("users create list").name == "list");
  CHECK(understood("users create health").name == "health");
  CHECK(understood("authkey create users").user == "users");
}

TEST_CASE("a wrong command line says what to fix, with exit code 2") {
  const std::pair<const char*, const char*> rows[] = {
      {"", "Error: a command is missing"},
      {"users", "Error: a command is missing"},
      {"usrs", "Error: edgescale has no command \"usrs\": did you mean users?"},
      {"routes list",
       "Error: edgescale has no command \"routes\": see 'edgescale nodes list-routes' and "
       "'approve-routes'"},
      {"nodes move -i 1 -u 2",
       "Error: edgescale nodes has no command \"move\": delete it, and let it join for the "
       "other user"},
      {"users -e a@b.c list", "Error: -e comes after the whole command: edgescale users list -e"},
      {"users --email a@b.c list",
       "Error: --email comes after the whole command: edgescale users list --email"},
      {"users lst", "Error: edgescale users has no command \"lst\": did you mean list?"},
      {"users list --nam x", "Error: edgescale users list has no flag --nam: did you mean --name?"},
      {"users create", "Error: NAME is required"},
      {"users create a b", "Error: edgescale users create takes no argument \"b\""},
      {"users destroy",
       "Error: which user? Give its name, or --identifier ID; 'edgescale users list' shows both"},
      {"users destroy -i 1 -n a", "Error: --identifier and --name are both given: give one"},
      {"users role ann",
       "Error: which role? member, auditor, billing-admin, it-admin, network-admin, admin or "
       "owner"},
      {"users destroy -i x", "Error: --identifier takes a number, not \"x\""},
      {"users destroy 1 -n a", "Error: \"1\" is given beside --identifier or --name: give one"},
      {"users rename ann", "Error: which new name? 'edgescale users rename USER NEW_NAME'"},
      {"nodes rename lap", "Error: which new name? 'edgescale nodes rename NODE NEW_NAME'"},
      {"authkey create",
       "Error: for which user? 'edgescale preauthkeys create USER', or --tags for nodes that "
       "belong to no user"},
      {"authkey create 1 -u 2", "Error: \"1\" is given beside a flag that means the same"},
      {"authkey create 1 -e soon",
       "Error: --expiration: \"soon\" is not a duration such as 30m, 24h or 90d"},
      {"authkey create 1 -e 24",
       "Error: --expiration: \"24\" is not a duration such as 30m, 24h or 90d"},
      {"authkey create 1 -e 0", "Error: --expiration must be longer than 0"},
      {"authkey create 1 -e -1h",
       "Error: --expiration: \"-1h\" is not a duration such as 30m, 24h or 90d"},
      {"authkey expire", "Error: which key? Give --id ID; 'edgescale preauthkeys list' shows it"},
      {"apikeys delete",
       "Error: which key? Give either --id ID or --prefix PREFIX; 'edgescale apikeys list' shows "
       "both"},
      {"apikeys delete -i 1 -p a",
       "Error: which key? Give either --id ID or --prefix PREFIX; 'edgescale apikeys list' shows "
       "both"},
      {"authkey create --user", "Error: --user needs a value"},
      {"completion csh", "Error: SHELL: csh not in {bash,zsh,fish}"},
      {"users list -o xml", "Error: --output: xml not in {json,json-line,yaml}"},
  };
  for (const auto& [line, text] : rows) CHECK(refused(line) == text);
}

TEST_CASE("help is not an error and names the whole command") {
  auto parsed = parse_command_line(words("authkey create --help"));
  REQUIRE(std::holds_alternative<ParseEnd>(parsed));
  const auto& end = std::get<ParseEnd>(parsed);
  CHECK(end.exit_code == kExitOk);
  CHECK(end.text.find("Usage: edgescale preauthkeys create [OPTIONS] [USER]") != std::string::npos);
  CHECK(end.text.find("--expiration") != std::string::npos);
  CHECK(std::get<ParseEnd>(parse_command_line(words("help authkey create"))).text == end.text);
  const auto all = std::get<ParseEnd>(parse_command_line(words("help")));
  CHECK(all.exit_code == kExitOk);
  CHECK(all.text == std::get<ParseEnd>(parse_command_line(words("--help"))).text);
}

namespace {

// What `command` prints when `shell` runs it with the completion script in $SCRIPT; nullopt where
// there is no such shell.
std::optional<std::string> run_shell(const std::string& shell, const std::string& command) {
  if (std::system(("command -v " + shell + " >/dev/null").c_str()) != 0) {
    WARN(shell << " is not here: not tested");
    return std::nullopt;
  }
  const std::string base = "/tmp/edgescale_completion_test_" + std::to_string(::getpid());
  std::ofstream(base) << completion_script(command_shape(), shell);
  std::ofstream(base + ".run") << command;
  REQUIRE(std::system(("SCRIPT=" + base + " " + shell + " " + base + ".run > " + base + ".out 2>&1")
                          .c_str()) == 0);
  std::ifstream out(base + ".out");
  std::string text((std::istreambuf_iterator<char>(out)), {});
  for (const char* end : {"", ".run", ".out"}) std::remove((base + end).c_str());
  return text;
}

}  // namespace

TEST_CASE("completion offers what bash asks for", "[bash]") {
  const auto complete = [&](const std::string& line) {
    auto text = run_shell("bash", "source $SCRIPT\nCOMP_WORDS=(" + line +
                                      ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_edgescale\n"
                                      "printf '%s ' \"${COMPREPLY[@]}\"\n");
    REQUIRE(text);  // Debian always has bash
    while (text->ends_with(' ')) text->pop_back();
    return *text;
  };
  CHECK(complete("edgescale us") == "users");
  CHECK(complete("edgescale users ''") == "create list destroy rename role");
  CHECK(complete("edgescale user re") == "rename");
  CHECK(complete("edgescale authkey create --ex") == "--expiration");
  CHECK(complete("edgescale pre create --eph") == "--ephemeral");
  CHECK(complete("edgescale users list --out") == "--output");
  CHECK(complete("edgescale users list --output js") == "json json-line");
  CHECK(complete("edgescale users list -o ya") == "yaml");
  CHECK(complete("edgescale -o json users ''") == "create list destroy rename role");
  CHECK(complete("edgescale -o json users list -n users ''").empty());
  CHECK(complete("edgescale completion z") == "zsh");
  CHECK(complete("edgescale --config tests/unit/native/cli/headscale_st") ==
        "tests/unit/native/cli/headscale_style.yaml");
  CHECK(complete("edgescale dump").empty());
}

TEST_CASE("completion offers what zsh asks for", "[zsh]") {
  const auto text = run_shell("zsh",
                              "compdef() { : }\nsource $SCRIPT\n"
                              "compadd() { shift; print -- $@ }\n"
                              "t() { words=(edgescale \"$@\"); CURRENT=$#words; _edgescale }\n"
                              "t users ''\nt user list -o ''\nt -o json completion ''\n");
  if (text) CHECK(*text == "create list destroy rename role\njson json-line yaml\nbash zsh fish\n");
}

TEST_CASE("completion offers what fish asks for", "[fish]") {
  const auto text = run_shell("fish",
                              "source $SCRIPT\ncomplete -C 'edgescale authkey create --ex'\n"
                              "complete -C 'edgescale user re'\n");
  if (text) {
    CHECK(*text ==
          "--expiration\tHow long it works: 30m, 24h, 90d (default 1h)\nrename\tRename a user\n");
  }
}

TEST_CASE("every command and flag is in every shell's script") {
  const CommandShape root = command_shape();
  REQUIRE(root.commands.size() >= 7);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(root, shell);
    for (const CommandShape& group : root.commands) {
      for (const CommandShape& command : group.commands) {
        INFO(shell << " " << command.names.front());
        CHECK(script.find(group.names.front() + " " + command.names.front()) != std::string::npos);
        for (const FlagShape& flag : command.flags) {
          const std::string name = flag.names.front();
          CHECK(script.find(std::string(shell) == "fish" ? "-l " + name.substr(2) : name) !=
                std::string::npos);
        }
      }
    }
  }
}

}  // namespace es::cli

#include "native/cli/policy_bypass.h"

#include "common/base/ip_prefix.h"
#include "common/base/rfc3339.h"
#include "native/cli/client_maps.h"
#include "native/cli/system.h"
#include "native/control/policy_desk.h"
#include "native/store/sqlite_store.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <future>
#include <optional>
#include <utility>

namespace es::cli {

struct PolicyBypass::State {
  std::optional<store::Policy> stored;  // as it is, however wrong
  std::unique_ptr<control::Directory> directory;
  std::unique_ptr<control::Tailnet> tailnet;
  std::unique_ptr<control::PolicyDesk> desk;

  Result<void, std::string> open(const Config& config);
};

Result<void, std::string> PolicyBypass::State::open(const Config& config) {
  store::SqliteOptions sqlite;
  sqlite.path = config.database.sqlite.path;
  std::error_code failed;
  if (!std::filesystem::exists(sqlite.path, failed)) {
    return "there is no database at " + sqlite.path + ": name the server's config with --config";
  }
  auto store = store::open_sqlite(std::move(sqlite));
  if (!store.ok()) return store.error().text;
  control::Directory::Options options;
  options.random = fill_random;
  auto made = control::Directory::create(std::move(store).value(), std::move(options));
  if (!made.ok()) return "database: " + made.error().text;
  directory = std::move(made).value();
  // Taken away from the desk, which would refuse to open with a wrong one.
  stored = directory->take_policy();

  control::TailnetOptions names;
  names.server_url = server_url_of(config);
  names.base_domain = config.dns.base_domain;
  names.random = fill_random;
  if (const auto v4 = parse_ip_prefix(config.prefixes.v4); v4.ok()) names.addresses.v4 = *v4;
  if (const auto v6 = parse_ip_prefix(config.prefixes.v6); v6.ok()) names.addresses.v6 = *v6;
  auto built =
      control::Tailnet::create(*directory, directory->take_nodes(), std::move(names), wall_now());
  if (!built.ok()) return "tailnet: " + built.error().text;
  tailnet = std::move(built).value();

  control::PolicyDesk::Options from_database;
  from_database.mode = control::PolicyDesk::Mode::kDatabase;
  ES_TRY(desk, control::PolicyDesk::open(*directory, *tailnet, std::move(from_database)));
  desk->start();
  return {};
}

PolicyBypass::PolicyBypass(std::unique_ptr<State> state) : state_(std::move(state)) {}
PolicyBypass::~PolicyBypass() = default;

Result<std::unique_ptr<PolicyBypass>, std::string> PolicyBypass::open(const Config& config) {
  auto state = std::make_unique<State>();
  ES_CHECK(state->open(config));
  return std::unique_ptr<PolicyBypass>(new PolicyBypass(std::move(state)));
}

namespace {

using nlohmann::json;

Answer answer_with(unsigned status, const json& body) {
  Answer answer;
  answer.status = status;
  answer.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return answer;
}

json document(const std::string& text, WallTime updated_at) {
  return {{"policy", text}, {"updatedAt", format_rfc3339(updated_at)}};
}

}  // namespace

Answer PolicyBypass::call(std::string_view method, std::string_view body, WallTime now) const {
  if (method == "GET") {
    if (!state_->stored) return answer_with(500, {{"message", "acl policy not found"}});
    return answer_with(200, document(state_->stored->text, state_->stored->created_at));
  }
  const std::string text = json::parse(body).at("policy").get<std::string>();
  const json done = method == "PUT" ? document(text, now) : json::object();
  // Shared: the desk's thread may still be inside it when get() returns.
  const auto promise = std::make_shared<std::promise<Answer>>();
  const auto take = [promise, done](const auto& result) {
    promise->set_value(result.ok() ? answer_with(200, done)
                                   : answer_with(400, {{"message", result.error().text}}));
  };
  if (method == "PUT") {
    state_->desk->put(text, now, take);
  } else {
    state_->desk->check(text, take);
  }
  return promise->get_future().get();
}

}  // namespace es::cli

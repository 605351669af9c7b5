#include "native/cli/policy_bypass.h"

#include "native/cli/config_load.h"
#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace es::cli {
namespace {

using Catch::Contains;
using nlohmann::json;

const std::string kGood = R"({"acls":[{"action":"accept","src":["ann@"],"dst":["ann@:22"]}]})";

Config config_with(const std::string& database) {
  Config config = default_config({});
  config.database.sqlite.path = database;
  return config;
}

Answer put(const PolicyBypass& bypass, const std::string& policy) {
  return bypass.call("PUT", json{{"policy", policy}}.dump(), WallTime{});
}

}  // namespace

TEST_CASE("a stored policy that keeps the server from starting is shown and replaced without it") {
  const store::TempDir dir;
  {
    const auto store = store::open_started(store::options_for(dir.file()));
    REQUIRE(store::write_and_wait(*store, store::InsertUser{store::user_named("ann")}).ok());
    REQUIRE(store::write_and_wait(*store, store::InsertPolicy{{0, "nonsense", WallTime{}}}).ok());
  }
  {
    const auto bypass = PolicyBypass::open(config_with(dir.file()));
    REQUIRE(bypass.ok());
    const Answer shown = (*bypass)->call("GET", "", WallTime{});
    CHECK(shown.status == 200);
    CHECK(json::parse(shown.body)["policy"] == "nonsense");
    const Answer refused = put(**bypass, R"({"acls":[{"action":"accept","src":["tag:x"],)"
                                         R"("dst":["*:*"]}]})");
    CHECK(refused.status == 400);
    CHECK_THAT(refused.body, Contains("tag:x"));
    CHECK((*bypass)->call("POST", json{{"policy", kGood}}.dump(), {}).status == 200);
    CHECK(put(**bypass, kGood).status == 200);
  }
  const auto policy = store::read_all(dir.file()).policy;
  REQUIRE(policy);
  CHECK(policy->text == kGood);
}

TEST_CASE("without a database, or beside a server, there is no way around the server") {
  const store::TempDir dir;
  CHECK_THAT(PolicyBypass::open(config_with(dir.file())).error(),
             Contains("there is no database at " + dir.file()));
  const auto store = store::open_started(store::options_for(dir.file()));
  CHECK_THAT(PolicyBypass::open(config_with(dir.file())).error(),
             Contains("locked by another Edgescale"));
}

TEST_CASE("a database without a policy says so in Headscale's words") {
  const store::TempDir dir;
  store::open_started(store::options_for(dir.file()))->close();
  const auto bypass = PolicyBypass::open(config_with(dir.file()));
  REQUIRE(bypass.ok());
  CHECK_THAT((*bypass)->call("GET", "", WallTime{}).body, Contains("acl policy not found"));
}

}  // namespace es::cli

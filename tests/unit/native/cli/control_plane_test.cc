#include "native/cli/control_plane.h"

#include "native/cli/system.h"
#include "tests/unit/native/control/control_fixture.h"

#include <filesystem>
#include <fstream>

namespace es::cli {
namespace {

struct Site {
  explicit Site(std::string policy) {
    config.server_url = "https://control.example";
    config.derp.urls.clear();
    config.derp.server.enabled = true;
    config.derp.server.private_key_path = folder.path() + "/derp.key";
    config.derp.server.stun_listen_addr = "127.0.0.1:0";
    config.policy.path = folder.path() + "/policy.json";
    std::ofstream(config.policy.path) << policy;
    directory = control::open_directory(folder.file());
    must(control::create_user(*directory, "ann"));
  }
  // A router of ann's whose route nobody has approved.
  void add_router() {
    store::Node row;
    row.machine_key = tailcfg::MachineKey(tailcfg::RawKey{1}).text();
    row.node_key = tailcfg::NodeKey(tailcfg::RawKey{1}).text();
    row.ipv4 = "100.64.0.1";
    row.hostname = row.given_name = "router";
    row.user_id = 1;
    row.register_method = "authkey";
    row.hostinfo = R"({"RoutableIPs":["10.0.0.0/24"]})";
    row.created_at = control::kNow;
    std::promise<bool> stored;
    directory->submit({{store::InsertNode{row}}}, [&](auto done) { stored.set_value(done.ok()); });
    REQUIRE(stored.get_future().get());
    directory.reset();  // holds the database's lock
    directory = control::open_directory(folder.file());
  }
  auto open() {
    return ControlPlane::open(config, tailcfg::PrivateKey(tailcfg::RawKey{7}), *directory, log,
                              metrics);
  }

  store::TempDir folder;
  Config config;
  telemetry::Log log{wall_now, [](std::string_view) {}, telemetry::Level::kError,
                     telemetry::Format::kText};
  telemetry::Metrics metrics;
  std::unique_ptr<control::Directory> directory;
};

constexpr const char* kApproving =
    R"({"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}],
        "autoApprovers":{"routes":{"10.0.0.0/8":["ann@"]}}})";

}  // namespace

TEST_CASE("a start that fails behind the tailnet leaves nothing that the store may call") {
  Site site(kApproving);
  site.add_router();
  SECTION("the relay's key") {
    // The tailnet is there, and its policy has a route approved: a write that is on its way.
    std::filesystem::create_directory(site.config.derp.server.private_key_path);
  }
  SECTION("the policy") { std::ofstream(site.config.policy.path) << "{\"acls\":"; }
  const auto opened = site.open();
  REQUIRE_FALSE(opened.ok());
  CHECK_FALSE(opened.error().empty());
  // Whoever owns the directory may go on with it, to no harm.
  (void)control::create_user(*site.directory, "late");
}

TEST_CASE("a control plane that was never served goes away quietly") {
  Site site(kApproving);
  site.add_router();
  auto opened = site.open();
  REQUIRE(opened.ok());
  opened = std::string("gone");
  (void)control::create_user(*site.directory, "late");
}

}  // namespace es::cli

// Control connections and the tailnet with many threads at once: nothing may hang, and all that was
// opened is gone at the end.
#include "tests/unit/native/threads.h"

#include "native/api/machine.h"
#include "tests/unit/native/control/control_fixture.h"

#include <nlohmann/json.hpp>

#include <atomic>

namespace es::api {
namespace {

using nlohmann::json;
using namespace test;

}  // namespace

TEST_CASE("machines join, poll and leave while the tailnet is changed under them") {
  store::TempDir folder;
  const auto directory = control::open_directory(folder.file());
  control::TailnetOptions tailnet_options;
  tailnet_options.server_url = "https://control.example";
  tailnet_options.base_domain = "example.ts";
  tailnet_options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
  tailnet_options.random = control::seeded_random(1);
  const auto wall = [] { return control::kNow + monotonic(); };
  const auto tailnet =
      control::Tailnet::create(*directory, {}, std::move(tailnet_options), wall()).value();
  directory->listen([&](auto commits) { tailnet->apply(commits); });
  must(control::create_user(*directory, "ann"));
  control::NewPreAuthKey key_request;
  key_request.user_id = 1;
  key_request.reusable = true;
  const std::string key = must(control::create_key(*directory, key_request)).text;
  control::Pings pings(*tailnet, control::seeded_random(2));
  MachineOptions machine_options;
  machine_options.pings = &pings;
  Machine machine(*tailnet, wall, machine_options);
  ts2021::HalfOpen half_open({}, {});
  ts2021::Deadlines deadlines;
  auto options = four_threads();
  options.routes = [&](net::Router& router) {
    ts2021::Options control;
    control.clock = monotonic;
    control.half_open = &half_open;
    control.deadlines = &deadlines;
    control.limits.request_timeout = Millis(50);
    control.make_handler = [&](const auto& connection) { return machine.serve(connection); };
    const auto make_keys = [ephemeral = control::seeded_random(3)] {
      ts2021::Keys keys;
      keys.static_private = key_of(1);
      ephemeral(keys.ephemeral_private);
      keys.challenge_public = key_of(9);
      return keys;
    };
    router.add_upgrade("POST", "/ts2021", ts2021::upgrade_handler(control, make_keys, {}));
  };
  std::optional<net::TestServer> server(std::move(options));

  std::atomic<int> joined = 0;
  std::atomic<int> maps = 0;
  const auto client = [&](unsigned n, std::mt19937_64& random) {
    const auto hello = noise::Initiator::create(
        key_of(100 + n), noise::x25519_public(key_of(1)).value(), key_of(50 + n), 113);
    test::SocketClient me(server->port(), *hello);
    const std::string node_key = "nodekey:" + std::string(63, '7') + std::to_string(n);
    json request = {{"Version", 113},
                    {"NodeKey", node_key},
                    {"Auth", {{"AuthKey", key}}},
                    {"Hostinfo", {{"Hostname", "host"}, {"OS", "linux"}}}};
    const auto registered = me.post("/machine/register", request.dump());
    if (!registered || me.status_of(*registered) != 200) return;
    if (me.bodies[*registered].find("\"MachineAuthorized\":true") == std::string::npos) return;
    ++joined;
    json poll = {{"Version", 113}, {"NodeKey", node_key}, {"Stream", true}};
    const auto stream = me.post("/machine/map", poll.dump());
    if (!stream) return;
    me.run(Millis(2000), [&] { return me.bodies[*stream].size() > 4; });
    if (me.bodies[*stream].size() > 4) ++maps;
    for (int i = 0; i < 10 && !me.ended; ++i) {
      const std::string port = std::to_string(1 + random() % 60'000);
      const json update = {{"Version", 113},
                           {"NodeKey", node_key},
                           {"OmitPeers", true},
                           {"Endpoints", {"192.0.2.1:" + port}}};
      (void)me.ask("/machine/map", update.dump());
    }
    if (random() % 4 == 0) me.begin_request(999, 10);  // never to be finished
    me.run(Millis(random() % 100));
  };
  const auto change = [&](std::mt19937_64& random) {
    const uint64_t id = 1 + random() % (2 * kClients);
    const auto done = [](const auto&) {};
    switch (random() % 9) {
      case 0:
        return tailnet->rename(id, "name" + std::to_string(random() % 20), done);
      case 1:
        return tailnet->approve_routes(id, {"10.0.0.0/24"}, done);
      case 2:
        return tailnet->set_expiry(id, wall() + Millis(random() % 100'000 + 60'000), done);
      case 3:
        if (random() % 8 == 0) tailnet->remove(id, done);
        return;
      case 4:
        return tailnet->set_dns_config(R"({"n":)" + std::to_string(random() % 4) + "}");
      case 5: {
        policy::Problems problems;
        const char* const acl =
            random() % 2 == 0
                ? R"({"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]})"
                : R"({"acls":[{"action":"accept","src":["ann@"],"dst":["ann@:22"]}]})";
        auto compiled = tailnet->compile_policy(acl, problems);
        if (compiled != nullptr) tailnet->install_policy(std::move(compiled));
        return;
      }
      case 6:
        (void)tailnet->full_map(id, wall());
        return;
      case 7:
        (void)tailnet->nodes();
        (void)tailnet->stats();
        return;
      default:
        (void)pings.is_there(id, Millis(500), wall(), [](const auto&) {});
        return;
    }
  };
  in_threads(kClients + 2, [&](unsigned n, std::mt19937_64& random) {
    if (n <= kClients) return client(n, random);
    if (n == kClients + 1) {
      change(random);
    } else {
      tailnet->tick(wall());
      machine.tick();
      pings.tick(wall());
      deadlines.tick(monotonic());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  CHECK(joined > 0);
  CHECK(maps > 0);
  CHECK(all_closed(*server));
  server.reset();
  CHECK(half_open.taken() == 0);
  CHECK(tailnet->stats().sessions == 0);
  directory->close();
  directory->listen({});
}

}  // namespace es::api

#include "native/api/machine.h"

#include "tests/unit/native/control/control_fixture.h"
#include "tests/unit/native/ts2021/control_pair.h"

#include <nlohmann/json.hpp>

namespace es::api {
namespace {

using control::kNow;
using control::must;
using control::wait;
using nlohmann::json;

// A tailnet with the user "ann", and one client connected to it.
struct Site {
  explicit Site(uint16_t version = 113)
      : directory(control::open_directory(dir.file())),
        tailnet(make_tailnet(*directory)),
        pings(*tailnet, control::seeded_random(2)),
        ssh_checks(*tailnet, ssh_options()),
        machine(
            *tailnet, [this] { return now; }, options()),
        client([this](const auto& connection) { return machine.serve(connection); }, version) {
    directory->listen([this](auto commits) { tailnet->apply(commits); });
    must(control::create_user(*directory, "ann"));
    client.options.half_open = &half_open;
    REQUIRE(client.connect().ok());
  }
  ~Site() { directory->listen({}); }

  static std::unique_ptr<control::Tailnet> make_tailnet(control::Directory& directory) {
    control::TailnetOptions options;
    options.server_url = "https://control.example";
    options.base_domain = "example.ts";
    options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
    options.random = control::seeded_random(1);
    return control::Tailnet::create(directory, {}, std::move(options), kNow).value();
  }
  static control::SshChecks::Options ssh_options() {
    control::SshChecks::Options out;
    out.server_url = "https://control.example";
    out.random = control::seeded_random(5);
    return out;
  }
  MachineOptions options() {
    MachineOptions out;
    out.pings = &pings;
    out.ssh_checks = &ssh_checks;
    out.on_audit = [this](uint64_t node, std::string_view action, std::string_view details) {
      audit = std::to_string(node) + " " + std::string(action) + " " + std::string(details);
    };
    out.monotonic_us = [this] { return monotonic_us += 7; };
    out.on_fan_out = [this](int64_t us) { fan_out.push_back(us); };
    out.on_keep_alive = [this] { ++keep_alives; };
    return out;
  }
  // Status and body of one answer.
  std::pair<int, std::string> ask(const std::string& method, const std::string& path,
                                  const std::string& body = "{}") {
    const h2::StreamId id = client.request(path, body, method);
    settle();
    REQUIRE(client.closed.contains(id));
    return {client.statuses[id], client.bodies[id]};
  }
  std::string key() {
    control::NewPreAuthKey request;
    request.user_id = 1;
    return must(control::create_key(*directory, request)).text;
  }
  // What the database still has to say has been said afterwards.
  void settle() {
    REQUIRE(client.settle());
    must(wait<void>([&](auto answer) { directory->ping(answer); }));
    REQUIRE(client.settle());
  }
  json post(const std::string& path, const json& body) {
    const h2::StreamId id = client.request(path, body.dump());
    settle();
    REQUIRE(client.closed.contains(id));
    return client.bodies[id].empty() ? json() : json::parse(client.bodies[id]);
  }
  static json register_request(const std::string& auth_key) {
    json body = {{"Version", 113},
                 {"NodeKey", "nodekey:" + std::string(64, '7')},
                 {"Hostinfo", {{"Hostname", "laptop"}, {"OS", "linux"}}}};
    if (!auth_key.empty()) body["Auth"] = {{"AuthKey", auth_key}};
    return body;
  }
  static json map_request(bool stream) {
    return {{"Version", 113},
            {"NodeKey", "nodekey:" + std::string(64, '7')},
            {"Stream", stream},
            {"OmitPeers", !stream}};
  }
  // The complete frames of a plain map stream so far.
  std::vector<json> frames(h2::StreamId id) {
    std::vector<json> out;
    ByteReader reader(as_bytes(client.bodies[id]));
    while (const auto len = reader.u32le()) {
      const auto payload = reader.bytes(*len);
      REQUIRE(payload.has_value());
      out.push_back(json::parse(as_text(*payload)));
    }
    return out;
  }

  WallTime now = kNow;
  store::TempDir dir;
  std::unique_ptr<control::Directory> directory;
  std::unique_ptr<control::Tailnet> tailnet;
  control::Pings pings;
  control::SshChecks ssh_checks;
  std::string audit;
  int64_t monotonic_us = 0;
  std::vector<int64_t> fan_out;
  int keep_alives = 0;
  Machine machine;
  ts2021::HalfOpen half_open{{}, {}};
  test::ControlPair client;
};

}  // namespace

TEST_CASE("a client registers with a key and gets its map and keep-alives") {
  Site site;
  const json registered = site.post("/machine/register", Site::register_request(site.key()));
  CHECK(registered.at("Error") == "");
  CHECK(registered.at("MachineAuthorized") == true);
  CHECK(registered.at("Login").at("LoginName") == "ann");

  const h2::StreamId stream = site.client.request("/machine/map", Site::map_request(true).dump());
  site.settle();
  REQUIRE(site.frames(stream).size() == 1);
  CHECK(site.frames(stream)[0].at("Node").at("Name") == "laptop.example.ts.");
  CHECK_FALSE(site.client.closed.contains(stream));

  site.now += Millis{49'999};
  site.machine.tick();
  site.settle();
  CHECK(site.frames(stream).size() == 1);
  site.now += Millis{1};
  site.machine.tick();
  site.settle();
  REQUIRE(site.frames(stream).size() == 2);
  CHECK(site.frames(stream)[1].at("KeepAlive") == true);
  CHECK(site.keep_alives == 1);

  // The client of a deleted node is told that its key is void, then its stream ends.
  must(wait<void>([&](auto answer) { site.tailnet->remove(1, answer); }));
  site.settle();
  CHECK(site.client.closed.contains(stream));
  CHECK(site.frames(stream).back().at("Node").at("KeyExpiry") == "1970-01-01T00:00:01Z");
}

TEST_CASE("a refusal reaches the person at the client") {
  Site site;
  const json refused = site.post("/machine/register", Site::register_request("tskey-auth-junk"));
  CHECK(refused.at("Error").get<std::string>().find("auth key") != std::string::npos);
  const json login = site.post("/machine/register", Site::register_request(""));
  CHECK(login.at("AuthURL").get<std::string>().starts_with("https://control.example/register/"));
}

TEST_CASE("a client that is too old is told so") {
  Site site(112);
  const json refused = site.post("/machine/register", Site::register_request(site.key()));
  CHECK(refused.at("Error").get<std::string>().find("too old") != std::string::npos);
  CHECK(site.tailnet->nodes().empty());
}

TEST_CASE("what is no request of this machine's node is refused, and nothing hangs") {
  Site site;
  for (const char* path : {"/machine/register", "/machine/map"}) {
    const h2::StreamId id = site.client.request(path, "{\"NodeKey\":[");
    site.settle();
    CHECK(site.client.closed.contains(id));
    CHECK(site.client.bodies[id].find("JSON") != std::string::npos);
  }
  for (const bool stream : {true, false}) {
    const h2::StreamId id = site.client.request("/machine/map", Site::map_request(stream).dump());
    site.settle();
    CHECK(site.client.bodies[id] == "node not found");
  }
  for (const char* path : {"/machine/set-dns", "/machine/tka/init/begin", "/nowhere"}) {
    const h2::StreamId id = site.client.request(path, "{}");
    site.settle();
    CHECK(site.client.closed.contains(id));
  }
}

TEST_CASE("a registration that waits is answered when it is approved") {
  Site site;
  json request = Site::register_request("");
  request["Followup"] = site.post("/machine/register", request).at("AuthURL");
  const h2::StreamId id = site.client.request("/machine/register", request.dump());
  site.settle();
  CHECK_FALSE(site.client.closed.contains(id));
  const std::string url = request["Followup"];
  must(wait<control::NodePtr>([&](auto answer) {
    site.tailnet->approve(url.substr(url.rfind('/') + 1), 1, site.now, answer);
  }));
  site.settle();
  REQUIRE(site.client.closed.contains(id));
  CHECK(json::parse(site.client.bodies[id]).at("MachineAuthorized") == true);
}

// The client is node 1, another machine of ann's node 2; from there one may log in as root here,
// after a check.
void join_for_ssh(Site& site) {
  (void)site.post("/machine/register", Site::register_request(site.key()));
  tailcfg::RegisterRequest other;
  other.version = 113;
  other.node_key = tailcfg::NodeKey(tailcfg::RawKey{2});
  other.auth_key = site.key();
  must(wait<void>([&](auto answer) {
    site.tailnet->register_node(tailcfg::MachineKey(tailcfg::RawKey{2}), other, site.now,
                                [answer](const auto&) { answer({}); });
  }));
  policy::Problems problems;
  auto compiled = site.tailnet->compile_policy(
      R"({"ssh":[{"action":"check","src":["ann@"],"dst":["autogroup:self"],"users":["root"]}]})",
      problems);
  REQUIRE(compiled != nullptr);
  site.tailnet->install_policy(std::move(compiled));
}

TEST_CASE("a client that asks about an SSH log-in is told to hold, and then what was decided") {
  Site site;
  join_for_ssh(site);
  const std::string first = "/machine/ssh/action/2/to/1?local_user=root";
  const auto [status, body] = site.ask("GET", first);
  CHECK(status == 200);
  const json held = json::parse(body);
  CHECK(held.at("message").get<std::string>().find("https://control.example/auth/") !=
        std::string::npos);
  const std::string url = held.at("holdAndDelegate");
  const std::string id = url.substr(url.find("auth_id=") + 8);

  const h2::StreamId waiting = site.client.request(first + "&auth_id=" + id, "", "GET");
  site.settle();
  CHECK_FALSE(site.client.closed.contains(waiting));
  REQUIRE(site.ssh_checks.approve(id, "ben", site.now).ok());
  site.settle();
  REQUIRE(site.client.closed.contains(waiting));
  CHECK(json::parse(site.client.bodies[waiting]).at("accept") == true);

  // The names that a client fills in are escaped as in forms.
  for (const char* path : {"/machine/ssh/action/2/to/1?local_user=r%6Fot",
                           "/machine/ssh/action/2/to/1?x=1&local_user=root&auth_id="}) {
    CHECK(json::parse(site.ask("GET", path).second).contains("accept"));
  }
  for (const char* path :
       {"/machine/ssh/action/2/to/1?local_user=ann", "/machine/ssh/action/2/to/1",
        "/machine/ssh/action/1/to/2?local_user=root", "/machine/ssh/action/2/to/",
        "/machine/ssh/action/-2/to/1?local_user=root", "/machine/ssh/action/2",
        "/machine/ssh/action//to/1?local_user=root", "/machine/ssh/action/2/to/1/3?local_user=root",
        "/machine/ssh/action/99999999999999999999/to/1?local_user=root",
        "/machine/ssh/action/2/to/1?local_user=%zz"}) {
    INFO(path);
    const auto [code, refusal] = site.ask("GET", path);
    CHECK(code == 200);
    CHECK(json::parse(refusal).at("reject") == true);
  }
  CHECK(site.ask("POST", first).first == 404);
}

TEST_CASE(
    "a client that gives up waiting for an SSH log-in leaves nothing behind that is answered") {
  Site site;
  join_for_ssh(site);
  const std::string path = "/machine/ssh/action/2/to/1?local_user=root";
  const std::string url = json::parse(site.ask("GET", path).second).at("holdAndDelegate");
  const std::string id = url.substr(url.find("auth_id=") + 8);
  SECTION("its stream") {
    const h2::StreamId waiting = site.client.request(path + "&auth_id=" + id, "", "GET");
    site.settle();
    site.client.client.reset(waiting, h2::ErrorCode::kCancel);
    site.settle();
    REQUIRE(site.ssh_checks.reject(id, "ben", site.now).ok());
    // The verdict waits for him who comes back.
    CHECK(json::parse(site.ask("GET", path + "&auth_id=" + id).second).at("reject") == true);
  }
  SECTION("the server stops") {
    const h2::StreamId waiting = site.client.request(path + "&auth_id=" + id, "", "GET");
    site.settle();
    site.client.wire->on_stop();
    site.settle();
    REQUIRE(site.client.closed.contains(waiting));
    CHECK(site.client.closed[waiting] == h2::ErrorCode::kCancel);
    REQUIRE(site.ssh_checks.approve(id, "ben", site.now).ok());
  }
}

TEST_CASE("a machine is a stranger until it has registered") {
  Site site;
  CHECK(site.half_open.taken() == 1);
  SECTION("what is refused changes nothing") {
    site.post("/machine/register", Site::register_request("tskey-auth-junk"));
    site.ask("POST", "/machine/map", Site::map_request(true).dump());
    site.ask("POST", "/machine/update-health");
    CHECK(site.half_open.taken() == 1);
  }
  SECTION("logging out what is not logged in is no registration") {
    json request = Site::register_request("");
    request["Expiry"] = "2001-01-01T00:00:00Z";
    CHECK(site.post("/machine/register", request).at("NodeKeyExpired") == true);
    CHECK(site.half_open.taken() == 1);
  }
  SECTION("a key makes it known, on its next connections from the beginning") {
    site.post("/machine/register", Site::register_request(site.key()));
    CHECK(site.half_open.taken() == 0);
    test::ControlPair again([&](const auto& connection) { return site.machine.serve(connection); });
    again.options.half_open = &site.half_open;
    REQUIRE(again.serve(again.initiator.initiation()).ok());
    // An initiation alone may be an old one, sent again by somebody else.
    CHECK(site.half_open.taken() == 1);
    REQUIRE(again.settle());
    CHECK(site.half_open.taken() == 0);
  }
}

TEST_CASE("a machine that polls for its approval waits, and only then") {
  Site site;
  const auto counts = [&] { return std::pair(site.half_open.taken(), site.half_open.waiting()); };
  json request = Site::register_request("");
  request["Followup"] = "https://control.example/register/hskey-authreq-000000000000000000000000";
  const std::string url = site.post("/machine/register", request).at("AuthURL");
  CHECK(counts() == std::pair(1U, 0U));
  request["Followup"] = url;
  const h2::StreamId first = site.client.request("/machine/register", request.dump());
  const h2::StreamId second = site.client.request("/machine/register", request.dump());
  site.settle();
  CHECK(counts() == std::pair(0U, 1U));
  site.client.client.reset(first, h2::ErrorCode::kCancel);
  site.settle();
  CHECK(counts() == std::pair(0U, 1U));
  const std::string id = url.substr(url.rfind('/') + 1);
  SECTION("given up") {
    site.client.client.reset(second, h2::ErrorCode::kCancel);
    site.settle();
    CHECK(counts() == std::pair(1U, 0U));
  }
  SECTION("rejected") {
    must(wait<void>([&](auto answer) { site.tailnet->reject(id, answer); }));
    site.settle();
    CHECK(counts() == std::pair(1U, 0U));
  }
  SECTION("too late") {
    site.tailnet->tick(site.now + std::chrono::minutes(16));
    site.settle();
    CHECK(counts() == std::pair(1U, 0U));
  }
  SECTION("approved") {
    must(wait<control::NodePtr>(
        [&](auto answer) { site.tailnet->approve(id, 1, site.now, answer); }));
    site.settle();
    CHECK(counts() == std::pair(0U, 0U));
  }
}

TEST_CASE("registrations count against the network that they come from") {
  Site site;
  // 192.0.2.1 of ControlPair: each machine may have eight, the network 64.
  std::vector<std::unique_ptr<test::ControlPair>> clients;
  size_t refused = 0;
  for (uint8_t m = 0; m < 70; ++m) {
    clients.push_back(std::make_unique<test::ControlPair>(
        [&](const auto& connection) { return site.machine.serve(connection); }));
    test::ControlPair& client = *clients.back();
    client.options.half_open = &site.half_open;
    client.initiator = noise::Initiator::create(test::filled_key(static_cast<uint8_t>(m + 10)),
                                                noise::x25519_public(test::filled_key(1)).value(),
                                                test::filled_key(4), 113)
                           .value();
    REQUIRE(client.connect().ok());
    json request = Site::register_request("");
    request["NodeKey"] = "nodekey:" + std::string(62, '8') + std::to_string(m + 10);
    const h2::StreamId first = client.request("/machine/register", request.dump());
    REQUIRE(client.settle());
    const json answer = json::parse(client.bodies[first]);
    if (answer.at("AuthURL") == "") {
      ++refused;
      continue;
    }
    request["Followup"] = answer.at("AuthURL");
    client.request("/machine/register", request.dump());
    REQUIRE(client.settle());
  }
  CHECK(refused == 6);
}

TEST_CASE("whatever a client may ask for is answered at once, and refusals say why") {
  Site site;
  struct Case {
    const char* method;
    const char* path;
    int status;
    const char* says;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"POST", "/machine/set-dns", 501, "DNS records"},
           {"POST", "/machine/id-token", 501, "ID tokens"},
           {"PATCH", "/machine/set-device-attr", 501, "device attributes"},
           {"POST", "/machine/webclient/init/1/to/2", 501, "web client"},
           {"GET", "/machine/tka/bootstrap", 501, "tailnet lock"},
           {"POST", "/machine/c2n", 501, "not served"},
           {"POST", "/machine/update-health", 204, ""},
           {"POST", "/machine/feature/query", 200, "\"ShouldWait\":false"},
           {"GET", "/machine/ssh/action/from/1/to/2", 200, "\"reject\":true"},
           {"GET", "/machine/whoami", 200, "mkey:"},
           {"GET", "/machine/map", 405, "method not allowed"},
           {"GET", "/machine/feature/query", 405, "method not allowed"},
           {"HEAD", "/machine/ping-response?id=1234", 404, ""},
           {"POST", "/machine/ping-response", 404, ""},
           {"GET", "/metrics", 404, "not found"},
           {"POST", "/machine/audit-log", 400, "malformed"}}) {
    CAPTURE(c.method, c.path);
    const auto [status, body] = site.ask(c.method, c.path);
    CHECK(status == c.status);
    CHECK(body.find(c.says) != std::string::npos);
  }
}

TEST_CASE("an audit record counts for the machine whose node it names") {
  Site site;
  (void)site.post("/machine/register", Site::register_request(site.key()));
  json record = {{"NodeKey", "nodekey:" + std::string(64, '7')},
                 {"Action", "DISCONNECT"},
                 {"Details", std::string(2000, 'x')}};
  CHECK(site.ask("POST", "/machine/audit-log", record.dump()).first == 200);
  CHECK(site.audit == "1 DISCONNECT " + std::string(1024, 'x'));
  record["NodeKey"] = "nodekey:" + std::string(64, '8');
  CHECK(site.ask("POST", "/machine/audit-log", record.dump()).first == 404);
}

TEST_CASE("a connected client is asked whether it is there, and only it can answer") {
  Site site;
  (void)site.post("/machine/register", Site::register_request(site.key()));
  std::vector<std::optional<std::string>> answers;
  const auto note = [&](std::optional<std::string> body) { answers.push_back(std::move(body)); };
  CHECK_FALSE(site.pings.is_there(1, Millis{1000}, site.now, note));  // no stream
  const h2::StreamId stream = site.client.request("/machine/map", Site::map_request(true).dump());
  site.settle();
  REQUIRE(site.pings.is_there(1, Millis{1000}, site.now, note));
  site.settle();
  REQUIRE(site.frames(stream).size() == 2);
  json ping = site.frames(stream)[1].at("PingRequest");
  CHECK(ping.at("URLIsNoise") == true);
  std::string path = ping.at("URL").get<std::string>().substr(std::string("https://unused").size());
  CHECK_FALSE(site.pings.answered(path.substr(path.find('=') + 1), tailcfg::MachineKey{}, ""));
  CHECK(site.ask("HEAD", path, "").first == 200);
  CHECK(answers == std::vector<std::optional<std::string>>{""});
  CHECK(site.ask("HEAD", path, "").first == 404);

  REQUIRE(site.pings.c2n(1, "GET /echo HTTP/1.1\r\n\r\n", Millis{1000}, site.now, note));
  site.settle();
  ping = site.frames(stream)[2].at("PingRequest");
  CHECK(ping.at("Types") == "c2n");
  CHECK(ping.at("Payload") == "R0VUIC9lY2hvIEhUVFAvMS4xDQoNCg==");
  path = ping.at("URL").get<std::string>().substr(std::string("https://unused").size());
  CHECK(site.ask("POST", path, "HTTP/1.1 200 OK\r\n\r\n").first == 200);
  CHECK(answers.back() == "HTTP/1.1 200 OK\r\n\r\n");

  REQUIRE(site.pings.is_there(1, Millis{1000}, site.now, note));
  site.pings.tick(site.now + Millis{999});
  CHECK(answers.size() == 2);
  site.pings.tick(site.now + Millis{1000});
  CHECK(answers.back() == std::nullopt);
}

TEST_CASE("the time from a change to a viewer's connection is measured") {
  Site site;
  (void)site.post("/machine/register", Site::register_request(site.key()));
  (void)site.client.request("/machine/map", Site::map_request(true).dump());
  site.settle();
  CHECK(site.fan_out.empty());
  site.tailnet->set_dns_config("{\"Proxied\":true}");
  site.settle();
  REQUIRE(site.fan_out.size() == 1);
  CHECK(site.fan_out[0] == 7);
}

TEST_CASE("a stop of the server ends what waits, so that clients can come back at once") {
  Site site;
  SECTION("a map stream ends in order") {
    site.post("/machine/register", Site::register_request(site.key()));
    const auto id = site.client.request("/machine/map", Site::map_request(true).dump());
    site.settle();
    REQUIRE_FALSE(site.client.closed.contains(id));
    site.client.wire->on_stop();
    site.settle();
    REQUIRE(site.client.closed.contains(id));
    CHECK(site.client.closed[id] == h2::ErrorCode::kNoError);
  }
  SECTION("a registration that waits is cancelled") {
    json request = Site::register_request("");
    request["Followup"] = site.post("/machine/register", request).at("AuthURL");
    const auto id = site.client.request("/machine/register", request.dump());
    site.settle();
    REQUIRE_FALSE(site.client.closed.contains(id));
    site.client.wire->on_stop();
    site.settle();
    REQUIRE(site.client.closed.contains(id));
    CHECK(site.client.closed[id] == h2::ErrorCode::kCancel);
  }
  CHECK(site.client.goaway == h2::ErrorCode::kNoError);
  CHECK(site.client.connection.expired());
}

}  // namespace es::api

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
        machine(*tailnet, [this] { return now; }),
        client([this](const auto& connection) { return machine.serve(connection); }, version) {
    directory->listen([this](auto commits) { tailnet->apply(commits); });
    must(control::create_user(*directory, "ann"));
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
  Machine machine;
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

  must(wait<void>([&](auto answer) { site.tailnet->remove(1, answer); }));
  site.settle();
  CHECK(site.client.closed.contains(stream));
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

}  // namespace es::api

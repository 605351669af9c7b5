// Nodes and registrations over the API. Cases named "parity" follow Headscale's own (hscontrol/
// apiv1_{nodes,auth}_test.go and their goldens, at 20526d6b): facts, in our words.
#include "tests/unit/native/api/api_fixture.h"

#include <catch2/catch.hpp>

namespace es::api {
namespace {

using nlohmann::json;

tailcfg::RawKey raw_key(uint8_t n) {
  tailcfg::RawKey raw{};
  raw.fill(n);
  return raw;
}

tailcfg::RegisterRequest asking(uint8_t n, const std::string& auth_key = {}) {
  tailcfg::RegisterRequest r;
  r.version = 113;
  r.node_key = tailcfg::NodeKey(raw_key(n));
  r.auth_key = auth_key;
  r.hostinfo = tailcfg::hostinfo_of_text(json{
      {"Hostname", "Host-" + std::to_string(n)},
      {"OS", "linux"},
      {"RoutableIPs",
       {"10.0.0.0/24", "0.0.0.0/0", "::/0"}}}.dump());
  return r;
}

// The API with the user "alice" (1).
struct Site : ApiUnderTest {
  Site() { REQUIRE(call("POST", "/api/v1/user", R"({"name":"alice"})").status == 200); }

  std::future<tailcfg::RegisterResponse> enlist(uint8_t n,
                                                const tailcfg::RegisterRequest& request) {
    auto promise = std::make_shared<std::promise<tailcfg::RegisterResponse>>();
    tailnet().register_node(tailcfg::MachineKey(raw_key(n)), request, control::kNow,
                            [promise](auto response) { promise->set_value(std::move(response)); });
    return promise->get_future();
  }
  // Node n, by a key for one use of the user alice.
  json join(uint8_t n, const char* key = R"({"user":"1"})") {
    const std::string auth = call("POST", "/api/v1/preauthkey", key).json()["preAuthKey"]["key"];
    const auto response = enlist(n, asking(n, auth)).get();
    REQUIRE(response.error.empty());
    return call("GET", "/api/v1/node").json()["nodes"].back();
  }
  // The id under which machine n waits.
  std::string knock(uint8_t n) {
    const std::string url = enlist(n, asking(n)).get().auth_url;
    REQUIRE(url.starts_with("https://control.example/register/hskey-authreq-"));
    return url.substr(url.rfind('/') + 1);
  }
  json node(const std::string& id) { return call("GET", "/api/v1/node/" + id).json()["node"]; }
  // Status and message of a refusal, whose shape is checked.
  std::pair<unsigned, std::string> refused(std::string_view method, const std::string& target,
                                           std::string body = {}) {
    const Called answer = call(method, target, std::move(body));
    const json error = answer.json();
    CHECK(error["status"] == answer.status);
    CHECK(error["details"] == json::array());
    CHECK(answer.field("Cache-Control") == "no-store");
    return {answer.status, error["message"]};
  }
};

const char* const kUnknownId = "hskey-authreq-0123456789abcdefghij_-AB";

TEST_CASE("parity: a node that came by key is shown with its owner and its key") {
  Site site;
  site.join(1);
  const json node = site.node("1");
  const json expected = json::parse(R"({
    "id":"1","machineKey":"mkey:0101010101010101010101010101010101010101010101010101010101010101",
    "nodeKey":"nodekey:0101010101010101010101010101010101010101010101010101010101010101",
    "discoKey":"discokey:0000000000000000000000000000000000000000000000000000000000000000",
    "ipAddresses":["100.64.0.1","fd7a:115c:a1e0::1"],"name":"Host-1","lastSeen":"2026-09-21T14:13:20Z",
    "expiry":null,"createdAt":"2026-09-21T14:13:20Z","registerMethod":"REGISTER_METHOD_AUTH_KEY",
    "givenName":"host-1","online":false,"approvedRoutes":[],
    "availableRoutes":["10.0.0.0/24","0.0.0.0/0","::/0"],"subnetRoutes":[],"tags":[]})");
  for (const auto& [name, value] : expected.items()) {
    INFO(name);
    CHECK(node.at(name) == value);
  }
  CHECK(node.size() == expected.size() + 2);
  CHECK(node.at("user").at("name") == "alice");
  const json& key = node.at("preAuthKey");
  CHECK(key.at("used") == true);
  CHECK(key.at("expiration").is_null());
  CHECK(key.at("user").at("id") == "1");
  CHECK(std::string(key.at("key")).ends_with("-***"));
}

TEST_CASE("parity: a tagged node has no user alone and tagged-devices in lists") {
  Site site;
  const json listed = site.join(1, R"({"user":"1","aclTags":["tag:initial"]})");
  CHECK(listed["user"]["id"] == "2147455555");
  CHECK(listed["user"]["name"] == "tagged-devices");
  CHECK(listed["tags"] == json{"tag:initial"});
  CHECK(site.node("1")["user"].is_null());
  CHECK(site.node("1")["preAuthKey"]["aclTags"] == json{"tag:initial"});
}

TEST_CASE("a node that asked to be ephemeral itself is shown as one") {
  Site site;
  CHECK_FALSE(site.join(1, R"({"user":"1","ephemeral":true})").contains("ephemeral"));
  auto request = asking(2);
  request.ephemeral = true;
  const std::string url = site.enlist(2, request).get().auth_url;
  const json body{{"user", "alice"}, {"authId", url.substr(url.rfind('/') + 1)}};
  REQUIRE(site.call("POST", "/api/v1/auth/register", body.dump()).status == 200);
  CHECK(site.node("2").at("ephemeral") == true);
  CHECK(site.call("DELETE", "/api/v1/preauthkey?id=1").status == 200);
  CHECK(site.node("1").at("ephemeral") == true);
}

TEST_CASE("nodes are listed ascending, and by the name or id of their user") {
  Site site;
  CHECK(site.call("GET", "/api/v1/node").body == R"({"nodes":[]})");
  REQUIRE(site.call("POST", "/api/v1/user", R"({"name":"bob"})").status == 200);
  site.join(1);
  site.join(2, R"({"user":"2"})");
  site.join(3);
  site.join(4, R"({"user":"2","aclTags":["tag:a"]})");
  const auto ids = [&](const std::string& query) {
    std::string out;
    const json answer = site.call("GET", "/api/v1/node" + query).json();
    for (const json& node : answer["nodes"]) {
      out += std::string(node["id"]) + " ";
    }
    return out;
  };
  CHECK(ids("") == "1 2 3 4 ");
  CHECK(ids("?user=alice") == "1 3 ");
  CHECK(ids("?user=2") == "2 ");
  CHECK(ids("?user=") == "1 2 3 4 ");
  CHECK(site.refused("GET", "/api/v1/node?user=nope") ==
        std::pair(404U, std::string("user not found")));
}

TEST_CASE("parity: what is no node is 404, and what is no id is 400, in every operation") {
  Site site;
  for (const auto& [method, rest, body] :
       {std::tuple{"GET", "", ""},
        {"DELETE", "", ""},
        {"POST", "/expire", ""},
        {"POST", "/rename/whatever", ""},
        {"POST", "/tags", R"({"tags":["tag:foo"]})"},
        {"POST", "/approve_routes", R"({"routes":["10.0.0.0/24"]})"}}) {
    INFO(method << " " << rest);
    CHECK(site.refused(method, std::string("/api/v1/node/99999") + rest, body) ==
          std::pair(404U, std::string("node not found")));
    CHECK(site.refused(method, std::string("/api/v1/node/abc") + rest, body).first == 400);
    CHECK(site.refused(method, std::string("/api/v1/node/-1") + rest, body).first == 400);
  }
}

TEST_CASE("a node's key expires now, at a time or never") {
  Site site;
  site.join(1);
  const auto expiry = [&](const std::string& body, const std::string& query = "") {
    const Called answer = site.call("POST", "/api/v1/node/1/expire" + query, body);
    INFO(answer.body);
    REQUIRE(answer.status == 200);
    return answer.json()["node"]["expiry"];
  };
  CHECK(expiry("") == "2026-09-21T14:13:20Z");
  CHECK(expiry(R"({"disableExpiry":true})").is_null());
  CHECK(expiry(R"({"expiry":"2030-01-31T14:00:00Z"})") == "2030-01-31T14:00:00Z");
  CHECK(expiry("", "?disableExpiry=true").is_null());
  CHECK(expiry("{}", "?expiry=2031-01-31T14:00:00Z") == "2031-01-31T14:00:00Z");
  CHECK(site.refused("POST", "/api/v1/node/1/expire",
                     R"({"disableExpiry":true,"expiry":"2030-01-31T14:00:00Z"})")
            .first == 400);
  CHECK(site.refused("POST", "/api/v1/node/1/expire", R"({"expiry":"soon"})").first == 400);
  CHECK(site.refused("POST", "/api/v1/node/1/expire?expiry=soon").first == 400);
  CHECK(site.node("1")["expiry"] == "2031-01-31T14:00:00Z");
}

TEST_CASE("a node is renamed to a free and valid label only") {
  Site site;
  site.join(1);
  site.join(2);
  const json renamed = site.call("POST", "/api/v1/node/1/rename/renamed-node").json()["node"];
  CHECK(renamed["givenName"] == "renamed-node");
  CHECK(renamed["name"] == "Host-1");
  CHECK(site.refused("POST", "/api/v1/node/2/rename/renamed-node").first == 409);
  for (const char* bad : {"Upper", "a_b", "-a", "a.b", "a%20b", "%2e"}) {
    INFO(bad);
    CHECK(site.refused("POST", std::string("/api/v1/node/2/rename/") + bad).first == 400);
  }
  CHECK(site.refused("POST", "/api/v1/node/2/rename/" + std::string(64, 'a')).first == 400);
  CHECK(site.call("POST", "/api/v1/node/2/rename/" + std::string(63, 'a')).status == 200);
  CHECK(site.call("POST", "/api/v1/node/1/rename/renamed-node").status == 200);
}

TEST_CASE("tags take a node from its user and cannot all be taken away") {
  Site site;
  site.join(1);
  CHECK(site.refused("POST", "/api/v1/node/1/tags", R"({"tags":[]})").first == 400);
  CHECK(site.refused("POST", "/api/v1/node/1/tags", R"({"tags":["server"]})").first == 400);
  CHECK(site.refused("POST", "/api/v1/node/1/tags", R"({"tags":["tag:A"]})").first == 400);
  CHECK(site.refused("POST", "/api/v1/node/1/tags", R"({"tags":"tag:a"})").first == 400);
  const json node =
      site.call("POST", "/api/v1/node/1/tags", R"({"tags":["tag:b","tag:a","tag:b"]})")
          .json()["node"];
  CHECK(node["tags"] == json{"tag:a", "tag:b"});
  CHECK(node["user"].is_null());
}

TEST_CASE("approved routes are set as a whole, and an exit route brings its twin") {
  Site site;
  site.join(1);
  const auto approve = [&](const char* routes) {
    return site.call("POST", "/api/v1/node/1/approve_routes",
                     std::string(R"({"routes":)") + routes + "}");
  };
  json node = approve(R"(["10.0.0.0/24","10.9.0.0/16"])").json()["node"];
  CHECK(node["approvedRoutes"] == json{"10.0.0.0/24", "10.9.0.0/16"});
  CHECK(node["subnetRoutes"] == json{"10.0.0.0/24"});
  node = approve(R"(["0.0.0.0/0"])").json()["node"];
  CHECK(node["approvedRoutes"] == json{"0.0.0.0/0", "::/0"});
  CHECK(node["subnetRoutes"] == json{"0.0.0.0/0", "::/0"});
  node = approve("[]").json()["node"];
  CHECK(node["approvedRoutes"] == json::array());
  CHECK(approve(R"(["10.0.0.1/24"])").status == 400);
  CHECK(approve(R"(["everything"])").status == 400);
}

TEST_CASE("a deleted node is gone, and its addresses and name are free again") {
  Site site;
  site.join(1);
  CHECK(site.call("DELETE", "/api/v1/node/1").body == "{}");
  CHECK(site.call("GET", "/api/v1/node").body == R"({"nodes":[]})");
  const json again = site.join(1);
  CHECK(again["id"] == "2");
  CHECK(again["givenName"] == "host-1");
}

TEST_CASE("a user with nodes is not deleted, one without is") {
  Site site;
  site.join(1);
  const auto [status, message] = site.refused("DELETE", "/api/v1/user/1");
  CHECK(status == 400);
  CHECK(message.starts_with("user not empty: node(s) found"));
  CHECK(site.node("1")["user"]["name"] == "alice");
  REQUIRE(site.call("DELETE", "/api/v1/node/1").status == 200);
  CHECK(site.call("DELETE", "/api/v1/user/1").status == 200);
}

TEST_CASE("deleting a user and registering its node at once leave one of the two") {
  for (int round = 0; round < 20; ++round) {
    Site site;
    const std::string auth =
        site.call("POST", "/api/v1/preauthkey", R"({"user":"1"})").json()["preAuthKey"]["key"];
    auto registered = site.enlist(1, asking(1, auth));
    const unsigned deleted = site.call("DELETE", "/api/v1/user/1").status;
    const std::string refusal = registered.get().error;
    const size_t nodes = site.call("GET", "/api/v1/node").json()["nodes"].size();
    INFO("deleted " << deleted << ", registration said '" << refusal << "'");
    CHECK((deleted == 200 ? nodes == 0 && !refusal.empty() : nodes == 1 && refusal.empty()));
  }
}

TEST_CASE("parity: a waiting registration becomes a node, and whoever waits learns it at once") {
  Site site;
  const std::string id = site.knock(1);
  auto followup = asking(1);
  followup.followup = "https://control.example/register/" + id;
  auto waiting = site.enlist(1, followup);
  const json node =
      site.call("POST", "/api/v1/auth/register", json{{"user", "alice"}, {"authId", id}}.dump())
          .json()["node"];
  CHECK(node["id"] == "1");
  CHECK(node["registerMethod"] == "REGISTER_METHOD_CLI");
  CHECK(node["preAuthKey"].is_null());
  CHECK(node["expiry"].is_null());
  CHECK(node["user"]["name"] == "alice");
  const auto response = waiting.get();
  CHECK(response.machine_authorized);
  CHECK(response.error.empty());
  // Decided is decided.
  CHECK(
      site.refused("POST", "/api/v1/auth/register", json{{"user", "alice"}, {"authId", id}}.dump())
          .first == 404);
  CHECK(site.refused("POST", "/api/v1/auth/reject", json{{"authId", id}}.dump()).first == 404);
}

TEST_CASE("parity: the older form takes user and key from the query, from the body, or twice") {
  Site site;
  CHECK(site.call("POST", "/api/v1/node/register?user=alice&key=" + site.knock(1)).status == 200);
  CHECK(
      site.call("POST", "/api/v1/node/register", json{{"user", "1"}, {"key", site.knock(2)}}.dump())
          .status == 200);
  const std::string third = site.knock(3);
  CHECK(site.call("POST", "/api/v1/node/register?user=alice&key=" + third,
                  json{{"user", "alice"}, {"key", third}}.dump())
            .status == 200);
  // The address of the page, as a person pastes it, and the id of Headscale 0.28.
  CHECK(
      site.call("POST", "/api/v1/node/register",
                json{{"user", "1"}, {"key", "https://x.example/register/" + site.knock(4)}}.dump())
          .status == 200);
  CHECK(site.call("POST", "/api/v1/node/register?user=alice&key=" + site.knock(5).substr(14))
            .status == 200);
  CHECK(site.call("GET", "/api/v1/node").json()["nodes"].size() == 5);
  CHECK(site.refused("POST", "/api/v1/node/register?user=alice&key=invalidkey").first == 400);
  CHECK(site.refused("POST", std::string("/api/v1/node/register?user=nope&key=") + kUnknownId)
            .first == 404);
}

TEST_CASE("parity: bad ids are 400, unknown ones and unknown users 404") {
  Site site;
  const std::string waiting = site.knock(1);
  for (const char* operation : {"register", "approve", "reject"}) {
    INFO(operation);
    const std::string target = std::string("/api/v1/auth/") + operation;
    const auto status = [&](const std::string& id, const char* user) {
      return site.refused("POST", target, json{{"user", user}, {"authId", id}}.dump()).first;
    };
    for (const std::string& bad :
         {std::string("not-a-valid-auth-id"), std::string(), std::string(kUnknownId) + "x",
          std::string("hskey-authreq-"), "mkey:" + std::string(64, '1'),
          "https://x.example/other/" + waiting, waiting + "/", waiting + "?x"}) {
      INFO(bad);
      CHECK(status(bad, "alice") == 400);
    }
    CHECK(status(kUnknownId, "alice") == 404);
    CHECK(site.refused("POST", target, "[]").first == 400);
  }
  CHECK(site.refused("POST", "/api/v1/auth/register",
                     json{{"user", "ghost"}, {"authId", waiting}}.dump()) ==
        std::pair(404U, std::string("user not found")));
  CHECK(site.refused("POST", "/api/v1/auth/register", json{{"authId", waiting}}.dump()).first ==
        400);
  // A registration needs an owner, however it is approved.
  CHECK(site.refused("POST", "/api/v1/auth/approve", json{{"authId", waiting}}.dump()).first ==
        400);
  CHECK(
      site.call("POST", "/api/v1/auth/approve", json{{"authId", waiting}, {"user", "alice"}}.dump())
          .body == "{}");
  CHECK(site.node("1")["name"] == "Host-1");
}

TEST_CASE("addresses are brought into line with the prefixes") {
  Site site;
  CHECK(site.refused("POST", "/api/v1/node/backfillips").first == 400);
  CHECK(site.call("POST", "/api/v1/node/backfillips?confirmed=true").body == R"({"changes":[]})");
  site.join(1);
  site.join(2);
  CHECK(site.call("POST", "/api/v1/node/backfillips?confirmed=true").body == R"({"changes":[]})");
  // As after a change of prefixes: one address is missing, one is from elsewhere.
  std::promise<bool> stored;
  site.directory().submit({{store::SetNodeAddresses{1, "", "fd7a:115c:a1e0::1"},
                            store::SetNodeAddresses{2, "100.64.0.2", "fd00::2"}}},
                          [&](auto done) { stored.set_value(done.ok()); });
  REQUIRE(stored.get_future().get());
  CHECK(site.node("1")["ipAddresses"] == json::array({"fd7a:115c:a1e0::1"}));
  const json changes =
      site.call("POST", "/api/v1/node/backfillips", R"({"confirmed":true})").json()["changes"];
  CHECK(changes == json::array({R"(assigned IPv4 "100.64.0.3" to Node(1) "host-1")",
                                R"(assigned IPv6 "fd7a:115c:a1e0::3" to Node(2) "host-2")"}));
  CHECK(site.node("1")["ipAddresses"] == json::array({"100.64.0.3", "fd7a:115c:a1e0::1"}));
  CHECK(site.node("2")["ipAddresses"] == json::array({"100.64.0.2", "fd7a:115c:a1e0::3"}));
  site.join(3);
  CHECK(site.node("3")["ipAddresses"] == json::array({"100.64.0.4", "fd7a:115c:a1e0::4"}));
}

TEST_CASE("the map of a node can be looked at without being sent") {
  Site site;
  site.join(1);
  site.join(2);
  const auto before = site.tailnet().stats();
  const json map = site.call("GET", "/api/v1/debug/node/1/map").json()["map"];
  CHECK(map["Node"]["ID"] == 1);
  CHECK(map["Peers"].size() == 1);
  CHECK(map["Peers"][0]["Name"] == "host-2.example.ts.");
  CHECK(site.tailnet().stats().full_maps == before.full_maps);
  CHECK(site.tailnet().stats().sessions == 0);
  CHECK(site.refused("GET", "/api/v1/debug/node/9/map").first == 404);
  CHECK(site.refused("GET", "/api/v1/debug/node/x/map").first == 400);
}

TEST_CASE("parity: a registration that nobody asked for can be made and approved") {
  Site site;
  const auto ask = [&](const char* user, const char* key) {
    return json{{"user", user}, {"key", key}, {"name", "dbgnode"}, {"routes", {"10.0.0.0/24"}}}
        .dump();
  };
  CHECK(site.refused("POST", "/api/v1/debug/node", ask("nope", kUnknownId)).first == 404);
  CHECK(site.refused("POST", "/api/v1/debug/node", ask("alice", "badkey")).first == 400);
  const json node =
      site.call("POST", "/api/v1/debug/node", ask("alice", kUnknownId)).json()["node"];
  CHECK(node["name"] == "dbgnode");
  CHECK(node["registerMethod"] == "REGISTER_METHOD_UNSPECIFIED");
  CHECK(node["availableRoutes"] == json::array({"10.0.0.0/24"}));
  CHECK(node["preAuthKey"].is_null());
  CHECK(node["expiry"] == "0001-01-01T00:00:00Z");
  CHECK(node["lastSeen"] == "0001-01-01T00:00:00Z");
  CHECK(site.refused("POST", "/api/v1/debug/node", ask("alice", kUnknownId)).first == 409);
  const json made = site.call("POST", "/api/v1/auth/register",
                              json{{"user", "alice"}, {"authId", kUnknownId}}.dump())
                        .json()["node"];
  CHECK(made["machineKey"] == node["machineKey"]);
  CHECK(made["availableRoutes"] == json::array({"10.0.0.0/24"}));
}

TEST_CASE("whoever waits is told that an operator turned the node away") {
  Site site;
  const std::string id = site.knock(1);
  auto followup = asking(1);
  followup.followup = "https://control.example/register/" + id;
  auto waiting = site.enlist(1, followup);
  CHECK(site.call("POST", "/api/v1/auth/reject", json{{"authId", id}}.dump()).body == "{}");
  CHECK(waiting.get().error == "the registration was refused by an administrator");
  CHECK(site.call("GET", "/api/v1/node").body == R"({"nodes":[]})");
}

}  // namespace
}  // namespace es::api

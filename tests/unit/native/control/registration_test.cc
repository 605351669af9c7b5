#include "native/control/registration.h"

#include "tests/unit/native/control/tailnet_net.h"

#include <thread>

namespace es::control {
namespace {

TEST_CASE("an id is read in full, bare, and out of a log-in address") {
  const std::string secret = "0123456789abcDEF-_234567";
  const std::string id = "hskey-authreq-" + secret;
  for (const std::string& text :
       {id, secret, "https://vpn.example/register/" + id, "http://[::1]:8080/x/register/" + id}) {
    INFO(text);
    CHECK(parse_auth_id(text) == id);
  }
}

TEST_CASE("what is no id is none") {
  const std::string secret = "0123456789abcDEF-_234567";
  for (const std::string& text :
       {std::string(), secret + "8", secret.substr(1), "hskey-authreq-" + secret + "8",
        "hskey-auth-" + secret, "/register/" + secret, "https://vpn.example/" + secret,
        "https://vpn.example/register/" + secret + "/",
        "https://vpn.example/register/" + secret + "?", secret.substr(1) + "/",
        secret.substr(1) + "%", " " + secret.substr(1), secret.substr(1) + std::string(1, '\0')}) {
    INFO(text);
    CHECK_FALSE(parse_auth_id(text).has_value());
  }
}

// Machine m asks to join under node key n; the id that it waits under.
std::string knock(Net& net, uint8_t m, uint8_t n) {
  const std::string url = net.enlist(m, Net::request(n, "")).auth_url;
  return url.substr(url.rfind('/') + 1);
}

constexpr std::string_view kCrowd = "too many registrations are waiting; try again";

// The same from an address.
std::string knock_from(Net& net, uint8_t m, std::string_view address) {
  std::promise<tailcfg::RegisterResponse> promise;
  net.tailnet().register_node(
      machine(m), Net::request(m, ""), net.now, [&](auto r) { promise.set_value(std::move(r)); },
      limit::client_key(address));
  const auto response = promise.get_future().get();
  if (!response.error.empty()) return response.error;
  return response.auth_url.substr(response.auth_url.rfind('/') + 1);
}

// The same machine waits for the decision.
std::shared_future<tailcfg::RegisterResponse> follow(Net& net, uint8_t m, uint8_t n,
                                                     const std::string& id) {
  auto promise = std::make_shared<std::promise<tailcfg::RegisterResponse>>();
  auto request = Net::request(n, "");
  request.followup = "https://control.example/register/" + id;
  net.tailnet().register_node(machine(m), request, net.now,
                              [promise](auto r) { promise->set_value(std::move(r)); });
  return promise->get_future().share();
}

bool decided(const std::shared_future<tailcfg::RegisterResponse>& waiting) {
  return waiting.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

TEST_CASE("one machine's registrations push out its own and nobody else's") {
  Net net;
  const std::string other = knock(net, 100, 100);
  auto other_waits = follow(net, 100, 100, other);
  std::vector<std::string> ids;
  for (uint8_t n = 1; n <= 8; ++n) {
    ids.push_back(knock(net, 1, n));
    net.now += Millis{1};
  }
  auto first_waits = follow(net, 1, 1, ids[0]);
  CHECK(knock(net, 1, 3) == ids[2]);  // asking again makes no new one
  CHECK_FALSE(decided(first_waits));
  ids.push_back(knock(net, 1, 9));
  REQUIRE(decided(first_waits));
  CHECK(first_waits.get().error == "too many registrations are waiting; try again");
  CHECK_FALSE(net.tailnet().registration(ids[0]).has_value());
  for (size_t i = 1; i < ids.size(); ++i) CHECK(net.tailnet().registration(ids[i]).has_value());
  CHECK_FALSE(decided(other_waits));
  CHECK(net.tailnet().registration(other).has_value());
}

TEST_CASE("one network's registrations push out its own, the oldest that nobody polls for") {
  Net net({.max_registrations = 100, .max_registrations_of_network = 3});
  const auto waits = [&](const std::string& id) {
    return net.tailnet().registration(id).has_value();
  };
  const std::string other = knock_from(net, 100, "2001:db8:0:2::1");
  std::vector<std::string> ids;
  for (uint8_t m = 1; m <= 3; ++m) {
    net.now += Millis{1};
    ids.push_back(knock_from(net, m, "2001:db8:0:1::" + std::to_string(m)));
  }
  auto polled = follow(net, 1, 1, ids[0]);
  ids.push_back(knock_from(net, 4, "2001:db8:0:1::4"));
  CHECK(waits(ids[0]));
  CHECK_FALSE(waits(ids[1]));
  CHECK(waits(ids[2]));
  CHECK(waits(ids[3]));
  CHECK(waits(other));
  // With all of them polled for, the newcomer is refused.
  auto polled_too = follow(net, 3, 3, ids[2]);
  auto polled_last = follow(net, 4, 4, ids[3]);
  CHECK(knock_from(net, 5, "2001:db8:0:1::5") == kCrowd);
  CHECK(knock_from(net, 6, "2001:db8:0:3::1").starts_with(kAuthIdPrefix));
  CHECK_FALSE(decided(polled));
  CHECK_FALSE(decided(polled_too));
  CHECK_FALSE(decided(polled_last));
}

TEST_CASE("a full table costs the network with the most, and who is polled for last") {
  Net net({.max_registrations = 6, .max_registrations_of_network = 6});
  const auto waits = [&](const std::string& id) {
    return net.tailnet().registration(id).has_value();
  };
  const std::string lone = knock_from(net, 100, "192.0.2.1");
  const std::string polled = knock_from(net, 101, "192.0.2.2");
  auto answer = follow(net, 101, 101, polled);
  std::vector<std::string> flood;
  for (uint8_t m = 1; m <= 4; ++m) {
    net.now += Millis{1};
    flood.push_back(knock_from(net, m, "198.51.100.1"));
  }
  // A flood from one network pushes out its own.
  flood.push_back(knock_from(net, 5, "198.51.100.1"));
  CHECK_FALSE(waits(flood[0]));
  // Newcomers elsewhere cost it too, until all have the same.
  for (uint8_t m = 10; m < 13; ++m) knock_from(net, m, "203.0.113." + std::to_string(m));
  CHECK(waits(lone));
  CHECK(waits(polled));
  CHECK_FALSE(waits(flood[1]));
  CHECK_FALSE(waits(flood[2]));
  CHECK_FALSE(waits(flood[3]));
  CHECK(waits(flood[4]));
  // Then the oldest of those that nobody polls for.
  net.now += Millis{1};
  knock_from(net, 13, "203.0.113.13");
  CHECK_FALSE(waits(lone));
  CHECK(waits(polled));
  CHECK_FALSE(decided(answer));
}

TEST_CASE("a crowd of few networks that polls makes room for others, the oldest first") {
  Net net({.max_registrations = 6, .max_registrations_of_network = 3});
  std::vector<std::string> ids;
  std::vector<std::shared_future<tailcfg::RegisterResponse>> answers;
  const auto poll = [&](uint8_t m, const std::string& address) {
    ids.push_back(knock_from(net, m, address));
    answers.push_back(follow(net, m, m, ids.back()));
    net.now += Millis{1};
  };
  for (uint8_t m = 1; m <= 3; ++m) poll(m, "198.51.100.1");
  for (uint8_t m = 4; m <= 6; ++m) poll(m, "198.51.100.2");
  // Others may come until they have as much as those.
  poll(7, "192.0.2.1");
  REQUIRE(decided(answers[0]));
  CHECK(answers[0].get().error == kCrowd);
  poll(8, "192.0.2.2");
  CHECK(decided(answers[3]));
  CHECK(knock_from(net, 9, "198.51.100.1") == kCrowd);
  CHECK(knock_from(net, 10, "192.0.2.1") == kCrowd);
  CHECK(knock_from(net, 11, "192.0.2.3").starts_with(kAuthIdPrefix));
  CHECK(decided(answers[1]));
  for (const size_t still : {2U, 4U, 5U, 6U, 7U}) CHECK_FALSE(decided(answers[still]));
}

TEST_CASE("what waiting machines say of themselves is bounded in all") {
  Net net({.max_registrations = 100, .max_registration_bytes = 100'000});
  std::vector<std::string> ids;
  for (uint8_t m = 1; m <= 3; ++m) {
    auto request = Net::request(m, "");
    request.hostinfo.full_json.assign(40'000, ' ');
    const std::string url = net.enlist(m, request).auth_url;
    ids.push_back(url.substr(url.rfind('/') + 1));
    net.now += Millis{1};
  }
  CHECK_FALSE(net.tailnet().registration(ids[0]).has_value());
  CHECK(net.tailnet().registration(ids[1]).has_value());
  CHECK(net.tailnet().registration(ids[2]).has_value());
}

TEST_CASE("a registration says what it is and until when") {
  Net net;
  const auto waiting = net.tailnet().registration(knock(net, 1, 2));
  REQUIRE(waiting.has_value());
  CHECK(waiting->machine_key == machine(1));
  CHECK(waiting->node_key == node_key(2));
  CHECK(waiting->hostname == "host2");
  CHECK(waiting->created == net.now);
  CHECK(waiting->expires == net.now + std::chrono::minutes(15));
  CHECK_FALSE(net.tailnet().registration("hskey-authreq-000000000000000000000000").has_value());
}

TEST_CASE("of approvals and rejections at the same time exactly one decides") {
  for (int round = 0; round < 10; ++round) {
    Net net;
    const std::string id = knock(net, 1, 1);
    auto waiting = follow(net, 1, 1, id);
    std::atomic<int> approved = 0;
    std::atomic<int> rejected = 0;
    std::vector<std::thread> operators;
    for (int t = 0; t < 4; ++t) {
      operators.emplace_back([&, t] {
        if (t == 3) {
          rejected += wait<void>([&](auto answer) { net.tailnet().reject(id, answer); }).ok();
        } else {
          approved += wait<NodePtr>([&](auto answer) {
                        net.tailnet().approve(id, 1, net.now, answer);
                      }).ok();
        }
      });
    }
    for (std::thread& t : operators) t.join();
    CHECK(approved + rejected == 1);
    CHECK(net.tailnet().nodes().size() == static_cast<size_t>(approved));
    CHECK(waiting.get().error.empty() == (approved == 1));
  }
}

TEST_CASE("an approval that fails leaves the registration waiting") {
  Net net;
  const std::string id = knock(net, 1, 1);
  auto waiting = follow(net, 1, 1, id);
  const auto unknown =
      wait<NodePtr>([&](auto answer) { net.tailnet().approve(id, 9, net.now, answer); });
  CHECK(unknown.error().reason == Reason::kNotFound);
  // Meanwhile the node key is taken: the database refuses it.
  net.join(2, net.key());
  std::promise<bool> taken;
  net.directory().submit({{store::SetNodeIdentity{.id = 1,
                                                  .node_key = node_key(1).text(),
                                                  .user_id = 1,
                                                  .tags = {},
                                                  .pre_auth_key_id = {},
                                                  .register_method = "cli",
                                                  .ephemeral = false,
                                                  .expiry = {}}}},
                         [&](auto done) { taken.set_value(done.ok()); });
  REQUIRE(taken.get_future().get());
  const auto refused =
      wait<NodePtr>([&](auto answer) { net.tailnet().approve(id, 1, net.now, answer); });
  CHECK_FALSE(refused.ok());
  CHECK_FALSE(decided(waiting));
  CHECK(net.tailnet().registration(id).has_value());
  must(wait<void>([&](auto answer) { net.tailnet().remove(1, answer); }));
  must(wait<NodePtr>([&](auto answer) { net.tailnet().approve(id, 1, net.now, answer); }));
  CHECK(waiting.get().machine_authorized);
}

TEST_CASE("of two machines that show one node key at once, one gets it") {
  for (int round = 0; round < 10; ++round) {
    Net net;
    const std::string key = net.reusable_key();
    std::vector<std::string> errors(4);
    std::vector<std::thread> machines;
    for (size_t t = 0; t < errors.size(); ++t) {
      machines.emplace_back([&, t] {
        errors[t] = net.enlist(static_cast<uint8_t>(t + 1), Net::request(7, key)).error;
      });
    }
    for (std::thread& t : machines) t.join();
    CHECK(std::count(errors.begin(), errors.end(), "") == 1);
    CHECK(net.tailnet().nodes().size() == 1);
    for (const std::string& error : errors) {
      INFO(error);
      // Not "the key has been used": it is reusable.
      CHECK(error.find("has been used") == std::string::npos);
    }
  }
}

TEST_CASE("of two machines that use a key for one use at once, the loser is told so") {
  for (int round = 0; round < 10; ++round) {
    Net net;
    const std::string key = net.key();
    std::vector<std::string> errors(8);
    std::vector<std::thread> machines;
    for (size_t t = 0; t < errors.size(); ++t) {
      machines.emplace_back([&, t] {
        const auto n = static_cast<uint8_t>(t + 1);
        errors[t] = net.enlist(n, Net::request(n, key)).error;
      });
    }
    for (std::thread& t : machines) t.join();
    CHECK(std::count(errors.begin(), errors.end(), "") == 1);
    CHECK(std::count(errors.begin(), errors.end(),
                     "this auth key was for one use and has been used; ask for a new one") == 7);
    CHECK(net.tailnet().nodes().size() == 1);
  }
}

}  // namespace
}  // namespace es::control

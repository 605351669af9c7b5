// A machine that registers again: whose node it is then, and with which tags.
#include "tests/unit/native/control/tailnet_net.h"

namespace es::control {
namespace {

using Tags = std::vector<std::string>;

// The tags a and b are ann's (1) to give, c is nobody's; bob (2) has none.
class Renewals : public Net {
 public:
  Renewals() {
    must(create_user(directory(), "bob"));
    policy::Problems problems;
    auto compiled = tailnet().compile_policy(
        R"({"tagOwners":{"tag:a":["ann@"],"tag:b":["ann@"],"tag:c":[]},
            "acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]})",
        problems);
    REQUIRE(compiled != nullptr);
    tailnet().install_policy(std::move(compiled));
  }

  std::string key_for(Tags tags) {
    NewPreAuthKey request;
    request.tags = std::move(tags);
    request.reusable = true;
    return key(request);
  }
  std::string key_of(uint64_t user) {
    NewPreAuthKey request;
    request.user_id = user;
    request.reusable = true;
    return key(request);
  }
  // Machine 1 with its next node key, asking for these tags.
  tailcfg::RegisterRequest again(std::string auth_key, const Tags& asks = {}) {
    tailcfg::RegisterRequest r = request(1, std::move(auth_key));
    r.old_node_key = last_;
    r.node_key = last_ = node_key(next_++);
    r.hostinfo.request_tags = asks;
    return r;
  }
  // Registers it and says why that failed, if it did.
  std::string renew(const std::string& auth_key, const Tags& asks = {}) {
    return enlist(1, again(auth_key, asks)).error;
  }
  std::string renew_by_approval(uint64_t user, const Tags& asks = {}) {
    const std::string url = enlist(1, again("", asks)).auth_url;
    const auto done = wait<NodePtr>(
        [&](auto answer) { tailnet().approve(url.substr(url.rfind('/') + 1), user, now, answer); });
    return done.ok() ? "" : done.error().text;
  }
  void tag(Tags tags) {
    must(wait<NodePtr>([&](auto answer) { tailnet().set_tags(1, std::move(tags), answer); }));
  }
  const store::Node& row() {
    REQUIRE(tailnet().nodes().size() == 1);
    REQUIRE(tailnet().node(1)->node_key == last_);
    return tailnet().node(1)->row;
  }

 private:
  tailcfg::NodeKey last_ = node_key(1);
  uint8_t next_ = 100;
};

}  // namespace

TEST_CASE("a node with tags keeps those that an operator gave it when it comes back by a key") {
  Renewals net;
  SECTION("a key for tags") {
    const std::string key = net.key_for({"tag:a"});
    net.join(1, key);
    net.tag({"tag:c"});
    CHECK(net.renew(key).empty());
  }
  SECTION("another key, for these tags too") {
    net.join(1, net.key_for({"tag:a"}));
    net.tag({"tag:c"});
    CHECK(net.renew(net.key_for({"tag:b", "tag:c"})).empty());
  }
  SECTION("its user's key") {
    const std::string key = net.reusable_key();
    net.join(1, key);
    net.tag({"tag:c"});
    CHECK(net.renew(key).empty());
  }
  CHECK(net.row().tags == Tags{"tag:c"});
  CHECK_FALSE(net.row().user_id.has_value());
  CHECK_FALSE(net.row().expiry.has_value());
}

TEST_CASE("a node keeps its tags by the key of a user who may give them") {
  Renewals net;
  net.join(1, net.key_for({"tag:b"}));
  CHECK(net.renew(net.reusable_key()).empty());
  CHECK(net.row().tags == Tags{"tag:b"});
}

TEST_CASE("no key gives back tags that it could not give") {
  Renewals net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  net.tag({"tag:c"});
  const auto expire = [&] {
    must(wait<NodePtr>([&](auto answer) { net.tailnet().set_expiry(1, net.now, answer); }));
  };
  SECTION("another user's: a node of his own") { CHECK(net.renew(net.key_of(2)).empty()); }
  SECTION("another user's, when an operator has expired the node") {
    expire();
    CHECK(net.renew(net.key_of(2)).empty());
  }
  SECTION("not even the one that made it, when an operator has expired the node") {
    expire();
    CHECK(net.renew(key).empty());
    CHECK(net.row().tags.empty());
    CHECK(net.row().user_id == uint64_t{1});
    return;
  }
  REQUIRE(net.tailnet().nodes().size() == 2);
  CHECK(net.tailnet().node(2)->row.tags.empty());
  CHECK(net.tailnet().node(2)->row.user_id.has_value());
  CHECK(net.tailnet().node(1)->row.tags == Tags{"tag:c"});
}

TEST_CASE(
    "a key for other tags makes a node theirs, and without its key only one of the same tags") {
  Renewals net;
  net.join(1, net.key_for({"tag:a"}));
  net.tag({"tag:c"});
  SECTION("with the node's key") {
    CHECK(net.renew(net.key_for({"tag:b"})).empty());
    CHECK(net.row().tags == Tags{"tag:b"});
  }
  SECTION("without it") {
    tailcfg::RegisterRequest second = Net::request(1, net.key_for({"tag:b"}));
    second.node_key = node_key(60);
    REQUIRE(net.enlist(1, second).error.empty());
    REQUIRE(net.tailnet().nodes().size() == 2);
    CHECK(net.tailnet().node(1)->node_key == node_key(1));
    CHECK(net.tailnet().node(2)->row.tags == Tags{"tag:b"});
  }
}

TEST_CASE("tags that a node asks for when it logs in again replace those that it has") {
  Renewals net;
  net.join(1, net.key_for({"tag:c"}));
  const std::string key = net.reusable_key();
  SECTION("by the key of their owner") {
    CHECK(net.renew(key, {"tag:b", "tag:a", "tag:b"}).empty());
    CHECK(net.row().tags == Tags{"tag:a", "tag:b"});
    CHECK(net.renew(key, {"tag:b"}).empty());
    CHECK(net.row().tags == Tags{"tag:b"});
  }
  SECTION("by an approval for their owner") {
    CHECK(net.renew_by_approval(1, {"tag:b"}).empty());
    CHECK(net.row().tags == Tags{"tag:b"});
  }
  SECTION("by a key for those tags") {
    CHECK(net.renew(net.key_for({"tag:a"}), {"tag:a"}).empty());
    CHECK(net.row().tags == Tags{"tag:a"});
  }
  CHECK_FALSE(net.row().user_id.has_value());
}

TEST_CASE("tags that are not the user's to give are refused, and the node stays as it is") {
  Renewals net;
  net.join(1, net.key_for({"tag:a"}));
  const auto refused = [](const std::string& error) {
    return error.find("invalid or not permitted") != std::string::npos;
  };
  CHECK(refused(net.renew(net.reusable_key(), {"tag:c"})));
  CHECK(refused(net.renew(net.key_of(2), {"tag:b"})));
  CHECK(refused(net.renew_by_approval(2, {"tag:b"})));
  CHECK(refused(net.renew(net.key_for({"tag:a"}), {"tag:b"})));
  CHECK(net.tailnet().node(1)->row.tags == Tags{"tag:a"});
  CHECK(net.tailnet().node(1)->node_key == node_key(1));
}

TEST_CASE("a node with tags becomes a user's by an approval without tags") {
  Renewals net;
  net.join(1, net.key_for({"tag:a"}));
  CHECK(net.renew_by_approval(2).empty());
  CHECK(net.row().tags.empty());
  CHECK(net.row().user_id == uint64_t{2});
}

TEST_CASE("routes that were approved for a tag go with the tag, and stay with it") {
  Renewals net;
  using Routes = std::vector<std::string>;
  const auto routes = [&] {
    must(wait<void>([&](auto a) { net.directory().ping(a); }));  // also what the policy adds
    return net.tailnet().node(1)->row.approved_routes;
  };
  net.join(1, net.key_for({"tag:a"}));
  must(wait<NodePtr>([&](auto a) {
    net.tailnet().approve_routes(1, {"10.0.0.0/8", "10.1.0.0/16"}, a);
  }));
  SECTION("a user's by an approval") {
    CHECK(net.renew_by_approval(2).empty());
    CHECK(routes().empty());
    net.reopen();
    CHECK(net.tailnet().node(1)->row.approved_routes.empty());
  }
  SECTION("other tags by a key for them") {
    CHECK(net.renew(net.key_for({"tag:b"})).empty());
    REQUIRE(net.row().tags == Tags{"tag:b"});
    CHECK(routes().empty());
  }
  SECTION("the same tags") {
    CHECK(net.renew(net.key_for({"tag:a"})).empty());
    CHECK(routes() == Routes{"10.0.0.0/8", "10.1.0.0/16"});
  }
  SECTION("one more tag") {
    CHECK(net.renew(net.reusable_key(), {"tag:a", "tag:b"}).empty());
    CHECK(routes() == Routes{"10.0.0.0/8", "10.1.0.0/16"});
  }
}

TEST_CASE("a user's node is given to tags by a key for them, and keeps its address") {
  Renewals net;
  net.join(1, net.reusable_key());
  const std::string address = net.tailnet().node(1)->row.ipv4;
  CHECK(net.renew(net.key_for({"tag:c"})).empty());
  CHECK(net.row().tags == Tags{"tag:c"});
  CHECK_FALSE(net.row().user_id.has_value());
  CHECK(net.row().ipv4 == address);
}

TEST_CASE("of several nodes of one machine that one is renewed whose key it shows") {
  Renewals net;
  const std::string key = net.key_for({"tag:a"});
  net.join(1, key);
  // Another profile of the machine, as another user's.
  tailcfg::RegisterRequest second = Net::request(1, net.key_of(2));
  second.node_key = node_key(50);
  REQUIRE(net.enlist(1, second).error.empty());
  REQUIRE(net.tailnet().nodes().size() == 2);
  second.auth_key = key;
  second.old_node_key = second.node_key;
  second.node_key = node_key(51);
  REQUIRE(net.enlist(1, second).error.empty());
  CHECK(net.tailnet().node(1)->node_key == node_key(1));
  CHECK(net.tailnet().node(2)->node_key == node_key(51));
  CHECK(net.tailnet().node(2)->row.tags == Tags{"tag:a"});
}

TEST_CASE("tags that an operator gives while the node registers again are not lost") {
  Renewals net;
  const std::string key = net.reusable_key();
  net.join(1, key);
  // The store is held up, so that both are on their way before either is there.
  std::promise<void> busy;
  std::promise<void> go_on;
  net.directory().submit({{store::TouchNodes{}}}, [&](const auto&) {
    busy.set_value();
    go_on.get_future().wait();
  });
  busy.get_future().wait();
  std::promise<bool> tagged;
  net.tailnet().set_tags(1, {"tag:c"}, [&](const auto& done) { tagged.set_value(done.ok()); });
  std::promise<std::string> renewed;
  net.tailnet().register_node(machine(1), net.again(key), net.now,
                              [&](const auto& response) { renewed.set_value(response.error); });
  go_on.set_value();
  REQUIRE(tagged.get_future().get());
  CHECK(renewed.get_future().get().empty());
  CHECK(net.row().tags == Tags{"tag:c"});
  CHECK_FALSE(net.row().user_id.has_value());
  CHECK_FALSE(net.row().expiry.has_value());
  net.reopen();
  CHECK(net.row().tags == Tags{"tag:c"});
}

}  // namespace es::control

#include "native/control/ssh_checks.h"

#include "tests/unit/native/control/tailnet_net.h"

namespace es::control {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using Event = SshChecks::Event;

constexpr uint8_t kLaptop = 1;
constexpr uint8_t kServer = 2;
constexpr uint8_t kStranger = 3;

std::string check_rule(const std::string& more) {
  return R"({"tagOwners":{"tag:web":[]},"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}],
             "ssh":[{"action":"check","src":["ann@"],"dst":["tag:web"],"users":["root"])" +
         more + "}]}";
}

// Ann's laptop (1) may log in on the server (2) as root after a check; 3 is another server.
class Checks {
 public:
  explicit Checks(SshChecks::Options options = {}) : checks(net.tailnet(), filled(options)) {
    NewPreAuthKey tagged;
    tagged.tags = {"tag:web"};
    tagged.reusable = true;
    const std::string key = net.key(tagged);
    net.join(kLaptop, net.reusable_key());
    net.join(kServer, key);
    tagged.tags = {"tag:db"};
    net.join(kStranger, net.key(tagged));
    install(check_rule(""));
  }

  SshChecks::Options filled(SshChecks::Options options) {
    options.server_url = "https://control.example";
    options.random = [this](MutableBytes out) {
      for (uint8_t& b : out) b = 0;
      out[0] = ++random_;
    };
    options.on_event = [this](Event event, const SshLogin& login, std::string_view by) {
      events.push_back(event);
      deciders.emplace_back(by);
      logins.push_back(login);
    };
    return options;
  }
  void install(const std::string& text) {
    policy::Problems problems;
    auto compiled = net.tailnet().compile_policy(text, problems);
    INFO(problems.text());
    REQUIRE(compiled != nullptr);
    net.tailnet().install_policy(std::move(compiled));
  }

  // What the client is told, and what it does with it.
  struct Session {
    SshChecks::Ticket ticket = 0;
    std::optional<tailcfg::SshAction> told;

    bool waits() const { return !told; }
    bool accepted() const { return told && told->accept && !told->reject; }
    bool rejected() const { return told && told->reject && !told->accept; }
    bool held() const { return told && !told->hold_and_delegate.empty(); }
    std::string id() const {
      const std::string& url = told->hold_and_delegate;
      return url.substr(url.find("&auth_id=") + 9);
    }
  };
  std::shared_ptr<Session> ask(std::string_view auth_id = {}, std::string login = "root",
                               uint64_t source = kLaptop, uint64_t destination = kServer,
                               uint8_t asking = kServer) {
    auto session = std::make_shared<Session>();
    session->ticket =
        checks.ask(machine(asking), {source, destination, std::move(login)}, auth_id, net.now,
                   [session](tailcfg::SshAction action) { session->told = std::move(action); });
    return session;
  }
  // A connection that got as far as waiting.
  std::pair<std::string, std::shared_ptr<Session>> hold(std::string login = "root") {
    const auto first = ask({}, login);
    REQUIRE(first->held());
    auto waiting = ask(first->id(), login);
    REQUIRE(waiting->waits());
    return {first->id(), waiting};
  }

  Net net;
  SshChecks checks;
  std::vector<Event> events;
  std::vector<SshLogin> logins;
  std::vector<std::string> deciders;

 private:
  uint8_t random_ = 0;
};

}  // namespace

TEST_CASE("a log-in under a check rule waits, with an address to approve it at") {
  Checks c;
  const auto first = c.ask();
  REQUIRE(first->held());
  CHECK_FALSE(first->told->accept);
  CHECK_FALSE(first->told->reject);
  const std::string id = first->id();
  CHECK(first->told->message.find("https://control.example/auth/" + id + "\r\n") !=
        std::string::npos);
  CHECK(first->told->hold_and_delegate ==
        "https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
        "&auth_id=" +
            id);
  CHECK(parse_auth_id("https://control.example/auth/" + id) == id);

  const auto waiting = c.ask(id);
  CHECK(waiting->waits());
  const auto pending = c.checks.pending(id, c.net.now);
  REQUIRE(pending.has_value());
  CHECK(pending->source == "host1");
  CHECK(pending->source_owner == "ann");
  CHECK(pending->destination == "host2");
  CHECK(pending->login == "root");
  CHECK(pending->period == hours(12));
  CHECK(pending->expires == c.net.now + Millis{15 * 60'000});

  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  REQUIRE(waiting->accepted());
  CHECK(waiting->told->allow_agent_forwarding);
  CHECK(waiting->told->allow_local_port_forwarding);
  CHECK(waiting->told->allow_remote_port_forwarding);
  CHECK_FALSE(c.checks.pending(id, c.net.now).has_value());
  CHECK(c.checks.approve(id, "ben", c.net.now).error().reason == Reason::kNotFound);
  CHECK(c.checks.reject(id, "ben", c.net.now).error().reason == Reason::kNotFound);
  CHECK(c.events == std::vector{Event::kAsked, Event::kApproved});
  CHECK(c.logins.back() == SshLogin{kLaptop, kServer, "root"});
}

TEST_CASE("an approval lasts for the period of the rule, for the same log-in only") {
  Checks c;
  c.install(check_rule(R"(,"checkPeriod":"30m")"));
  const auto [id, waiting] = c.hold();
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  REQUIRE(waiting->accepted());
  c.net.now += minutes(30) - Millis{1};
  c.checks.tick(c.net.now);
  CHECK(c.ask()->accepted());
  CHECK(c.events.back() == Event::kRemembered);
  c.net.now += Millis{1};
  CHECK(c.ask()->held());
}

TEST_CASE("an approval for one login name opens no other") {
  Checks c;
  c.install(R"({"tagOwners":{"tag:web":[]},"ssh":[
    {"action":"check","src":["ann@"],"dst":["tag:web"],"users":["guest"]},
    {"action":"check","src":["ann@"],"dst":["tag:web"],"users":["root"],"checkPeriod":"always"}]})");
  const auto [id, guest] = c.hold("guest");
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  CHECK(guest->accepted());
  CHECK(c.ask({}, "guest")->accepted());
  CHECK(c.ask({}, "root")->held());
}

TEST_CASE("with the period 'always' each approval opens one connection") {
  Checks c;
  c.install(check_rule(R"(,"checkPeriod":"always")"));
  const auto [id, first] = c.hold();
  const auto [other_id, second] = c.hold();
  CHECK(id != other_id);
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  CHECK(first->accepted());
  CHECK(second->waits());
  CHECK(c.ask()->held());
  // And its id opens nothing a second time.
  CHECK(c.ask(id)->held());
}

TEST_CASE("an approval for a while opens everything that waits for the same") {
  Checks c;
  const auto [id, first] = c.hold();
  const auto [other_id, second] = c.hold();
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  CHECK(first->accepted());
  CHECK(second->accepted());
  CHECK_FALSE(c.checks.pending(other_id, c.net.now).has_value());
}

TEST_CASE("a rejected log-in is refused with a message, and may be tried again") {
  Checks c;
  const auto [id, waiting] = c.hold();
  REQUIRE(c.checks.reject(id, "ben", c.net.now).ok());
  REQUIRE(waiting->rejected());
  CHECK(waiting->told->message.find("refused by an operator") != std::string::npos);
  CHECK(c.ask()->held());
}

TEST_CASE("a decision that comes before the client waits is there when it does") {
  Checks c;
  c.install(check_rule(R"(,"checkPeriod":"always")"));
  const std::string approved = c.ask()->id();
  const std::string rejected = c.ask()->id();
  REQUIRE(c.checks.approve(approved, "ben", c.net.now).ok());
  REQUIRE(c.checks.reject(rejected, "ben", c.net.now).ok());
  CHECK(c.ask(approved)->accepted());
  CHECK(c.ask(rejected)->rejected());
  CHECK(c.ask(approved)->held());
}

TEST_CASE("only the destination's machine may ask, and whatever is not to be looks alike") {
  Checks c;
  const auto refused = [&](const std::shared_ptr<Checks::Session>& session) {
    REQUIRE(session->rejected());
    return session->told->message;
  };
  const std::string id = c.ask()->id();
  const std::string words = refused(c.ask({}, "root", kLaptop, kServer, kStranger));
  CHECK(refused(c.ask(id, "root", kLaptop, kServer, kStranger)) == words);  // nor wait
  CHECK(refused(c.ask({}, "root", kLaptop, kServer, kLaptop)) == words);    // the source itself
  CHECK(refused(c.ask({}, "daemon")) == words);                             // no rule for the name
  CHECK(refused(c.ask({}, "")) == words);
  CHECK(refused(c.ask({}, std::string(kMaxLoginLen + 1, 'a'))) == words);
  CHECK(refused(c.ask({}, "root", kStranger)) == words);  // no rule for the source
  CHECK(refused(c.ask({}, "root", 99)) == words);
  CHECK(refused(c.ask({}, "root", kLaptop, 99)) == words);
  CHECK(refused(c.ask({}, "root", kLaptop, kStranger, kStranger)) == words);
  // Only the first left anything.
  CHECK(c.events == std::vector{Event::kAsked});
}

TEST_CASE("an id is good for the log-in that it was made for") {
  Checks c;
  c.install(R"({"tagOwners":{"tag:web":[]},"ssh":[
    {"action":"check","src":["ann@"],"dst":["tag:web"],"users":["guest","root"]}]})");
  const std::string id = c.ask({}, "guest")->id();
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  const auto other = c.ask(id, "root");
  REQUIRE(other->held());
  CHECK(other->id() != id);
  CHECK(c.ask(id, "guest")->accepted());
}

TEST_CASE("a rule that goes while somebody waits ends the wait, approved or not") {
  Checks c;
  const auto [id, waiting] = c.hold();
  const std::string late = c.ask()->id();
  c.install(R"({"ssh":[]})");
  CHECK_FALSE(c.checks.pending(id, c.net.now).has_value());
  CHECK(c.checks.approve(late, "ben", c.net.now).error().reason == Reason::kConflict);
  CHECK(waiting->waits());
  c.checks.tick(c.net.now);
  CHECK(waiting->rejected());
  CHECK(c.ask()->rejected());
  // Back again, nothing of it is left.
  c.install(check_rule(""));
  CHECK(c.checks.approve(id, "ben", c.net.now).error().reason == Reason::kNotFound);
  CHECK(c.checks.approve(late, "ben", c.net.now).error().reason == Reason::kNotFound);
}

TEST_CASE("another policy forgets approvals; so does the source's next node key") {
  Checks c;
  const auto approve = [&] {
    const auto [id, waiting] = c.hold();
    REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
    REQUIRE(c.ask()->accepted());
  };
  approve();
  c.install(check_rule(R"(,"checkPeriod":"24h")"));
  CHECK(c.ask()->held());
  approve();
  auto again = Net::request(kLaptop, c.net.reusable_key());
  again.old_node_key = again.node_key;
  again.node_key = node_key(77);
  REQUIRE(c.net.enlist(kLaptop, again).error.empty());
  REQUIRE(c.net.tailnet().node(kLaptop)->node_key == node_key(77));
  CHECK(c.ask()->held());
}

TEST_CASE("an approval that nobody has fetched ends with its period, and with another policy") {
  Checks c;
  c.install(check_rule(R"(,"checkPeriod":"5m")"));
  const std::string late = c.ask()->id();
  REQUIRE(c.checks.approve(late, "ben", c.net.now).ok());
  CHECK(c.events.back() == Event::kApproved);
  CHECK(c.deciders.back() == "ben");
  c.net.now += minutes(5);
  CHECK(c.ask(late)->waits());
  REQUIRE(c.checks.pending(late, c.net.now).has_value());
  REQUIRE(c.checks.reject(late, "ben", c.net.now).ok());

  const std::string fetched = c.ask()->id();
  REQUIRE(c.checks.approve(fetched, "ben", c.net.now).ok());
  CHECK(c.ask(fetched)->accepted());

  c.install(check_rule(R"(,"checkPeriod":"always")"));
  const std::string once = c.ask()->id();
  REQUIRE(c.checks.approve(once, "ben", c.net.now).ok());
  c.install(R"({"ssh":[]})");
  c.install(check_rule(R"(,"checkPeriod":"always")"));
  CHECK(c.ask(once)->waits());
}

TEST_CASE("what an operator was not shown is not approved") {
  Checks c;
  const auto [id, waiting] = c.hold();
  c.install(check_rule(R"(,"checkPeriod":"168h")"));
  CHECK_FALSE(c.checks.pending(id, c.net.now).has_value());
  CHECK(c.checks.approve(id, "ben", c.net.now).error().reason == Reason::kConflict);
  CHECK(waiting->rejected());
}

TEST_CASE("a clock that is set back prolongs no approval") {
  Checks c;
  const auto [id, waiting] = c.hold();
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  REQUIRE(c.ask()->accepted());
  c.net.now -= hours(1);
  CHECK(c.ask()->held());
}

TEST_CASE("a node whose key has expired, or that is gone, gets in nowhere") {
  Checks c;
  const auto [id, waiting] = c.hold();
  must(wait<NodePtr>([&](auto answer) { c.net.tailnet().set_expiry(kLaptop, c.net.now, answer); }));
  CHECK(c.ask()->rejected());
  CHECK(c.checks.approve(id, "ben", c.net.now).error().reason == Reason::kConflict);
  CHECK(waiting->rejected());
  must(wait<void>([&](auto answer) { c.net.tailnet().remove(kLaptop, answer); }));
  CHECK(c.ask()->rejected());
}

TEST_CASE("what nobody decides ends in time, and a client that has gone is forgotten") {
  Checks c;
  const auto [id, waiting] = c.hold();
  const auto [other, gone] = c.hold();
  c.checks.abandon(gone->ticket);
  c.net.now += minutes(15) - Millis{1};
  c.checks.tick(c.net.now);
  CHECK(waiting->waits());
  c.net.now += Millis{1};
  CHECK(c.checks.approve(id, "ben", c.net.now).error().reason == Reason::kNotFound);
  c.checks.tick(c.net.now);
  REQUIRE(waiting->rejected());
  CHECK(waiting->told->message.find("not approved in time") != std::string::npos);
  CHECK(gone->waits());
  CHECK(c.events.back() == Event::kExpired);
}

TEST_CASE("a client that comes back after a restart is given a new address") {
  Checks c;
  const auto again = c.ask("hskey-authreq-0123456789abcdef01234567");
  REQUIRE(again->held());
  CHECK(c.ask(again->id())->waits());
}

TEST_CASE("the newest stream of a log-in gets the answer") {
  Checks c;
  const auto [id, before] = c.hold();
  const auto now = c.ask(id);
  CHECK(before->rejected());
  c.checks.abandon(before->ticket);  // says nothing of the new one
  REQUIRE(c.checks.approve(id, "ben", c.net.now).ok());
  CHECK(now->accepted());
}

TEST_CASE("who asks too often pushes out his own; a full table refuses") {
  SECTION("of one source at one destination") {
    Checks c;
    const auto [id, oldest] = c.hold();
    c.net.now += Millis{1};
    for (size_t i = 1; i < kMaxOpenOfPair; ++i) CHECK(c.ask()->held());
    CHECK(oldest->waits());
    CHECK(c.ask()->held());
    REQUIRE(oldest->rejected());
    CHECK(oldest->told->message.find("newer SSH connection") != std::string::npos);
  }
  SECTION("in all") {
    SshChecks::Options options;
    options.max_open = 2;
    Checks c(options);
    CHECK(c.ask()->held());
    const std::string second = c.ask()->id();
    CHECK(c.ask()->rejected());
    const auto waiting = c.ask(second);
    REQUIRE(c.checks.reject(second, "ben", c.net.now).ok());
    CHECK(waiting->rejected());
    CHECK(c.ask()->held());
  }
}

TEST_CASE("without a policy nobody is asked for a check") {
  Net net;
  net.join(1, net.key());
  CHECK_FALSE(net.tailnet().ssh_check(1, 1, "root").has_value());
}

}  // namespace es::control

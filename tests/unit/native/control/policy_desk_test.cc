#include "native/control/policy_desk.h"

#include "tests/unit/native/control/tailnet_net.h"

namespace es::control {
namespace {

constexpr const char* kGood =
    "{\n  \"tagOwners\": {\"tag:web\": [\"ann@\"]},\n  // a comment\n  \"acls\": [\n"
    "    {\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"tag:web:80\"]},\n  ],\n}\n";
constexpr const char* kOther = R"({"acls":[]})";

std::unique_ptr<PolicyDesk> desk_of(Net& net, PolicyDesk::Options options) {
  auto made = PolicyDesk::open(net.directory(), net.tailnet(), std::move(options));
  if (!made.ok()) FAIL(made.error());
  (*made)->start();
  return std::move(made).value();
}

PolicyDesk::Options database() {
  PolicyDesk::Options options;
  options.mode = PolicyDesk::Mode::kDatabase;
  return options;
}

Result<PolicyDocument, Refusal> put(PolicyDesk& desk, const std::string& text) {
  return wait<PolicyDocument>([&](auto answer) { desk.put(text, kNow, answer); });
}

// A file that the test writes.
struct TestFile {
  std::mutex mutex;
  std::string text;
  int version = 0;
  std::vector<Result<void, std::string>> seen;

  void write(std::string content) {
    const std::lock_guard lock(mutex);
    text = std::move(content);
    ++version;
  }
  PolicyDesk::Options options() {
    PolicyDesk::Options out;
    out.file.path = "policy.hujson";
    out.file.read = [this]() -> Result<std::string, Unreadable> {
      const std::lock_guard lock(mutex);
      if (text == "gone") return Unreadable{"no such file or directory"};
      return text;
    };
    out.file.signature = [this] {
      const std::lock_guard lock(mutex);
      return std::to_string(version);
    };
    out.look_at_file = Millis{5};
    out.on_file = [this](const auto& done) {
      const std::lock_guard lock(mutex);
      seen.push_back(done);
    };
    return out;
  }
  size_t looks() {
    const std::lock_guard lock(mutex);
    return seen.size();
  }
};

template <class F>
void eventually(F condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  REQUIRE(condition());
}

}  // namespace

TEST_CASE("a policy that was put is in service, and so after a restart") {
  Net net;
  {
    const auto desk = desk_of(net, database());
    CHECK_FALSE(desk->document().has_value());
    CHECK_FALSE(net.tailnet().has_policy());
    const auto done = put(*desk, kGood);
    REQUIRE(done.ok());
    CHECK(done->text == kGood);
    CHECK(done->updated_at == kNow);
    CHECK(net.tailnet().has_policy());
    REQUIRE(put(*desk, kOther).ok());
  }
  net.reopen();
  CHECK_FALSE(net.tailnet().has_policy());
  const auto desk = desk_of(net, database());
  REQUIRE(desk->document().has_value());
  CHECK(desk->document()->text == kOther);  // the newest
  CHECK(desk->document()->updated_at == kNow);
  CHECK(net.tailnet().has_policy());
}

TEST_CASE("a policy that is wrong is refused with every problem and changes nothing") {
  Net net;
  const auto desk = desk_of(net, database());
  REQUIRE(put(*desk, kGood).ok());
  const auto refused = put(*desk, R"({"acls": [
    {"action": "accept", "src": ["group:none"], "dst": ["*:*"]},
    {"action": "accept", "src": ["*"], "dst": ["tag:none:22"]}]})");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().reason == Reason::kInvalid);
  CHECK(refused.error().text.starts_with("parsing policy from bytes: "));
  CHECK(refused.error().text.find("line 2") != std::string::npos);
  CHECK(refused.error().text.find("line 3") != std::string::npos);
  CHECK(desk->document()->text == kGood);
  // Its own tests, about nodes that are here.
  const auto failing = put(*desk, R"({"acls": [], "tests": [{"src": "ann@", "accept":
    ["100.64.0.1:22"]}]})");
  CHECK_FALSE(failing.ok());
  const auto checked = wait<void>([&](auto answer) { desk->check("{\"acls\": 1}", answer); });
  CHECK_FALSE(checked.ok());
  must(wait<void>([&](auto answer) { desk->check(kOther, answer); }));
  CHECK(desk->document()->text == kGood);
}

TEST_CASE("a policy's file is read at the start and when it changes") {
  Net net;
  TestFile file;
  file.write(kGood);
  const auto desk = desk_of(net, file.options());
  CHECK(desk->document()->text == kGood);
  CHECK_FALSE(desk->document()->updated_at.has_value());
  const auto refused = put(*desk, kOther);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text.find("update is disabled") != std::string::npos);

  file.write(kOther);
  eventually([&] { return desk->document()->text == kOther; });
  file.write("{\"acls\": 5}");
  eventually([&] { return file.looks() == 2; });
  CHECK_FALSE(file.seen.back().ok());
  CHECK(desk->document()->text == kOther);
  file.write("gone");
  eventually([&] { return file.looks() == 3; });
  CHECK(desk->document()->text == kOther);
  // On request it is read at once, and what is wrong is said.
  file.write(kGood);
  CHECK(desk->reload(file.options().file).ok());
  CHECK(desk->document()->text == kGood);
  file.write("gone");
  const auto wrong = desk->reload(file.options().file);
  REQUIRE_FALSE(wrong.ok());
  CHECK(wrong.error().find("no such file") != std::string::npos);
}

TEST_CASE("a start with a policy that is wrong is refused") {
  Net net;
  TestFile file;
  file.write("{\"acls\": [}");
  const auto made = PolicyDesk::open(net.directory(), net.tailnet(), file.options());
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().find("policy.hujson") != std::string::npos);
  CHECK(made.error().find("line 1") != std::string::npos);
}

TEST_CASE("explain names the rule that decides") {
  Net net;
  NewPreAuthKey tagged;
  tagged.tags = {"tag:web"};
  net.join(1, net.key());
  net.join(2, net.key(tagged));
  const auto desk = desk_of(net, database());
  auto open = must(desk->explain("host1", "host2:22", 0));
  REQUIRE(open.size() == 1);
  CHECK(open[0].allowed);
  CHECK(open[0].rule.line == 0);
  REQUIRE(put(*desk, kGood).ok());
  const auto allowed = must(desk->explain("ann@", "tag:web:80", 6));
  REQUIRE(allowed.size() == 1);
  CHECK(allowed[0].src == "100.64.0.1");
  CHECK(allowed[0].dst == "100.64.0.2");
  CHECK(allowed[0].allowed);
  CHECK(allowed[0].rule.line == 5);
  CHECK(allowed[0].rule_text.starts_with("{\"action\": \"accept\", \"src\": [\"ann@\"]"));
  CHECK_FALSE(must(desk->explain("1", "host2:81", 6))[0].allowed);
  CHECK_FALSE(must(desk->explain("host2", "100.64.0.1:80", 6))[0].allowed);
  CHECK(must(desk->explain("host1", "[fd7a:115c:a1e0::2]:80", 6)).size() == 1);
  for (const char* wrong : {"host2", "host2:", "host2:x", "nobody:80", "host2:70000"}) {
    INFO(wrong);
    CHECK_FALSE(desk->explain("host1", wrong, 6).ok());
  }
  CHECK_FALSE(desk->explain("nobody", "host2:80", 6).ok());
}

TEST_CASE("a client gets the tags that its user owns") {
  Net net;
  const auto desk = desk_of(net, database());
  REQUIRE(put(*desk, kGood).ok());
  tailcfg::RegisterRequest request = Net::request(1, net.reusable_key());
  request.hostinfo.request_tags = {"tag:web"};
  REQUIRE(net.enlist(1, request).error.empty());
  CHECK(net.tailnet().node(1)->row.tags == std::vector<std::string>{"tag:web"});
  CHECK_FALSE(net.tailnet().node(1)->row.user_id.has_value());
  request = Net::request(2, net.reusable_key());
  request.hostinfo.request_tags = {"tag:db"};
  CHECK(net.enlist(2, request).error.find("tagOwners") != std::string::npos);

  SECTION("also a node that is there already") {
    net.join(3, net.reusable_key());
    request = Net::request(3, "");
    request.hostinfo.request_tags = {"tag:db"};
    CHECK(net.enlist(3, request).error.find("tag:db") != std::string::npos);
    request.hostinfo.request_tags = {"tag:web"};
    REQUIRE(net.enlist(3, request).error.empty());
    CHECK(net.tailnet().nodes().size() == 2);
    CHECK(net.tailnet().nodes().back()->tagged());
  }
  SECTION("also by somebody's approval, which is refused for tags that are not theirs") {
    request = Net::request(4, "");
    request.hostinfo.request_tags = {"tag:web"};
    const auto id_of = [](const std::string& url) { return url.substr(url.rfind('/') + 1); };
    std::string id = id_of(net.enlist(4, request).auth_url);
    const NodePtr node =
        must(wait<NodePtr>([&](auto done) { net.tailnet().approve(id, 1, net.now, done); }));
    CHECK(node->tagged());
    request = Net::request(5, "");
    request.hostinfo.request_tags = {"tag:db"};
    id = id_of(net.enlist(5, request).auth_url);
    const auto refused =
        wait<NodePtr>([&](auto done) { net.tailnet().approve(id, 1, net.now, done); });
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().text.find("tag:db") != std::string::npos);
  }
}

}  // namespace es::control

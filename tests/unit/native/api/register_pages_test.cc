#include "native/api/register_pages.h"

#include "native/api/register_html.h"
#include "tests/unit/native/api/api_fixture.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <utility>

namespace es::api {
namespace {

tailcfg::RawKey raw_key(uint8_t n) {
  tailcfg::RawKey raw{};
  raw.fill(n);
  return raw;
}

std::string form_encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    char hex[4];
    std::snprintf(hex, sizeof hex, "%%%02X", static_cast<unsigned char>(c));
    out += plain ? std::string(1, c) : std::string(hex);
  }
  return out;
}

// The API and the pages, with the users "ann" (1) and "bob" (2), an API key, and a registration.
struct Pages : ApiUnderTest {
  Pages() {
    RegisterOptions options;
    options.random = control::seeded_random(3);
    prepare_limit =
        add_register_pages(router(), directory(), tailnet(), ssh_checks(), options).value();
    for (const char* name : {"ann", "bob"}) {
      REQUIRE(call("POST", "/api/v1/user", std::string(R"({"name":")") + name + R"("})").status ==
              200);
    }
    api_key = call("POST", "/api/v1/apikey").json()["apiKey"];
    id = knock(1, "laptop");
    fields = {{"Content-Type", "application/x-www-form-urlencoded"}};
  }

  tailcfg::RegisterRequest asking(uint8_t n, const std::string& hostname) {
    tailcfg::RegisterRequest r;
    r.version = 113;
    r.node_key = tailcfg::NodeKey(raw_key(n));
    r.hostinfo = tailcfg::hostinfo_of_text(
        nlohmann::json{{"Hostname", hostname}, {"OS", "linux"}, {"IPNVersion", "1.102.5"}}.dump());
    return r;
  }
  std::future<tailcfg::RegisterResponse> enlist(uint8_t n,
                                                const tailcfg::RegisterRequest& request) {
    auto promise = std::make_shared<std::promise<tailcfg::RegisterResponse>>();
    tailnet().register_node(tailcfg::MachineKey(raw_key(n)), request, now,
                            [promise](auto response) { promise->set_value(std::move(response)); });
    return promise->get_future();
  }
  std::string knock(uint8_t n, const std::string& hostname) {
    const std::string url = enlist(n, asking(n, hostname)).get().auth_url;
    return url.substr(url.rfind('/') + 1);
  }

  Called get() { return call("GET", "/register/" + id); }
  Called post(const std::string& form) { return call("POST", "/register/" + id, form); }
  Called sign_in() { return post("key=" + form_encoded(api_key) + "&action=sign-in"); }
  static std::string ticket_in(const Called& page) {
    const std::string mark = "name=\"ticket\" value=\"";
    const size_t at = page.body.find(mark);
    REQUIRE(at != std::string::npos);
    const size_t begin = at + mark.size();
    return page.body.substr(begin, page.body.find('"', begin) - begin);
  }
  size_t num_nodes() { return tailnet().nodes().size(); }

  PrepareFailureLimit prepare_limit;
  int num_tries = 0;
  std::string api_key;
  std::string id;
};

bool has(const Called& page, std::string_view text) {
  return page.body.find(text) != std::string::npos;
}

TEST_CASE("the page shows what waits and the command that approves it") {
  Pages site;
  const Called page = site.get();
  CHECK(page.status == 200);
  CHECK(page.field("Content-Type") == "text/html; charset=utf-8");
  CHECK(has(page, "laptop"));
  CHECK(has(page, "linux"));
  CHECK(has(page, "1.102.5"));
  CHECK(has(page, "[AQEBA]"));
  CHECK(has(page, "edgescale auth register --auth-id " + site.id + " --user USERNAME"));
  CHECK(has(page, "15 minutes more"));
  // Nothing of the tailnet before somebody signs in.
  CHECK_FALSE(has(page, "ann"));
  CHECK_FALSE(has(page, "ticket"));
  CHECK(site.call("HEAD", "/register/" + site.id).status == 200);
}

TEST_CASE("the page shows what an approval would grant") {
  Pages site;
  CHECK_FALSE(has(site.get(), "Asks for tags"));
  tailcfg::RegisterRequest request = site.asking(3, "<b>");
  request.ephemeral = true;
  request.hostinfo.request_tags = {"tag:prod", "tag:<b>"};
  request.hostinfo.routable_ips = {"10.0.0.0/8"};
  const std::string url = site.enlist(3, request).get().auth_url;
  site.id = url.substr(url.rfind('/') + 1);
  for (const Called& page : {site.get(), site.sign_in()}) {
    CHECK(has(page, "Asks for tags</th><td>tag:prod, tag:&lt;b&gt;<"));
    CHECK(has(page, "Offers routes</th><td>10.0.0.0/8<"));
    CHECK(has(page, "ephemeral"));
  }
}

TEST_CASE("no page holds a script or a style, so the strictest policy suits it") {
  Pages site;
  for (const Called& page : {site.get(), site.sign_in(), site.post("key=wrong"),
                             site.call("GET", "/register/nonsense")}) {
    CHECK_FALSE(has(page, "<script"));
    CHECK_FALSE(has(page, "<style"));
    CHECK_FALSE(has(page, "style="));
    CHECK_FALSE(has(page, " onclick"));
    CHECK_FALSE(has(page, "javascript:"));
    CHECK(has(page, "href=\"/register/page.css\""));
  }
  const Called style = site.call("GET", "/register/page.css");
  CHECK(style.status == 200);
  CHECK(style.field("Content-Type") == "text/css; charset=utf-8");
  CHECK(has(style, "prefers-color-scheme"));
  // So that no browser asks for one that is not there.
  CHECK(has(site.get(), "rel=\"icon\" type=\"image/svg+xml\" href=\"/register/icon.svg\""));
  const Called icon = site.call("GET", "/register/icon.svg");
  CHECK(icon.status == 200);
  CHECK(icon.field("Content-Type") == "image/svg+xml");
}

TEST_CASE("what a client says of itself is shown as text, whatever it is") {
  Pages site;
  site.id = site.knock(2,
                       "<script>alert('1')</script>&\"\x1b[31m\xe2\x80\xae"
                       "B\xc3\xbc"
                       "cher");
  const Called page = site.get();
  CHECK(has(page,
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;?[31m?B\xc3\xbc"
            "cher"));
  CHECK_FALSE(has(page, "<script>"));
  CHECK_FALSE(has(page, "\x1b"));
  CHECK_FALSE(has(page, "\xe2\x80\xae"));
  CHECK(displayable("\xff"
                    "a\xc3") == "?a?");
  CHECK(displayable(std::string(65, 'x')) == std::string(64, 'x') + "...");
  CHECK(displayable(std::string(64, 'x')) == std::string(64, 'x'));
}

TEST_CASE("an operator signs in, chooses a user and approves; the client learns it at once") {
  Pages site;
  auto followup = site.asking(1, "laptop");
  followup.followup = "https://control.example/register/" + site.id;
  auto waiting = site.enlist(1, followup);
  const Called decision = site.sign_in();
  CHECK(decision.status == 200);
  CHECK(has(decision, "<option value=\"1\">ann</option>"));
  CHECK(has(decision, "<option value=\"2\">bob</option>"));
  CHECK_FALSE(has(decision, site.api_key));
  const Called approved =
      site.post("ticket=" + Pages::ticket_in(decision) + "&user=2&action=approve");
  CHECK(approved.status == 200);
  CHECK(has(approved, "in the tailnet as &quot;laptop&quot;"));
  CHECK(waiting.get().machine_authorized);
  REQUIRE(site.num_nodes() == 1);
  CHECK(site.tailnet().node(1)->row.user_id == uint64_t{2});
  CHECK(site.get().status == 404);
}

TEST_CASE("an operator turns a machine away") {
  Pages site;
  auto followup = site.asking(1, "laptop");
  followup.followup = "https://control.example/register/" + site.id;
  auto waiting = site.enlist(1, followup);
  const std::string ticket = Pages::ticket_in(site.sign_in());
  CHECK(site.post("ticket=" + ticket + "&user=&action=reject").status == 200);
  CHECK(waiting.get().error == "the registration was refused by an administrator");
  CHECK(site.num_nodes() == 0);
}

TEST_CASE("without a user, or with one that is not, nothing is approved and the page asks again") {
  Pages site;
  for (const char* user : {"", "9", "ann", "-1"}) {
    const Called page =
        site.post("ticket=" + Pages::ticket_in(site.sign_in()) + "&action=approve&user=" + user);
    CHECK(page.status == 400);
    CHECK(has(page, "Choose the user"));
  }
  CHECK(site.num_nodes() == 0);
}

TEST_CASE("a ticket is good for its registration, for ten minutes, unchanged") {
  Pages site;
  const std::string ticket = Pages::ticket_in(site.sign_in());
  const std::string first = site.id;
  const auto approve = [&](const std::string& text) {
    site.client = "192.0.2." + std::to_string(site.num_tries++ % 200 + 2);
    return site.post("ticket=" + form_encoded(text) + "&user=1&action=approve").status;
  };
  for (const std::string& wrong :
       {std::string(), std::string("."), std::string("x"), ticket + "0", "9" + ticket,
        ticket.substr(0, ticket.size() - 2), ticket.substr(ticket.find('.'))}) {
    INFO(wrong);
    CHECK(approve(wrong) == 403);
  }
  for (size_t i = 0; i < ticket.size(); ++i) {
    std::string changed = ticket;
    changed[i] = changed[i] == '1' ? '2' : '1';
    CHECK(approve(changed) == 403);
  }
  site.id = site.knock(2, "other");
  CHECK(approve(ticket) == 403);
  site.id = first;
  site.now += std::chrono::minutes(10);
  CHECK(approve(ticket) == 403);
  CHECK(site.num_nodes() == 0);
  site.now -= Millis{1};
  CHECK(approve(ticket) == 200);
  CHECK(site.num_nodes() == 1);
}

TEST_CASE("wrong, expired and revoked keys open nothing and say so alike") {
  Pages site;
  std::string wrong = site.api_key;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  const std::string auth =
      site.call("POST", "/api/v1/preauthkey", R"({"user":"1"})").json()["preAuthKey"]["key"];
  for (const std::string& key : {wrong, std::string(), std::string("x"), auth}) {
    const Called page = site.post("key=" + form_encoded(key));
    CHECK(page.status == 403);
    CHECK(has(page, "This API key is wrong, expired or revoked."));
    CHECK_FALSE(has(page, "ticket"));
  }
  CHECK(site.post("key=+" + form_encoded(site.api_key) + "%0A").status == 200);  // as pasted
  site.call("POST", "/api/v1/apikey/expire", R"({"id":1})");
  CHECK(site.sign_in().status == 403);
}

TEST_CASE("revoking a key ends what was signed in with it") {
  Pages site;
  const std::string ticket = Pages::ticket_in(site.sign_in());
  CHECK(site.post("ticket=" + ticket + "&user=&action=approve").status == 400);
  site.call("POST", "/api/v1/apikey/expire", R"({"id":1})");
  CHECK(site.post("ticket=" + ticket + "&user=1&action=approve").status == 403);
  CHECK(site.post("ticket=" + ticket + "&user=1&action=reject").status == 403);
  CHECK(site.num_nodes() == 0);
  CHECK(site.get().status == 200);
}

TEST_CASE("after ten failures a client waits, even with a good key, and others do not") {
  Pages site;
  for (int i = 0; i < 10; ++i) CHECK(site.post("key=guess").status == 403);
  const Called refused = site.sign_in();
  CHECK(refused.status == 429);
  CHECK(refused.field("Retry-After") == "60");
  CHECK(site.get().status == 429);
  site.client = "192.0.2.9";
  CHECK(site.sign_in().status == 200);
  site.client = "192.0.2.1";
  site.now += std::chrono::minutes(1);
  CHECK(site.sign_in().status == 200);
}

TEST_CASE("another limit for failures is put in force, and counting starts afresh with it") {
  Pages site;
  const auto change = [&](const limit::Limit& limit) {
    const auto exchange = site.prepare_limit(limit);
    REQUIRE(exchange.ok());
    (*exchange)();
  };
  for (int i = 0; i < 10; ++i) CHECK(site.post("key=guess").status == 403);
  CHECK(site.sign_in().status == 429);
  // The same limit forgives nobody; a limit that cannot be changes nothing.
  change({10, Millis{60'000}, 0});
  CHECK_FALSE(site.prepare_limit({0, Millis{60'000}, 0}).ok());
  CHECK(site.sign_in().status == 429);
  change({3, Millis{60'000}, 0});
  for (int i = 0; i < 3; ++i) CHECK(site.post("key=guess").status == 403);
  CHECK(site.sign_in().status == 429);
}

TEST_CASE("bad, unknown and expired ids get a page that says what to do") {
  Pages site;
  CHECK(site.call("GET", "/register/").status == 400);
  CHECK(site.call("GET", "/register/" + site.id + "/more").status == 400);
  for (const char* bad :
       {"x", "hskey-authreq-", "page.html", "hskey-authreq-0123456789abcdef0123456"}) {
    const Called page = site.call("GET", std::string("/register/") + bad);
    CHECK(page.status == 400);
    CHECK(has(page, "copy all of it"));
  }
  // The bare form of an id is for commands; a page has one address.
  CHECK(site.call("GET", "/register/" + site.id.substr(14)).status == 400);
  const Called unknown = site.call("GET", "/register/hskey-authreq-0123456789abcdef01234567");
  CHECK(unknown.status == 404);
  CHECK(has(unknown, "tailscale up"));
  site.now += std::chrono::minutes(15);
  const Called expired = site.get();
  CHECK(expired.status == 404);
  CHECK(expired.body == unknown.body);
  CHECK(site.sign_in().status == 404);
  // Guessing ids is slowed down like guessing keys.
  for (int i = 0; i < 10; ++i)
    (void)site.call("GET", "/register/hskey-authreq-0123456789abcdef0123456" + std::to_string(i));
  CHECK(site.call("GET", "/register/hskey-authreq-0123456789abcdef01234567").status == 429);
}

TEST_CASE("what is no small form is refused") {
  Pages site;
  CHECK(site.post("key=" + std::string(5000, 'a')).status == 413);
  site.fields = {{"Content-Type", "application/json"}};
  CHECK(site.sign_in().status == 415);
  site.fields = {};
  CHECK(site.sign_in().status == 415);
  site.fields = {{"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"}};
  CHECK(site.sign_in().status == 200);
  for (const char* form : {"", "&&&", "key", "=", "key=%zz", "action=approve", "action=reject"}) {
    site.client = std::string("192.0.2.") + std::to_string(10 + site.num_tries++);
    CHECK(site.post(form).status == 403);
  }
  CHECK(site.num_nodes() == 0);
}

// With an SSH log-in that waits: from ann's laptop (node 1) to her server (2), as root.
struct SshPages : Pages {
  SshPages() {
    const Called made = call("POST", "/api/v1/preauthkey", R"({"user":"1","reusable":true})");
    for (const uint8_t n : {uint8_t{1}, uint8_t{2}}) {
      auto request = asking(n, n == 1 ? "laptop" : "server");
      request.auth_key = made.json()["preAuthKey"]["key"];
      REQUIRE(enlist(n, request).get().machine_authorized);
    }
    policy::Problems problems;
    auto compiled = tailnet().compile_policy(
        R"({"ssh":[{"action":"check","src":["ann@"],"dst":["autogroup:self"],"users":["root"]}]})",
        problems);
    REQUIRE(compiled != nullptr);
    tailnet().install_policy(std::move(compiled));
    ssh_id = connect();
    waiting = std::make_shared<std::optional<tailcfg::SshAction>>();
    ask(ssh_id, waiting);
  }
  void ask(const std::string& auth_id, std::shared_ptr<std::optional<tailcfg::SshAction>> told) {
    ssh_checks().ask(tailcfg::MachineKey(raw_key(2)), {1, 2, "root"}, auth_id, now,
                     [told](auto action) { *told = std::move(action); });
  }
  std::string connect() {
    const auto told = std::make_shared<std::optional<tailcfg::SshAction>>();
    ask("", told);
    const std::string& url = (*told)->hold_and_delegate;
    return url.substr(url.find("auth_id=") + 8);
  }
  Called get_ssh() { return call("GET", "/auth/" + ssh_id); }
  Called post_ssh(const std::string& form) { return call("POST", "/auth/" + ssh_id, form); }
  Called sign_in_ssh() { return post_ssh("key=" + form_encoded(api_key) + "&action=sign-in"); }

  std::string ssh_id;
  std::shared_ptr<std::optional<tailcfg::SshAction>> waiting;
};

TEST_CASE("the page of an SSH log-in says who connects where, and the command that approves it") {
  SshPages site;
  const Called page = site.get_ssh();
  CHECK(page.status == 200);
  for (const char* text : {"laptop", "server", "root", "ann", "the same for 12 hours"}) {
    INFO(text);
    CHECK(has(page, text));
  }
  CHECK(has(page, "edgescale auth approve --auth-id " + site.ssh_id + "<"));
  CHECK_FALSE(has(page, "ticket"));
  // The other page does not know it, nor this one what is of the other.
  CHECK(site.call("GET", "/register/" + site.ssh_id).status == 404);
  CHECK(site.call("GET", "/auth/" + site.id).status == 404);
  CHECK(site.call("GET", "/auth/" + site.ssh_id + "/more").status == 400);
}

TEST_CASE("an operator signs in and approves an SSH log-in") {
  SshPages site;
  CHECK(site.post_ssh("key=wrong").status == 403);
  const Called decision = site.sign_in_ssh();
  CHECK(decision.status == 200);
  CHECK_FALSE(has(decision, "<select"));
  CHECK_FALSE(site.waiting->has_value());
  CHECK(site.post_ssh("ticket=" + Pages::ticket_in(decision) + "&action=approve").status == 200);
  REQUIRE(site.waiting->has_value());
  CHECK((*site.waiting)->accept);
  CHECK(site.get_ssh().status == 404);
}

TEST_CASE("an operator rejects an SSH log-in") {
  SshPages site;
  const std::string ticket = Pages::ticket_in(site.sign_in_ssh());
  CHECK(site.post_ssh("ticket=" + ticket + "&action=reject").status == 200);
  REQUIRE(site.waiting->has_value());
  CHECK((*site.waiting)->reject);
}

TEST_CASE("a ticket for one thing that waits is none for another") {
  SshPages site;
  const std::string of_machine = Pages::ticket_in(site.sign_in());
  CHECK(site.post_ssh("ticket=" + of_machine + "&action=approve").status == 403);
  const std::string of_ssh = Pages::ticket_in(site.sign_in_ssh());
  CHECK(site.post("ticket=" + of_ssh + "&user=1&action=approve").status == 403);
  const std::string first = std::exchange(site.ssh_id, site.connect());
  CHECK(site.post_ssh("ticket=" + of_ssh + "&action=approve").status == 403);
  CHECK_FALSE(site.waiting->has_value());
  site.ssh_id = first;
  CHECK(site.post_ssh("ticket=" + of_ssh + "&action=approve").status == 200);
}

TEST_CASE("the API approves and rejects SSH log-ins, which have no owner to name") {
  SshPages site;
  site.fields = {};
  const auto decide = [&](const char* operation, const std::string& id) {
    return site
        .call("POST", std::string("/api/v1/auth/") + operation, R"({"authId":")" + id + R"("})")
        .status;
  };
  const std::string other = site.connect();
  CHECK(decide("reject", other) == 200);
  CHECK(decide("reject", other) == 404);
  CHECK_FALSE(site.waiting->has_value());
  CHECK(decide("approve", site.ssh_id) == 200);
  CHECK((*site.waiting)->accept);
  CHECK(decide("approve", site.ssh_id) == 404);
  // An approval that the policy no longer asks for is none.
  policy::Problems problems;
  site.now += std::chrono::hours(12);
  const std::string late = site.connect();
  site.tailnet().install_policy(site.tailnet().compile_policy("{}", problems));
  CHECK(decide("approve", late) == 409);
}

}  // namespace
}  // namespace es::api

// The API over a fresh database, called the way the server calls it: by method, target and body.
#pragma once

#include "native/api/v1.h"
#include "tests/unit/native/control/control_fixture.h"

#include <nlohmann/json.hpp>

namespace es::api {

struct Called {
  unsigned status = 0;
  std::string body;
  std::vector<net::Field> fields;

  nlohmann::json json() const { return nlohmann::json::parse(body); }
  std::string field(std::string_view name) const {
    for (const net::Field& f : fields) {
      if (f.name == name) return f.value;
    }
    return {};
  }
};

class ApiUnderTest {
 public:
  ApiUnderTest() : ApiUnderTest(nullptr) {}
  // Over a store that the test drives.
  explicit ApiUnderTest(std::unique_ptr<store::Store> store)
      : directory_(store == nullptr ? control::open_directory(dir_.file())
                                    : control::directory_over(std::move(store))),
        tailnet_(make_tailnet(*directory_)),
        policy_(make_policy_desk(*directory_, *tailnet_)),
        ssh_checks_(*tailnet_, ssh_options()),
        v1_(*directory_, *tailnet_, *policy_, ssh_checks_) {
    directory_->listen([this](auto commits) { tailnet_->apply(commits); });
    policy_->start();
    v1_.add_routes(router_);
  }
  ~ApiUnderTest() {
    policy_->stop();
    directory_->listen({});
  }
  ApiUnderTest(const ApiUnderTest&) = delete;
  ApiUnderTest& operator=(const ApiUnderTest&) = delete;

  Called call(std::string_view method, const std::string& target, std::string body = {}) {
    std::promise<Called> promise;
    send(method, target, std::move(body), [&](net::Response response) {
      promise.set_value({response.status, response.body, response.fields});
    });
    return promise.get_future().get();
  }

  void send(std::string_view method, const std::string& target, std::string body,
            net::Reply reply) {
    net::Request request;
    request.method = method;
    request.target = target;
    request.path = target.substr(0, target.find('?'));
    if (const size_t at = target.find('?'); at != std::string::npos) {
      request.query = target.substr(at + 1);
    }
    request.body = std::move(body);
    request.received = now;
    request.client_address = client;
    request.fields = fields;
    net::Match match = router_.match(method, request.path);
    if (match.route == nullptr) return reply(net::error_response(match.status, "no such route"));
    request.path_args = std::move(match.path_args);
    match.route->handler(request, std::move(reply));
  }

  // Of the requests to come.
  WallTime now = control::kNow;
  std::string client = "192.0.2.1";
  std::vector<net::Field> fields;

  control::Directory& directory() { return *directory_; }
  control::Tailnet& tailnet() { return *tailnet_; }
  control::SshChecks& ssh_checks() { return ssh_checks_; }
  net::Router& router() { return router_; }

 private:
  store::TempDir dir_;
  static std::unique_ptr<control::Tailnet> make_tailnet(control::Directory& directory) {
    control::TailnetOptions options;
    options.server_url = "https://control.example";
    options.base_domain = "example.ts";
    options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
    options.addresses.v6 = *parse_ip_prefix("fd7a:115c:a1e0::/48");
    options.random = control::seeded_random(2);
    auto made = control::Tailnet::create(directory, directory.take_nodes(), std::move(options),
                                         control::kNow);
    if (!made.ok()) FAIL(made.error().text);
    return std::move(made).value();
  }

  static control::SshChecks::Options ssh_options() {
    control::SshChecks::Options options;
    options.server_url = "https://control.example";
    options.random = control::seeded_random(4);
    return options;
  }
  static std::unique_ptr<control::PolicyDesk> make_policy_desk(control::Directory& directory,
                                                               control::Tailnet& tailnet) {
    control::PolicyDesk::Options options;
    options.mode = control::PolicyDesk::Mode::kDatabase;
    auto made = control::PolicyDesk::open(directory, tailnet, std::move(options));
    if (!made.ok()) FAIL(made.error());
    return std::move(made).value();
  }

  std::unique_ptr<control::Directory> directory_;
  std::unique_ptr<control::Tailnet> tailnet_;
  std::unique_ptr<control::PolicyDesk> policy_;
  control::SshChecks ssh_checks_;
  V1 v1_;
  net::Router router_;
};

}  // namespace es::api

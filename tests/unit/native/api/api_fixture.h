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
  ApiUnderTest() : directory_(control::open_directory(dir_.file())), v1_(*directory_) {
    v1_.add_routes(router_);
  }
  // Over a store that the test drives.
  explicit ApiUnderTest(std::unique_ptr<store::Store> store)
      : directory_(control::directory_over(std::move(store))), v1_(*directory_) {
    v1_.add_routes(router_);
  }

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
    request.received = control::kNow;
    net::Match match = router_.match(method, request.path);
    if (match.route == nullptr) return reply(net::error_response(match.status, "no such route"));
    request.path_args = std::move(match.path_args);
    match.route->handler(request, std::move(reply));
  }

  control::Directory& directory() { return *directory_; }
  const net::Router& router() const { return router_; }

 private:
  store::TempDir dir_;
  std::unique_ptr<control::Directory> directory_;
  V1 v1_;
  net::Router router_;
};

}  // namespace es::api

#include "native/net/http.h"

#include <catch2/catch.hpp>

namespace es::net {
namespace {

TEST_CASE("a field is found whatever its case, and the first of several wins") {
  Request request;
  request.fields = {{"Host", "a"}, {"X-Thing", "1"}, {"x-thing", "2"}};
  CHECK(request.field("x-THING") == "1");
  CHECK(request.field("Host") == "a");
  CHECK_FALSE(request.field("X-Thin").has_value());
}

TEST_CASE("query values are percent-decoded and the first one wins") {
  Request request;
  request.query = "a=1&name=J%C3%B6rg+M&empty&b=x%3Dy&a=2&bad=%zz&trunc=%4";
  CHECK(request.query_value("a") == "1");
  CHECK(request.query_value("name") == "J\xC3\xB6rg M");
  CHECK(request.query_value("empty") == "");
  CHECK(request.query_value("b") == "x=y");
  CHECK_FALSE(request.query_value("bad").has_value());
  CHECK_FALSE(request.query_value("trunc").has_value());
  CHECK_FALSE(request.query_value("c").has_value());
}

TEST_CASE("an error answer carries both of Headscale's shapes") {
  const Response response = error_response(404, "node \"x\"\n not found");
  CHECK(response.status == 404);
  CHECK(response.body ==
        R"({"code":5,"message":"node \"x\"\u000a not found","details":[],"title":"Not Found",)"
        R"("status":404,"detail":"node \"x\"\u000a not found"})");
}

TEST_CASE("the body of a 401 holds the word and stays below 100 bytes") {
  const Response response = error_response(401, "Unauthorized");
  CHECK(response.body.size() < 100);
  CHECK(response.body.find("Unauthorized") != std::string::npos);
}

}  // namespace
}  // namespace es::net

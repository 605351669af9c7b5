#include "common/http/refusal.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <set>
#include <string>

namespace es::http {

TEST_CASE("every refusal is an error status with a JSON body that agrees") {
  std::set<std::string> names;
  for (size_t i = 1; i < kNumRefusals; ++i) {
    const RefusalText& text = refusal_text(static_cast<Refusal>(i));
    CAPTURE(text.name);
    CHECK(text.status >= 400);
    CHECK(text.status < 600);
    CHECK(names.insert(std::string(text.name)).second);
    const auto body = nlohmann::json::parse(text.body);
    CHECK(body.at("status") == text.status);
    CHECK(body.at("message").is_string());
    CHECK(body.at("title").is_string());
    CHECK(body.at("code").is_number());
    CHECK(body.at("details").is_array());
  }
  CHECK(refusal_text(Refusal::kNone).status == 0);
}

TEST_CASE("the 401 body is what Headscale's clients check for") {
  const RefusalText& text = refusal_text(Refusal::kUnauthorized);
  CHECK(text.status == 401);
  CHECK(text.body.size() < 100);
  CHECK(text.body.find("Unauthorized") != std::string_view::npos);
}

}  // namespace es::http

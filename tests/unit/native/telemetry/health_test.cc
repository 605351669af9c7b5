#include "native/telemetry/health.h"

#include <catch2/catch.hpp>

#include <optional>

namespace es::telemetry {
namespace {

TEST_CASE("callers share a check that is under way, and its answer for a second") {
  std::vector<Health::Done> checks;
  Health health([&checks](Health::Done done) { checks.push_back(std::move(done)); });
  std::vector<Verdict> answers;
  const auto note = [&answers](Verdict v) { answers.push_back(v); };

  health.ask(Millis{1000}, note);
  health.ask(Millis{1001}, note);
  REQUIRE(checks.size() == 1);
  CHECK(answers.empty());
  checks[0](Verdict::kPass);
  CHECK(answers == std::vector{Verdict::kPass, Verdict::kPass});

  health.ask(Millis{1999}, note);
  CHECK(checks.size() == 1);
  CHECK(answers.size() == 3);

  health.ask(Millis{2000}, note);
  REQUIRE(checks.size() == 2);
  checks[1](Verdict::kFail);
  CHECK(answers.back() == Verdict::kFail);
  health.ask(Millis{2500}, note);
  CHECK(answers.back() == Verdict::kFail);
  CHECK(answers.size() == 5);
}

}  // namespace
}  // namespace es::telemetry

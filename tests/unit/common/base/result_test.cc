#include "common/base/result.h"

#include <catch2/catch.hpp>

#include <memory>

namespace es {
namespace {

Result<int> half(int v) {
  if (v % 2 != 0) return refuse("odd");
  return v / 2;
}

Result<int> quarter(int v) {
  ES_TRY(const int h, half(v));
  return half(h);
}

Status check_quarter(int v) {
  ES_CHECK(quarter(v));
  return {};
}

}  // namespace

TEST_CASE("ES_TRY passes values on and errors up") {
  CHECK(*quarter(8) == 2);
  CHECK(quarter(6).error() == refuse("odd"));
  CHECK(check_quarter(8).ok());
  CHECK(check_quarter(7).error().what == "odd");
}

TEST_CASE("a result carries a move-only value") {
  Result<std::unique_ptr<int>> r(std::make_unique<int>(3));
  const std::unique_ptr<int> p = std::move(r).value();
  CHECK(*p == 3);
}

}  // namespace es

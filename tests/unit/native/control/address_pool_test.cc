#include "native/control/address_pool.h"

#include <catch2/catch.hpp>

#include <array>
#include <random>
#include <set>
#include <string>

namespace es::control {
namespace {

std::string text(const std::optional<IpAddress>& address) {
  if (!address) return "none";
  std::array<uint8_t, kMaxIpAddressText> buf{};
  ByteWriter out(buf);
  write_ip_address(*address, out);
  return std::string(as_text(out.written()));
}

AddressPool make(std::string_view v4, std::string_view v6, std::function<uint64_t()> random = {}) {
  AddressPool::Options options;
  if (!v4.empty()) options.v4 = *parse_ip_prefix(v4);
  if (!v6.empty()) options.v6 = *parse_ip_prefix(v6);
  options.random = std::move(random);
  return *AddressPool::create(std::move(options));
}

}  // namespace

TEST_CASE("addresses come in step from both prefixes") {
  AddressPool pool = make("100.64.0.0/10", "fd7a:115c:a1e0::/48");
  const auto first = pool.allocate();
  CHECK(text(first->v4) == "100.64.0.1");
  CHECK(text(first->v6) == "fd7a:115c:a1e0::1");
  const auto second = pool.allocate();
  CHECK(text(second->v4) == "100.64.0.2");
  CHECK(text(second->v6) == "fd7a:115c:a1e0::2");
}

TEST_CASE("a small prefix is used up and says so, and a released address comes back") {
  AddressPool pool = make("10.0.0.0/29", "");
  std::set<std::string> seen;
  for (int i = 0; i < 6; ++i) CHECK(seen.insert(text(pool.allocate()->v4)).second);
  CHECK(seen.count("10.0.0.0") == 0);
  CHECK(seen.count("10.0.0.7") == 0);
  CHECK_FALSE(pool.allocate().ok());
  pool.release({*parse_ip_address("10.0.0.3"), std::nullopt});
  CHECK(text(pool.allocate()->v4) == "10.0.0.3");
}

TEST_CASE("a freed address is not the next to be handed out") {
  AddressPool pool = make("100.64.0.0/10", "");
  const auto first = pool.allocate();
  (void)pool.allocate();
  pool.release(*first);
  CHECK(text(pool.allocate()->v4) == "100.64.0.3");
}

TEST_CASE("stored nodes keep their addresses") {
  AddressPool pool = make("100.64.0.0/10", "fd7a:115c:a1e0::/48");
  pool.reserve({*parse_ip_address("100.64.0.1"), *parse_ip_address("fd7a:115c:a1e0::1")});
  pool.reserve({*parse_ip_address("192.0.2.1"), std::nullopt});  // of an older prefix
  CHECK(text(pool.allocate()->v4) == "100.64.0.2");
}

TEST_CASE("set-aside addresses are never handed out") {
  AddressPool pool = make("100.100.100.96/28", "fd7a:115c:a1e0::50/124");
  for (int i = 0; i < 12; ++i) {
    const auto got = pool.allocate();
    REQUIRE(got.ok());
    CHECK(text(got->v4) != "100.100.100.100");
    CHECK(text(got->v6) != "fd7a:115c:a1e0::53");
  }
  AddressPool chrome = make("100.115.92.0/23", "");
  CHECK_FALSE(chrome.allocate().ok());
}

TEST_CASE("random addresses are inside the prefix and unique") {
  std::mt19937_64 source(7);
  AddressPool pool = make("10.1.0.0/24", "", [&] { return source(); });
  const IpPrefix prefix = *parse_ip_prefix("10.1.0.0/24");
  std::set<std::string> seen;
  for (int i = 0; i < 254; ++i) {
    const auto got = pool.allocate();
    REQUIRE(got.ok());
    CHECK(prefix.contains(*got->v4));
    CHECK(seen.insert(text(got->v4)).second);
  }
  CHECK_FALSE(pool.allocate().ok());
}

TEST_CASE("prefixes that cannot serve are refused") {
  CHECK_FALSE(AddressPool::create({}).ok());
  AddressPool::Options swapped;
  swapped.v4 = *parse_ip_prefix("fd00::/48");
  CHECK_FALSE(AddressPool::create(std::move(swapped)).ok());
  AddressPool::Options tiny;
  tiny.v4 = *parse_ip_prefix("10.0.0.0/31");
  CHECK_FALSE(AddressPool::create(std::move(tiny)).ok());
}

}  // namespace es::control

#include "native/policy/address.h"

#include "native/policy/bits.h"
#include "native/policy/range_index.h"

#include <catch2/catch.hpp>

#include <random>
#include <set>

using es::policy::Address;
using es::policy::AddressSet;
using es::policy::Bits;
using es::policy::parse_range;
using es::policy::Prefix;
using es::policy::Range;
using es::policy::range_text;
using es::policy::RangeIndex;

TEST_CASE("an address is read and written in its canonical form") {
  const std::pair<const char*, const char*> cases[] = {
      {"100.64.0.1", "100.64.0.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"FD7A:115C:A1E0:0:0:0:0:1", "fd7a:115c:a1e0::1"},
      {"::", "::"},
      {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
      {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
      {"fd7a:115c:a1e0:b1a:0:7:10.1.1.0", "fd7a:115c:a1e0:b1a:0:7:a01:100"},
      {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
  };
  for (const auto& [text, canonical] : cases) {
    INFO(text);
    const auto a = Address::parse(text);
    REQUIRE(a);
    CHECK(a->text() == canonical);
  }
}

TEST_CASE("what is no address is refused") {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4 ",
                           "fe80::1%eth0", "::1::", "g::1", "1.2.3.4/32"}) {
    INFO(text);
    CHECK_FALSE(Address::parse(text));
  }
  for (const char* text :
       {"1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "::/129", "1.2.3.4/08", "1.2.3.4/a"}) {
    INFO(text);
    CHECK_FALSE(Prefix::parse(text));
  }
  for (const char* text : {"2.0.0.0-1.0.0.0", "1.0.0.0-::1", "1.0.0.0-", "-"}) {
    INFO(text);
    CHECK_FALSE(parse_range(text));
  }
}

TEST_CASE("a prefix loses its host bits, and knows its range") {
  const auto p = Prefix::parse("10.33.7.9/16");
  REQUIRE(p);
  CHECK(p->text() == "10.33.0.0/16");
  CHECK(p->range().last.text() == "10.33.255.255");
  CHECK(p->parent().text() == "10.32.0.0/15");
  CHECK(Prefix::parse("10.0.0.0/8")->contains(*p));
  CHECK_FALSE(p->contains(*Prefix::parse("10.0.0.0/8")));
  CHECK_FALSE(Prefix::parse("::/0")->contains(*p));
  CHECK(Prefix::parse("fd7a::/17")->range().last.text() ==
        "fd7a:7fff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST_CASE("the wildcard's addresses are written as the hosted service writes them") {
  std::vector<std::string> texts;
  for (const Range& r : es::policy::tailnet_addresses().ranges()) texts.push_back(range_text(r));
  CHECK(texts == std::vector<std::string>{"100.64.0.0-100.115.91.255",
                                          "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48"});
}

TEST_CASE("a set of addresses agrees with a set of numbers") {
  const uint64_t seed = 20261122;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    AddressSet set;
    std::set<uint32_t> model;
    for (int step = 0; step < 20; ++step) {
      const auto a = static_cast<uint32_t>(random() % 256);
      const auto b = a + static_cast<uint32_t>(random() % (256 - a));
      const Range range{Address::v4(a), Address::v4(b)};
      const bool remove = random() % 3 == 0;
      remove ? set.remove(range) : set.add(range);
      for (uint32_t i = a; i <= b; ++i) remove ? (void)model.erase(i) : (void)model.insert(i);
    }
    for (uint32_t i = 0; i < 256; ++i) REQUIRE(set.contains(Address::v4(i)) == model.contains(i));
    for (size_t i = 1; i < set.ranges().size(); ++i) {
      REQUIRE(set.ranges()[i - 1].last.lo + 1 < set.ranges()[i].first.lo);
    }
  }
}

TEST_CASE("the range index finds exactly the ranges that overlap") {
  const uint64_t seed = 4;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::vector<RangeIndex::Entry> entries;
  for (uint32_t i = 0; i < 200; ++i) {
    const auto a = static_cast<uint32_t>(random() % 1000);
    entries.push_back({{Address::v4(a), Address::v4(a + static_cast<uint32_t>(random() % 60))}, i});
  }
  const RangeIndex index(entries);
  for (uint32_t i = 0; i < 1000; ++i) {
    const Range query{Address::v4(i), Address::v4(i + static_cast<uint32_t>(random() % 5))};
    std::set<uint32_t> found;
    std::set<uint32_t> expected;
    index.overlapping(query, [&](uint32_t id) { found.insert(id); });
    for (const auto& entry : entries) {
      if (entry.range.overlaps(query)) expected.insert(entry.id);
    }
    REQUIRE(found == expected);
  }
}

TEST_CASE("sets of bits of different sizes mix") {
  Bits small;
  Bits large;
  CHECK(small.set(3));
  CHECK_FALSE(small.set(3));
  large.set(3);
  large.set(1000);
  CHECK(large.covers(small));
  CHECK_FALSE(small.covers(large));
  CHECK(small.overlaps(large));
  Bits both;
  both.add_common(small, large);
  CHECK(both.count() == 1);
  small.add(large);
  CHECK(small.test(1000));
  CHECK(small.clear(1000));
  CHECK_FALSE(small.test(1000));
  CHECK_FALSE(small.test(4000000000U));
}

// A company's tailnet for benchmarks: groups, tags, rules and nodes in proportion.
#pragma once

#include "native/policy/tailnet.h"

#include <algorithm>
#include <random>
#include <string>

namespace es::bench {

struct Shape {
  size_t nodes;
  size_t users() const { return nodes / 3; }
  size_t groups() const { return nodes / 20; }
  size_t rules() const { return nodes / 5; }
  size_t tags() const { return std::max<size_t>(nodes / 50, 10); }
};

inline std::string number(size_t n) { return std::to_string(n); }

// A company's policy: teams reach their services, everybody reaches a few, some rules name
// addresses, a few routers serve subnets, one rule is for one's own devices.
inline std::string policy_text(const Shape& shape, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const auto tag = [&] { return "tag:t" + number(below(shape.tags())); };
  const auto group = [&] { return "group:g" + number(below(shape.groups())); };
  std::string text = "{\"groups\": {";
  for (size_t g = 0; g < shape.groups(); ++g) {
    text += "\"group:g" + number(g) + "\": [";
    for (size_t i = 0; i < 30; ++i) text += "\"u" + number(below(shape.users())) + "@x.com\",";
    text += "],\n";
  }
  text += "}, \"tagOwners\": {";
  for (size_t t = 0; t < shape.tags(); ++t) text += "\"tag:t" + number(t) + "\": [],";
  text += "},\n\"acls\": [";
  for (size_t r = 1; r < shape.rules(); ++r) {
    std::string src = group();
    std::string dst = tag();
    if (r % 20 == 0) src = "10." + number(below(200)) + "." + number(below(200)) + ".0/24";
    if (r % 15 == 0) dst = "10." + number(below(200)) + ".0.0/16";
    if (r % 400 == 0) src = "autogroup:member";
    if (r % 30 == 0) src = tag();
    text += R"({"action": "accept", "src": [")" + src + "\", \"" + group() + R"("], "dst": [")" +
            dst + ":" + number(1 + below(60000)) + "\"]},\n";
  }
  return text +
         R"({"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}]})";
}

inline policy::Node make_node(const Shape& shape, size_t i, std::mt19937_64& random) {
  policy::Node n;
  n.id = i + 1;
  n.addresses = {policy::Address::v4(0x64400000 + static_cast<uint32_t>(i) + 1),
                 {true, 0xfd7a115ca1e00000, i + 1}};
  if (i % 4 == 0) {
    n.tags.push_back("tag:t" + number(random() % shape.tags()));
  } else {
    n.user = random() % shape.users();
  }
  if (i % 50 == 0) n.routes.push_back(*policy::Prefix::parse("10." + number(i / 50) + ".0.0/16"));
  return n;
}

}  // namespace es::bench

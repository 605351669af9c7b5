// Device postures: conditions on the attributes of a node, as in "node:tsVersion >= '1.40'".
//
// Source: Tailscale's posture syntax: ==, !=, <, <=, >, >=, IN ['a', 'b'], NOT IN [...], IS SET,
// NOT SET; values in single or double quotes, or bare true, false and numbers. Versions and numbers
// compare by their dotted parts, so that 1.100 is after 1.9. A condition on an attribute that the
// node does not have is false, except NOT SET, != and NOT IN.
#pragma once

#include "native/policy/alias.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace es::policy {

// What is known about a node: "node:os" -> "linux". Ordered, so that equal maps compare cheaply.
using Attributes = std::map<std::string, std::string, std::less<>>;

struct Condition {
  enum class Op : uint8_t {
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIn,
    kNotIn,
    kSet,
    kNotSet
  };
  std::string attribute;
  Op op = Op::kSet;
  std::vector<std::string> values;

  bool holds(const Attributes& attributes) const;
};

Parsed<Condition> parse_condition(std::string_view text);

// Negative, zero or positive as `a` stands before, with or after `b`.
int compare_versions(std::string_view a, std::string_view b);

// All conditions must hold.
struct Posture {
  std::string name;  // with its prefix: "posture:latest"
  std::vector<Condition> conditions;

  bool holds(const Attributes& attributes) const;
};

}  // namespace es::policy

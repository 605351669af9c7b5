// A parsed document, HuJSON or YAML alike, in which every value remembers where it stood.
//
// Limits are the parser's (see ParseLimits): a Value is never deeper or larger than they allow.
#pragma once

#include "native/policy/problem.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace es::policy {

struct Member;

struct Value {
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  Position at;
  std::string text;  // a string's content, or a number as it was written
  std::vector<Value> items;
  std::vector<Member> members;  // in the document's order; no name stands twice

  bool is(Kind k) const { return kind == k; }
  // Nothing was given: absent members and null are treated alike.
  bool null() const { return kind == Kind::kNull; }
};

struct Member {
  std::string name;
  Position at;
  Value value;
};

// "a string", "an array": for messages.
std::string_view kind_name(Value::Kind kind);

// The value as compact JSON.
std::string to_json_text(const Value& value);

struct ParseLimits {
  size_t max_bytes = 4u << 20;
  size_t max_depth = 64;
  size_t max_values = 1000000;
};

// Parse a document. On failure problems has at least one entry and the value is null.
Value parse_hujson(std::string_view text, const ParseLimits& limits, Problems& problems);
Value parse_yaml(std::string_view text, const ParseLimits& limits, Problems& problems);

}  // namespace es::policy

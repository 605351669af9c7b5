// The JSON body of an API request: one object whose top-level members the operation reads by name
// and type.
//
// Strict: well-formed UTF-8 JSON (RFC 8259), nothing after it, no member twice. Tolerant like
// protojson in Headscale 0.29: an empty body is {}, unknown members are passed over, null means
// not set, a uint64 may be a string or a number. Limits: kMaxBodyLen bytes, kMaxBodyDepth open
// arrays and objects, both before anything is built in memory.
//
// Errors are texts for the caller that name the member and what is expected there, never a value.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace es::api {

inline constexpr size_t kMaxBodyLen = 64 * 1024;
// A policy with every character escaped once; limits.body_bytes may be lower.
inline constexpr size_t kMaxPolicyBodyLen = 8 * 1024 * 1024;
inline constexpr size_t kMaxBodyDepth = 32;
inline constexpr size_t kMaxBodyMembers = 64;

struct BodyError {
  unsigned status = 400;
  std::string text;
};

class Body {
 public:
  static Result<Body, BodyError> parse(std::string_view json, size_t max_len = kMaxBodyLen);

  // Each reads one member, by its name or by its second, snake_case name; the default when it is
  // absent or null. The first wrong type is kept for error().
  std::string text(std::string_view name, std::string_view other_name = {});
  bool flag(std::string_view name);
  std::optional<uint64_t> uint64(std::string_view name);  // also for the empty string: not set
  std::optional<WallTime> time(std::string_view name);
  std::vector<std::string> texts(std::string_view name, std::string_view other_name = {});

  const std::optional<BodyError>& error() const { return error_; }

 private:
  friend class BodyReader;
  struct Null {};
  struct Other {};  // a type that no operation reads
  using Value = std::variant<Null, bool, uint64_t, std::string, std::vector<std::string>, Other>;

  const Value* find(std::string_view name, std::string_view other_name = {});
  void wrong(std::string_view name, std::string_view expected);

  std::map<std::string, Value, std::less<>> members_;
  std::optional<BodyError> error_;
};

// A decimal uint64 without sign or space; nullopt for anything else.
std::optional<uint64_t> parse_uint64(std::string_view text);

}  // namespace es::api

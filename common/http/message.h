// Views of a request as both twins see it: nothing is copied, decoded or normalised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace es::http {

// One header field as received. Names compare without case; values have no surrounding white space.
struct Field {
  std::string_view name;
  std::string_view value;
};

// The methods that pass the gate; all others are refused.
enum class Method : uint8_t { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions };

// The exact, case-sensitive token of RFC 9110 section 9.1; nullopt for anything else.
std::optional<Method> parse_method(std::string_view token);
std::string_view method_name(Method method);

// Compares ASCII text without case.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Bounds on what a request may carry. The gate refuses beyond them: 414, 431 and 413.
struct Limits {
  size_t max_target = 8 * 1024;
  size_t max_fields = 100;
  size_t max_fields_bytes = 32 * 1024;  // names and values together
  uint64_t max_body_bytes = 1024 * 1024;
};

}  // namespace es::http

// What is wrong with a policy, and where: every problem is collected before the policy is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace es::policy {

// A place in the document, from 1; 0 is "nowhere in particular". Columns count bytes.
struct Position {
  uint32_t line = 0;
  uint32_t column = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

struct Problem {
  Position at;
  std::string text;  // may quote the document: for its author, not for strangers
};

// A list that stops growing at a bound, since a hostile document can have a million errors.
class Problems {
 public:
  static constexpr size_t kMaxKept = 200;

  void add(Position at, std::string text);
  bool empty() const { return kept_.empty(); }
  size_t size() const { return kept_.size() + dropped_; }
  const std::vector<Problem>& kept() const { return kept_; }

  // One a line: "line 3, column 14: text".
  std::string text() const;

 private:
  std::vector<Problem> kept_;
  size_t dropped_ = 0;
};

// `text` in quotes and cut to a readable length, control characters escaped.
std::string quoted(std::string_view text);

}  // namespace es::policy

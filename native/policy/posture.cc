#include "native/policy/posture.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace es::policy {
namespace {

using Op = Condition::Op;

constexpr std::string_view kAllowed =
    "expected ==, !=, <, <=, >, >=, IN, NOT IN, IS SET or NOT SET after the attribute's name";

std::string_view take_word(std::string_view& text) {
  text = trim(text);
  size_t n = 0;
  while (n < text.size() && std::isalpha(static_cast<unsigned char>(text[n])) != 0) ++n;
  const std::string_view word = text.substr(0, n);
  text.remove_prefix(n);
  text = trim(text);
  return word;
}

bool same_word(std::string_view a, std::string_view upper) {
  return a.size() == upper.size() &&
         std::equal(a.begin(), a.end(), upper.begin(), [](char x, char y) {
           return std::toupper(static_cast<unsigned char>(x)) == y;
         });
}

// A quoted or bare value from the front of `text`.
bool take_value(std::string_view& text, std::string& out) {
  text = trim(text);
  if (text.empty()) return false;
  if (text[0] == '\'' || text[0] == '"') {
    const size_t end = text.find(text[0], 1);
    if (end == std::string_view::npos) return false;
    out = std::string(text.substr(1, end - 1));
    text.remove_prefix(end + 1);
    return true;
  }
  size_t n = 0;
  while (n < text.size() && text[n] != ',' && text[n] != ']' && text[n] != ' ') ++n;
  out = std::string(text.substr(0, n));
  text.remove_prefix(n);
  return n != 0;
}

bool take_list(std::string_view& text, std::vector<std::string>& out) {
  text = trim(text);
  if (text.empty() || text[0] != '[') return false;
  text.remove_prefix(1);
  while (true) {
    std::string value;
    if (!take_value(text, value)) return false;
    out.push_back(std::move(value));
    text = trim(text);
    if (text.empty()) return false;
    const char c = text[0];
    text.remove_prefix(1);
    if (c == ']') return true;
    if (c != ',') return false;
  }
}

Parsed<Condition> finish(Condition condition, std::string_view rest) {
  if (!trim(rest).empty()) return Reason{"unexpected " + quoted(rest) + " after the value"};
  return condition;
}

Parsed<Condition> parse_words(Condition condition, std::string_view rest) {
  const std::string_view first = take_word(rest);
  if (same_word(first, "IS")) {
    if (!same_word(take_word(rest), "SET")) return Reason{"expected SET after IS"};
    condition.op = Op::kSet;
    return finish(std::move(condition), rest);
  }
  const bool negated = same_word(first, "NOT");
  const std::string_view word = negated ? take_word(rest) : first;
  if (negated && same_word(word, "SET")) {
    condition.op = Op::kNotSet;
    return finish(std::move(condition), rest);
  }
  if (!same_word(word, "IN")) return Reason{std::string(kAllowed)};
  condition.op = negated ? Op::kNotIn : Op::kIn;
  if (!take_list(rest, condition.values)) return Reason{"expected a list such as ['a', 'b']"};
  return finish(std::move(condition), rest);
}

}  // namespace

int compare_versions(std::string_view a, std::string_view b) {
  const auto take = [](std::string_view& s, std::string_view& part) {
    const size_t dot = s.find('.');
    part = s.substr(0, dot);
    s = dot == std::string_view::npos ? std::string_view{} : s.substr(dot + 1);
  };
  const auto split = [](std::string_view part) {
    size_t n = 0;
    while (n < part.size() && part[n] >= '0' && part[n] <= '9') ++n;
    std::string_view digits = part.substr(0, n);
    while (digits.size() > 1 && digits[0] == '0') digits.remove_prefix(1);
    return std::pair{digits, part.substr(n)};
  };
  while (!a.empty() || !b.empty()) {
    std::string_view pa;
    std::string_view pb;
    take(a, pa);
    take(b, pb);
    auto [da, ra] = split(pa);
    auto [db, rb] = split(pb);
    if (da.empty()) da = "0";
    if (db.empty()) db = "0";
    if (da.size() != db.size()) return da.size() < db.size() ? -1 : 1;
    if (const int c = da.compare(db); c != 0) return c;
    if (const int c = ra.compare(rb); c != 0) return c;
  }
  return 0;
}

bool Condition::holds(const Attributes& attributes) const {
  const auto it = attributes.find(attribute);
  const bool set = it != attributes.end();
  if (op == Op::kSet) return set;
  if (op == Op::kNotSet) return !set;
  const bool listed = set && std::find(values.begin(), values.end(), it->second) != values.end();
  if (op == Op::kIn || op == Op::kEqual) return listed;
  if (op == Op::kNotIn || op == Op::kNotEqual) return !listed;
  if (!set) return false;
  const int order = compare_versions(it->second, values[0]);
  if (op == Op::kLess) return order < 0;
  if (op == Op::kLessEqual) return order <= 0;
  if (op == Op::kGreater) return order > 0;
  return order >= 0;
}

Parsed<Condition> parse_condition(std::string_view raw) {
  constexpr std::array<std::pair<std::string_view, Op>, 6> kSymbols = {{{"==", Op::kEqual},
                                                                        {"!=", Op::kNotEqual},
                                                                        {"<=", Op::kLessEqual},
                                                                        {">=", Op::kGreaterEqual},
                                                                        {"<", Op::kLess},
                                                                        {">", Op::kGreater}}};
  std::string_view text = trim(raw);
  Condition condition;
  size_t n = 0;
  while (n < text.size() && (std::isalnum(static_cast<unsigned char>(text[n])) != 0 ||
                             text[n] == ':' || text[n] == '_' || text[n] == '-' || text[n] == '.'))
    ++n;
  condition.attribute = std::string(text.substr(0, n));
  const size_t colon = condition.attribute.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == condition.attribute.size()) {
    return Reason{"expected an attribute such as node:os or custom:name"};
  }
  text.remove_prefix(n);
  text = trim(text);
  for (const auto& [symbol, op] : kSymbols) {
    if (text.substr(0, symbol.size()) != symbol) continue;
    condition.op = op;
    text.remove_prefix(symbol.size());
    condition.values.emplace_back();
    if (!take_value(text, condition.values[0])) return Reason{"expected a value such as '1.40'"};
    return finish(std::move(condition), text);
  }
  return parse_words(std::move(condition), text);
}

bool Posture::holds(const Attributes& attributes) const {
  return std::all_of(conditions.begin(), conditions.end(),
                     [&](const Condition& c) { return c.holds(attributes); });
}

}  // namespace es::policy

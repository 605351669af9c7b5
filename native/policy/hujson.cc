// HuJSON: JSON (RFC 8259) with // and /* */ comments and with a comma allowed after the last
// member or item. Everything else is as strict as JSON is: UTF-8, no duplicate names, no trailing
// text. Recursion is bounded by ParseLimits::max_depth.
#include "native/policy/value.h"

#include <algorithm>
#include <unordered_set>

namespace es::policy {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const ParseLimits& limits, Problems& problems)
      : text_(text), limits_(limits), problems_(problems) {}

  Value document() {
    Value value;
    if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
    if (!skip() || !parse(value, 0)) return {};
    if (!skip()) return {};
    if (at_ != text_.size()) {
      fail("nothing but comments may follow the policy, found " + found());
      return {};
    }
    return value;
  }

 private:
  Position here() const {
    return {line_, static_cast<uint32_t>(std::min<size_t>(at_ - line_start_ + 1, UINT32_MAX))};
  }

  bool fail(std::string text) {
    problems_.add(here(), std::move(text));
    return false;
  }

  std::string found() const {
    if (at_ >= text_.size()) return "the end of the document";
    size_t n = 1;
    while (at_ + n < text_.size() && n < 12 &&
           (static_cast<uint8_t>(text_[at_ + n]) & 0xc0) == 0x80)
      ++n;
    return quoted(text_.substr(at_, n));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void newline() {
    ++line_;
    line_start_ = at_ + 1;
  }

  // White space and comments. False if a comment has no end.
  bool skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        newline();
        ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == '/' && text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '/' && text_.substr(at_, 2) == "/*") {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return fail("this comment has no */");
        for (; at_ < end; ++at_) {
          if (text_[at_] == '\n') newline();
        }
        at_ = end + 2;
      } else {
        break;
      }
    }
    return true;
  }

  bool parse(Value& out, size_t depth) {
    out.at = here();
    if (depth >= limits_.max_depth) {
      return fail("nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    if (++values_ > limits_.max_values) {
      return fail("more than " + std::to_string(limits_.max_values) + " values");
    }
    const char c = peek();
    if (c == '{') return object(out, depth);
    if (c == '[') return array(out, depth);
    if (c == '"') {
      out.kind = Value::Kind::kString;
      return string(out.text);
    }
    if (c == '-' || (c >= '0' && c <= '9')) return number(out);
    return word(out);
  }

  bool word(Value& out) {
    const auto take = [&](std::string_view w) {
      if (text_.substr(at_, w.size()) != w) return false;
      at_ += w.size();
      return true;
    };
    if (take("null")) return true;
    if (take("true")) {
      out.kind = Value::Kind::kBool;
      out.boolean = true;
      return true;
    }
    if (take("false")) {
      out.kind = Value::Kind::kBool;
      return true;
    }
    return fail("expected an object, an array, a string, a number, true, false or null, found " +
                found());
  }

  // RFC 8259, 6: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
  bool number(Value& out) {
    const size_t start = at_;
    const auto digits = [&] {
      const size_t from = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      return at_ != from;
    };
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      return fail("expected a digit, found " + found());
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) return fail("expected a digit after the decimal point, found " + found());
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return fail("expected a digit in the exponent, found " + found());
    }
    out.kind = Value::Kind::kNumber;
    out.text.assign(text_.substr(start, at_ - start));
    return true;
  }

  bool hex4(uint32_t& out) {
    out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      uint32_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<uint32_t>(c - 'A' + 10);
      } else {
        return fail("\\u needs four hexadecimal digits, found " + found());
      }
      out = out << 4 | digit;
    }
    return true;
  }

  static void append_utf8(std::string& out, uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xc0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xe0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (c & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (c & 0x3f));
    }
  }

  bool escape(std::string& out) {
    ++at_;
    const char c = peek();
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (const size_t i = kFrom.find(c); c != '\0' && i != std::string_view::npos) {
      out += kTo[i];
      ++at_;
      return true;
    }
    if (c != 'u') return fail("expected one of \" \\ / b f n r t u after \\, found " + found());
    ++at_;
    uint32_t unit = 0;
    if (!hex4(unit)) return false;
    if (unit >= 0xd800 && unit <= 0xdbff) {
      uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u")
        return fail("the second half of a surrogate pair is missing");
      at_ += 2;
      if (!hex4(low)) return false;
      if (low < 0xdc00 || low > 0xdfff) return fail("not the second half of a surrogate pair");
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    } else if (unit >= 0xdc00 && unit <= 0xdfff) {
      return fail("the first half of a surrogate pair is missing");
    }
    append_utf8(out, unit);
    return true;
  }

  bool string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const auto c = static_cast<uint8_t>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!escape(out)) return false;
      } else if (c < 0x20) {
        return fail(c == '\n' ? "this string has no closing \""
                              : "control characters must be escaped in a string");
      } else {
        out += static_cast<char>(c);
        ++at_;
      }
    }
    return fail("this string has no closing \"");
  }

  bool array(Value& out, size_t depth) {
    out.kind = Value::Kind::kArray;
    ++at_;
    while (true) {
      if (!skip()) return false;
      if (peek() == ']') break;
      out.items.emplace_back();
      if (!parse(out.items.back(), depth + 1) || !skip()) return false;
      if (peek() == ',') {
        ++at_;
      } else if (peek() != ']') {
        return fail("expected , or ] after an array item, found " + found());
      }
    }
    ++at_;
    return true;
  }

  bool object(Value& out, size_t depth) {
    out.kind = Value::Kind::kObject;
    ++at_;
    std::unordered_set<std::string> names;
    while (true) {
      if (!skip()) return false;
      if (peek() == '}') break;
      if (peek() != '"') return fail("expected a name in \" or }, found " + found());
      Member member;
      member.at = here();
      if (!string(member.name)) return false;
      if (!names.insert(member.name).second) {
        problems_.add(member.at,
                      "the name " + quoted(member.name) + " stands twice in this object");
        return false;
      }
      if (!skip()) return false;
      if (peek() != ':') return fail("expected : after the name, found " + found());
      ++at_;
      if (!skip() || !parse(member.value, depth + 1)) return false;
      out.members.push_back(std::move(member));
      if (!skip()) return false;
      if (peek() == ',') {
        ++at_;
      } else if (peek() != '}') {
        return fail("expected , or } after a member, found " + found());
      }
    }
    ++at_;
    return true;
  }

  std::string_view text_;
  const ParseLimits& limits_;
  Problems& problems_;
  size_t at_ = 0;
  size_t line_start_ = 0;
  uint32_t line_ = 1;
  size_t values_ = 0;
};

}  // namespace

Value parse_hujson(std::string_view text, const ParseLimits& limits, Problems& problems) {
  if (text.size() > limits.max_bytes) {
    problems.add({}, "the policy has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(limits.max_bytes) + " are allowed");
    return {};
  }
  return Parser(text, limits, problems).document();
}

}  // namespace es::policy

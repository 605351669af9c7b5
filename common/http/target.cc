#include "common/http/target.h"

#include "common/base/hex.h"

namespace es::http {
namespace {

// What a WHATWG URL parser, such as the one behind the Worker's fetch(), percent-encodes on its
// own: the origin would see another target than the one that was checked and signed.
constexpr std::string_view kRewrittenInPath = "{}^`";
constexpr char kRewrittenInQuery = '\'';

constexpr bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

enum : uint8_t {
  kControl = 1,  // nowhere
  kBad = 2,      // nowhere else in a target
  kNotInPath = 4,
  kNotInQuery = 8,
  kEscape = 16,
  kDot = 32,
};

// What each byte means for a target.
struct Classes {
  uint8_t of[256] = {};
  constexpr Classes() {
    for (int i = 0; i < 256; ++i) {
      const char c = static_cast<char>(i);
      const bool bad =
          i == ' ' || i > 0x7e || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>';
      if (is_control(static_cast<unsigned char>(i))) {
        of[i] = kControl;
      } else if (bad) {
        of[i] = kBad;
      }
    }
    for (const char c : kRewrittenInPath) of[static_cast<unsigned char>(c)] = kNotInPath;
    of[static_cast<unsigned char>(kRewrittenInQuery)] = kNotInQuery;
    of[static_cast<unsigned char>('%')] = kEscape;
    of[static_cast<unsigned char>('.')] = kDot;
  }
};
constexpr Classes kClasses;

// What any byte of it means.
uint8_t classes_in(std::string_view text) {
  unsigned all = 0;
  for (const char c : text) all |= kClasses.of[static_cast<unsigned char>(c)];
  return static_cast<uint8_t>(all);
}

// Looks for the segments "." and ".." in a path that arrives byte by byte.
class DotSegments {
 public:
  // True when `c` ends such a segment.
  bool push(char c) {
    if (c == '/' || c == '\\') return take();
    // "..;x" is ".." to some servers: the parameter does not count.
    if (c == ';') in_parameter_ = true;
    if (!in_parameter_) {
      only_dots_ = only_dots_ && c == '.';
      ++len_;
    }
    return false;
  }
  bool finish() { return take(); }

 private:
  bool take() {
    const bool dots = only_dots_ && (len_ == 1 || len_ == 2);
    len_ = 0;
    only_dots_ = true;
    in_parameter_ = false;
    return dots;
  }

  size_t len_ = 0;
  bool only_dots_ = true;
  bool in_parameter_ = false;
};

// Percent-decodes a byte stream: at most one output byte for an input byte, except that a broken
// escape comes out as it went in (up to three bytes, when `finish` or the breaking byte arrives).
class PercentDecoder {
 public:
  // Calls sink(char) for each decoded byte.
  template <class Sink>
  void push(char c, Sink&& sink) {
    if (held_len_ == 0) {
      if (c == '%') {
        held_len_ = 1;
      } else {
        sink(c);
      }
      return;
    }
    const int digit = hex_digit(c);
    if (digit < 0) {
      broken_ = true;
      release(sink);
      push(c, sink);
      return;
    }
    if (held_len_ == 1) {
      first_digit_ = c;
      held_len_ = 2;
      return;
    }
    held_len_ = 0;
    sink(static_cast<char>(hex_digit(first_digit_) << 4 | digit));
  }

  template <class Sink>
  void finish(Sink&& sink) {
    if (held_len_ == 0) return;
    broken_ = true;
    release(sink);
  }

  bool broken() const { return broken_; }

 private:
  template <class Sink>
  void release(Sink&& sink) {
    const int n = held_len_;
    held_len_ = 0;
    sink('%');
    if (n == 2) sink(first_digit_);
  }

  int held_len_ = 0;
  char first_digit_ = 0;
  bool broken_ = false;
};

// Path or query of a target, seen raw, decoded once and decoded twice.
Refusal check_part(std::string_view part, bool is_path) {
  Refusal refusal = Refusal::kNone;
  const auto note = [&](Refusal r) {
    if (refusal == Refusal::kNone) refusal = r;
  };
  DotSegments dots[3];
  const auto look = [&](int level, char c) {
    if (is_control(static_cast<unsigned char>(c))) note(Refusal::kControlCharacter);
    if (is_path && dots[level].push(c)) note(Refusal::kTraversal);
  };
  PercentDecoder once;
  PercentDecoder twice;
  const auto second = [&](char c) { look(2, c); };
  const auto first = [&](char c) {
    look(1, c);
    twice.push(c, second);
  };
  for (const char c : part) {
    look(0, c);
    once.push(c, first);
  }
  once.finish(first);
  twice.finish(second);
  if (is_path) {
    for (DotSegments& d : dots) {
      if (d.finish()) note(Refusal::kTraversal);
    }
  }
  // "%25zz" decodes to the text "%zz", which is fine; "%zz" itself is not.
  if (once.broken()) note(Refusal::kBadTarget);
  return refusal;
}

// As check_part for a path without escapes, so that one look is enough.
Refusal check_plain_path(std::string_view path) {
  DotSegments dots;
  bool found = false;
  for (const char c : path) found |= dots.push(c);
  found |= dots.finish();
  return found ? Refusal::kTraversal : Refusal::kNone;
}

}  // namespace

Refusal check_target(std::string_view target, size_t max_len) {
  if (target.size() > max_len) return Refusal::kTargetTooLong;
  if (target.empty() || target.front() != '/') return Refusal::kBadTarget;
  const std::string_view path = path_of(target);
  const std::string_view query = target.substr(path.size());
  const uint8_t in_path = classes_in(path);
  const uint8_t in_query = classes_in(query);
  if (((in_path | in_query) & (kControl | kBad)) != 0) {
    for (const char c : target) {
      const uint8_t what = kClasses.of[static_cast<unsigned char>(c)];
      if (what == kControl) return Refusal::kControlCharacter;
      if (what == kBad) break;
    }
    return Refusal::kBadTarget;
  }
  if (path.size() > 1 && path[1] == '/') return Refusal::kBadTarget;
  if ((in_path & kNotInPath) != 0 || (in_query & kNotInQuery) != 0) return Refusal::kBadTarget;
  if (((in_path | in_query) & kEscape) != 0) {
    if (const Refusal r = check_part(path, true); r != Refusal::kNone) return r;
    return check_part(query, false);
  }
  return (in_path & kDot) != 0 ? check_plain_path(path) : Refusal::kNone;
}

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

bool is_valid_host(std::string_view host) {
  if (host.empty() || host.size() > 262) return false;
  std::string_view name = host;
  std::string_view port;
  bool has_port = false;
  if (host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    name = host.substr(1, close - 1);
    for (const char c : name) {
      if (hex_digit(c) < 0 && c != ':' && c != '.') return false;
    }
    const std::string_view rest = host.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return false;
    has_port = !rest.empty();
    port = rest.substr(has_port ? 1 : 0);
  } else {
    const size_t colon = host.find(':');
    has_port = colon != std::string_view::npos;
    name = host.substr(0, colon);
    if (has_port) port = host.substr(colon + 1);
    if (name.empty() || name.size() > 255) return false;
    for (const char c : name) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      const bool digit = c >= '0' && c <= '9';
      if (!letter && !digit && c != '-' && c != '.' && c != '_') return false;
    }
  }
  if (!has_port) return true;
  if (port.empty() || port.size() > 5) return false;
  uint32_t number = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number <= 65535;
}

}  // namespace es::http

// Finds the end of a request's head in the bytes as received and refuses what parsers disagree on.
//
// Source: RFC 9112 sections 2.2, 5.2 and 11.2. Stricter than Beast's parser, which runs behind it:
// a line ends with CRLF and nothing else; no CR, LF or NUL stands inside a line; no line begins
// with white space (folding). Empty lines before the request line are refused, except for what the
// caller has removed. Nothing is decoded. Amortised O(1) a byte however the bytes arrive.
#pragma once

#include <cstddef>
#include <string_view>

namespace es::net {

class HeadScanner {
 public:
  enum class State { kNeedMore, kComplete, kMalformed };

  // `bytes` is everything received from the head's first byte on: what the last call had, and
  // more.
  State scan(std::string_view bytes);

  // After kComplete: the head's length, its empty line included.
  size_t head_len() const { return line_start_; }
  // With its CRLF; 0 until it has been seen whole.
  size_t request_line_len() const { return request_line_len_; }

 private:
  size_t line_start_ = 0;  // where the first line that is not complete begins
  size_t looked_ = 0;      // no LF before this
  size_t request_line_len_ = 0;
};

}  // namespace es::net

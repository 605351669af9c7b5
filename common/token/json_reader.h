// A strict pull parser for small JSON documents (RFC 8259) from untrusted senders: no allocation,
// no tree, no recursion.
//
// Limits: kMaxDepth open arrays and objects; the caller bounds the size of the text. Strictness:
// one value, nothing but white space after it; no comments, trailing commas, duplicate handling
// (the caller's), or lone surrogates; string bytes below 0x20 refused. An error is sticky: every
// later call fails too, so a caller may check ok() once at the end.
#pragma once

#include "common/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace es::token {

class JsonReader {
 public:
  static constexpr size_t kMaxDepth = 16;
  enum class Kind : uint8_t { kObject, kArray, kString, kNumber, kBool, kNull, kNone };

  explicit JsonReader(std::string_view text) : text_(text) {}

  // The kind of the value that comes next; kNone at the end or after an error.
  Kind peek();

  // Opens the object or array that comes next; false if it is something else.
  bool enter_object();
  bool enter_array();
  // Inside one: moves to the next member or element; false at its end (which closes it) and after
  // an error. The value must be read or skipped before the next call.
  bool next_member(MutableBytes name_buffer, std::string_view& name);
  bool next_element();

  // Reads a string, unescaped into `buffer`; nullopt if it is no string or does not fit.
  std::optional<std::string_view> string(MutableBytes buffer);
  // Reads a number without sign, fraction or exponent, other than a fraction of zeros.
  std::optional<uint64_t> natural();
  // Reads over the value that comes next, whatever it is.
  void skip();

  bool ok() const { return !failed_; }
  // True when the one value was read, nothing follows it and nothing failed.
  bool finished();

 private:
  bool fail();
  void skip_space();
  bool at(char c) const { return pos_ < text_.size() && text_[pos_] == c; }
  bool open(char bracket);
  bool advance(char close);
  bool read_string(MutableBytes* buffer, size_t& len);
  bool read_escape(MutableBytes* buffer, size_t& len);
  bool read_hex4(uint32_t& unit);
  bool put(MutableBytes* buffer, size_t& len, uint32_t code_point);
  bool skip_number();
  bool skip_word(std::string_view word);

  std::string_view text_;
  size_t pos_ = 0;
  size_t depth_ = 0;
  bool first_ = false;  // a container was just opened
  bool failed_ = false;
};

}  // namespace es::token

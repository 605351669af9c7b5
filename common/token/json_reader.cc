#include "common/token/json_reader.h"

#include "common/base/hex.h"
#include "common/base/utf8.h"

namespace es::token {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool JsonReader::fail() {
  failed_ = true;
  return false;
}

void JsonReader::skip_space() {
  while (at(' ') || at('\t') || at('\n') || at('\r')) ++pos_;
}

JsonReader::Kind JsonReader::peek() {
  if (failed_) return Kind::kNone;
  skip_space();
  if (pos_ == text_.size()) return Kind::kNone;
  switch (text_[pos_]) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    default:
      return at('-') || is_digit(text_[pos_]) ? Kind::kNumber : Kind::kNone;
  }
}

bool JsonReader::open(char bracket) {
  if (failed_) return false;
  skip_space();
  if (!at(bracket) || depth_ == kMaxDepth) return fail();
  ++pos_;
  ++depth_;
  first_ = true;
  return true;
}

bool JsonReader::enter_object() { return open('{'); }
bool JsonReader::enter_array() { return open('['); }

// Moves to the next member or element: over the comma, or over the closing bracket, which ends the
// container.
bool JsonReader::advance(char close) {
  if (failed_ || depth_ == 0) return fail();
  skip_space();
  const bool first = first_;
  first_ = false;
  if (at(close)) {
    ++pos_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (!at(',')) return fail();
  ++pos_;
  skip_space();
  // No trailing comma.
  return at(close) ? fail() : true;
}

bool JsonReader::next_member(MutableBytes name_buffer, std::string_view& name) {
  if (!advance('}')) return false;
  const auto text = string(name_buffer);
  if (!text) return fail();
  name = *text;
  skip_space();
  if (!at(':')) return fail();
  ++pos_;
  return true;
}

bool JsonReader::next_element() { return advance(']'); }

bool JsonReader::put(MutableBytes* buffer, size_t& len, uint32_t c) {
  uint8_t bytes[4];
  size_t n = 0;
  if (c < 0x80) {
    bytes[n++] = static_cast<uint8_t>(c);
  } else if (c < 0x800) {
    bytes[n++] = static_cast<uint8_t>(0xc0 | c >> 6);
  } else if (c < 0x10000) {
    bytes[n++] = static_cast<uint8_t>(0xe0 | c >> 12);
    bytes[n++] = static_cast<uint8_t>(0x80 | (c >> 6 & 0x3f));
  } else {
    bytes[n++] = static_cast<uint8_t>(0xf0 | c >> 18);
    bytes[n++] = static_cast<uint8_t>(0x80 | (c >> 12 & 0x3f));
    bytes[n++] = static_cast<uint8_t>(0x80 | (c >> 6 & 0x3f));
  }
  if (n > 0 && c >= 0x80) bytes[n++] = static_cast<uint8_t>(0x80 | (c & 0x3f));
  if (buffer == nullptr) return true;
  if (len + n > buffer->size()) return fail();
  for (size_t i = 0; i < n; ++i) (*buffer)[len++] = bytes[i];
  return true;
}

bool JsonReader::read_hex4(uint32_t& unit) {
  if (text_.size() - pos_ < 4) return fail();
  unit = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(text_[pos_++]);
    if (digit < 0) return fail();
    unit = unit << 4 | static_cast<uint32_t>(digit);
  }
  return true;
}

// The part of an escape after its backslash.
bool JsonReader::read_escape(MutableBytes* buffer, size_t& len) {
  if (pos_ == text_.size()) return fail();
  const char c = text_[pos_++];
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return put(buffer, len, static_cast<uint32_t>(c));
    case 'b':
      return put(buffer, len, '\b');
    case 'f':
      return put(buffer, len, '\f');
    case 'n':
      return put(buffer, len, '\n');
    case 'r':
      return put(buffer, len, '\r');
    case 't':
      return put(buffer, len, '\t');
    case 'u':
      break;
    default:
      return fail();
  }
  uint32_t unit = 0;
  if (!read_hex4(unit)) return false;
  if (unit >= 0xdc00 && unit <= 0xdfff) return fail();
  if (unit >= 0xd800 && unit <= 0xdbff) {
    uint32_t low = 0;
    if (!at('\\')) return fail();
    ++pos_;
    if (!at('u')) return fail();
    ++pos_;
    if (!read_hex4(low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return fail();
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  return put(buffer, len, unit);
}

bool JsonReader::read_string(MutableBytes* buffer, size_t& len) {
  if (failed_) return false;
  skip_space();
  if (!at('"')) return fail();
  ++pos_;
  len = 0;
  while (pos_ < text_.size()) {
    const char c = text_[pos_];
    if (c == '"') {
      ++pos_;
      return true;
    }
    if (c == '\\') {
      ++pos_;
      if (!read_escape(buffer, len)) return false;
      continue;
    }
    if (static_cast<uint8_t>(c) < 0x20) return fail();
    const size_t n = utf8_sequence_len(text_.substr(pos_));
    if (n == 0) return fail();
    if (buffer != nullptr) {
      if (len + n > buffer->size()) return fail();
      for (size_t i = 0; i < n; ++i) (*buffer)[len++] = static_cast<uint8_t>(text_[pos_ + i]);
    }
    pos_ += n;
  }
  return fail();
}

std::optional<std::string_view> JsonReader::string(MutableBytes buffer) {
  size_t len = 0;
  if (!read_string(&buffer, len)) return std::nullopt;
  return as_text(Bytes(buffer).first(len));
}

std::optional<uint64_t> JsonReader::natural() {
  const auto none = [this]() -> std::optional<uint64_t> {
    fail();
    return std::nullopt;
  };
  if (peek() != Kind::kNumber || at('-')) return none();
  const size_t begin = pos_;
  if (!skip_number()) return std::nullopt;
  std::string_view digits = text_.substr(begin, pos_ - begin);
  if (const size_t dot = digits.find('.'); dot != std::string_view::npos) {
    if (digits.find_first_not_of('0', dot + 1) != std::string_view::npos) return none();
    digits = digits.substr(0, dot);
  }
  uint64_t value = 0;
  for (const char c : digits) {
    if (!is_digit(c)) return none();
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return none();
    value = value * 10 + digit;
  }
  return value;
}

bool JsonReader::skip_number() {
  const auto digits = [this] {
    const size_t begin = pos_;
    while (pos_ < text_.size() && is_digit(text_[pos_])) ++pos_;
    return pos_ > begin;
  };
  if (at('-')) ++pos_;
  if (at('0')) {
    ++pos_;
    if (pos_ < text_.size() && is_digit(text_[pos_])) return fail();
  } else if (!digits()) {
    return fail();
  }
  if (at('.')) {
    ++pos_;
    if (!digits()) return fail();
  }
  if (at('e') || at('E')) {
    ++pos_;
    if (at('+') || at('-')) ++pos_;
    if (!digits()) return fail();
  }
  return true;
}

bool JsonReader::skip_word(std::string_view word) {
  if (!text_.substr(pos_).starts_with(word)) return fail();
  pos_ += word.size();
  return true;
}

// Without recursion: `objects` remembers for each container opened here whether it is an object.
void JsonReader::skip() {
  const size_t outside = depth_;
  uint32_t objects = 0;
  do {
    if (depth_ > outside) {
      const bool in_object = (objects >> depth_ & 1) != 0;
      size_t len = 0;
      if (!advance(in_object ? '}' : ']')) {
        if (failed_) return;
        continue;  // that container ended
      }
      if (in_object) {
        if (!read_string(nullptr, len)) return;
        skip_space();
        if (!at(':')) {
          fail();
          return;
        }
        ++pos_;
      }
    }
    size_t len = 0;
    switch (peek()) {
      case Kind::kObject:
        if (!enter_object()) return;
        objects |= uint32_t{1} << depth_;
        break;
      case Kind::kArray:
        if (!enter_array()) return;
        objects &= ~(uint32_t{1} << depth_);
        break;
      case Kind::kString:
        if (!read_string(nullptr, len)) return;
        break;
      case Kind::kNumber:
        if (!skip_number()) return;
        break;
      case Kind::kBool:
        if (!skip_word(at('t') ? "true" : "false")) return;
        break;
      case Kind::kNull:
        if (!skip_word("null")) return;
        break;
      case Kind::kNone:
        fail();
        return;
    }
  } while (depth_ > outside);
}

bool JsonReader::finished() {
  if (failed_ || depth_ != 0) return false;
  skip_space();
  return pos_ == text_.size();
}

}  // namespace es::token

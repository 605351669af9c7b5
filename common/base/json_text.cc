#include "common/base/json_text.h"

#include "common/base/utf8.h"

#include <cstddef>
#include <cstdint>

namespace es {
namespace {

void append_escape(std::string& out, uint8_t c) {
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u00";
  out += kHex[c >> 4];
  out += kHex[c & 15];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto c = static_cast<uint8_t>(text[0]);
    const size_t len = utf8_sequence_len(text);
    if (len == 0) {
      out += "\xef\xbf\xbd";
      text.remove_prefix(1);
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      append_escape(out, c);
    } else if (c == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0) {
      append_escape(out, static_cast<uint8_t>(text[1]));
    } else {
      out += text.substr(0, len);
    }
    text.remove_prefix(len);
  }
  out += '"';
}

void append_json_strings(std::string& out, const std::vector<std::string>& list) {
  append_json_array(out, list, [&](const std::string& text) { append_json_string(out, text); });
}

}  // namespace es

// Writing JSON text straight into a string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace es {

// Appends `text` as a JSON string. Control characters (C0, DEL and C1: a terminal may obey them)
// are escaped; bytes that are not UTF-8 become U+FFFD, since a reader may refuse the whole message
// otherwise.
void append_json_string(std::string& out, std::string_view text);

void append_json_strings(std::string& out, const std::vector<std::string>& list);

// Appends an array; append_one(item) appends each of its items.
template <class List, class F>
void append_json_array(std::string& out, const List& list, F&& append_one) {
  out += '[';
  bool first = true;
  for (const auto& item : list) {
    if (!first) out += ',';
    first = false;
    append_one(item);
  }
  out += ']';
}

}  // namespace es

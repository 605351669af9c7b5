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

}  // namespace es

// Writing JSON text straight into a string: what the wire types here need and no more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace es::tailcfg {

// Appends `text` as a JSON string. Control characters are escaped; bytes that are not UTF-8 become
// U+FFFD, since a client refuses the whole message otherwise.
void append_json_string(std::string& out, std::string_view text);

void append_json_strings(std::string& out, const std::vector<std::string>& list);

}  // namespace es::tailcfg

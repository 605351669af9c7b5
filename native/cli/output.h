// Results on stdout: tables for people, JSON and YAML for programs. Pure.
#pragma once

#include "native/cli/invocation.h"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace es::cli {

using Json = nlohmann::ordered_json;

// Columns separated by " | ", as wide as their widest cell; no colours. Control characters, which
// a name from elsewhere may hold, become '?', so that nothing can command the terminal.
std::string render_table(const std::vector<std::string>& header,
                         const std::vector<std::vector<std::string>>& rows);

// kJson (indented), kJsonLine or kYaml, with a newline at the end; not for kText.
std::string render_data(const Json& data, Format format);

// `text` without control characters, for a terminal.
std::string printable(std::string_view text);

}  // namespace es::cli

// Setting one configuration key from a YAML node or from a text of the environment.
#pragma once

#include "native/cli/config_keys.h"
#include "native/cli/yaml_tree.h"

#include <string>
#include <string_view>
#include <vector>

namespace es::cli {

// Why a value was refused, at the node that is to blame.
struct ValueError {
  int line = 0;
  int column = 0;
  std::string reason;
};

// Sets the key's field; a kNull node leaves the default. Errors are appended; a value with an error
// leaves the field as it was.
void set_from_yaml(const Key& key, const YamlNode& node, std::vector<ValueError>& errors);

// Lists are separated by commas or white space; maps and records cannot be given in a variable.
// Returns the reason of a refusal, or an empty text.
std::string set_from_text(const Key& key, std::string_view text);

// True when both fields hold the same value; both keys come from the same place in config_keys().
bool same_value(const Key& a, const Key& b);
void copy_value(const Key& from, const Key& to);

// `text` in quotes, shortened and without control characters, for a message.
std::string quoted(std::string_view text);

}  // namespace es::cli

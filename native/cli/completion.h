// Shell completion scripts, made from the tree of commands. Pure.
#pragma once

#include "native/cli/command_line.h"

#include <string>

namespace es::cli {

// `shell` is bash, zsh or fish.
std::string completion_script(const CommandShape& root, const std::string& shell);

}  // namespace es::cli

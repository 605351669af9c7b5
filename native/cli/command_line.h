// Understanding the command line: Headscale's commands, flags, short flags and aliases (source:
// Headscale 0.29 and 0.30-dev, cmd/headscale/cli), and the older positional forms of them.
#pragma once

#include "native/cli/invocation.h"

#include <span>
#include <string>
#include <variant>
#include <vector>

namespace es::cli {

// The command line asks for help, or is wrong.
struct ParseEnd {
  int exit_code = 0;
  std::string text;  // for stdout with exit code 0, for stderr otherwise
};

// `args` without the program's name.
std::variant<Invocation, ParseEnd> parse_command_line(std::span<const std::string> args);

// The tree of commands as completion needs it.
struct FlagShape {
  std::vector<std::string> names;  // "--output", "-o"
  std::string description;
  bool takes_value = false;
  bool is_file = false;
  std::vector<std::string> choices;  // of the value
};

struct CommandShape {
  std::vector<std::string> names;  // the name, then its aliases
  std::string description;
  std::vector<FlagShape> flags;
  std::vector<std::string> arguments;  // choices of the first positional argument
  std::vector<CommandShape> commands;
};

CommandShape command_shape();

}  // namespace es::cli

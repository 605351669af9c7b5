#include "native/cli/completion.h"

#include <functional>

namespace es::cli {
namespace {

std::string join(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

// Single-quoted for a shell.
std::string quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

struct Place {
  std::string path;  // "edgescale users create": names, not aliases
  const CommandShape* command;
};

std::vector<Place> places(const CommandShape& root) {
  std::vector<Place> out;
  const std::function<void(const CommandShape&, const std::string&)> walk =
      [&](const CommandShape& command, const std::string& path) {
        out.push_back({path, &command});
        for (const CommandShape& child : command.commands) {
          walk(child, path + " " + child.names.front());
        }
      };
  walk(root, root.names.front());
  return out;
}

// Flags of the command and of those above it.
std::vector<const FlagShape*> flags_at(const CommandShape& root, const Place& place) {
  std::vector<const FlagShape*> out;
  for (const FlagShape& flag : place.command->flags) out.push_back(&flag);
  for (const FlagShape& flag : root.flags) {
    bool known = place.command == &root;
    for (const FlagShape& own : place.command->flags) known = known || own.names == flag.names;
    if (!known) out.push_back(&flag);
  }
  return out;
}

// A function that walks the words before the cursor to `place`, and sets `flag` when the word at
// the cursor is the value of one. Plain sh as bash and zsh both have it.
std::string walker(const CommandShape& root) {
  std::string steps;
  std::string valued;
  for (const Place& place : places(root)) {
    for (const CommandShape& child : place.command->commands) {
      std::vector<std::string> patterns;
      for (const std::string& name : child.names)
        patterns.push_back(quote(place.path + " " + name));
      steps += "      " + join(patterns, "|") +
               ") place=" + quote(place.path + " " + child.names.front()) + " ;;\n";
    }
    for (const FlagShape* flag : flags_at(root, place)) {
      if (!flag->takes_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag->names)
        patterns.push_back(quote(place.path + ":" + name));
      valued += "      " + join(patterns, "|") + ") flag=$word ;;\n";
    }
  }
  return "_edgescale_walk() {\n"
         "  place=edgescale flag=\n"
         "  local word\n"
         "  for word in \"$@\"; do\n"
         "    if [ -n \"$flag\" ]; then flag=; continue; fi\n"
         "    case \"$place $word\" in\n" +
         steps +
         "    esac\n"
         "    case \"$place:$word\" in\n" +
         valued +
         "    esac\n"
         "  done\n"
         "}\n";
}

// Sets `choices` to what may stand at the cursor, or `files` when a file may.
std::string chooser(const CommandShape& root) {
  std::string out =
      "_edgescale_choose() {\n"
      "  choices= files=\n"
      "  case \"$place:$flag\" in\n";
  for (const Place& place : places(root)) {
    for (const FlagShape* flag : flags_at(root, place)) {
      if (!flag->takes_value || (flag->choices.empty() && !flag->is_file)) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : flag->names)
        patterns.push_back(quote(place.path + ":" + name));
      out += "    " + join(patterns, "|") + ") " +
             (flag->is_file ? "files=1" : "choices=" + quote(join(flag->choices, " "))) + " ;;\n";
    }
    std::vector<std::string> words = place.command->arguments;
    // Names only: aliases would drown them.
    for (const CommandShape& child : place.command->commands) words.push_back(child.names.front());
    std::vector<std::string> names;
    for (const FlagShape* flag : flags_at(root, place)) names.push_back(flag->names.front());
    out += "    " + quote(place.path + ":") + ") choices=" + quote(join(words, " ")) + "\n" +
           "      case $1 in -*) choices=" + quote(join(names, " ")) + " ;; esac ;;\n";
  }
  return out + "  esac\n}\n";
}

std::string bash(const CommandShape& root) {
  return "# edgescale completion bash\n" + walker(root) + chooser(root) +
         "_edgescale() {\n"
         "  local place flag choices files cur=${COMP_WORDS[COMP_CWORD]}\n"
         "  _edgescale_walk \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"\n"
         "  _edgescale_choose \"$cur\"\n"
         "  if [ -n \"$files\" ]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
         "  else\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$cur\")\n"
         "  fi\n"
         "}\n"
         "complete -F _edgescale edgescale\n";
}

std::string zsh(const CommandShape& root) {
  return "#compdef edgescale\n# edgescale completion zsh\n" + walker(root) + chooser(root) +
         "_edgescale() {\n"
         "  local place flag choices files\n"
         "  _edgescale_walk \"${(@)words[2,CURRENT-1]}\"\n"
         "  _edgescale_choose \"$words[CURRENT]\"\n"
         "  if [ -n \"$files\" ]; then _files; else compadd -- ${=choices}; fi\n"
         "}\n"
         "if [ \"$funcstack[1]\" = _edgescale ]; then _edgescale; else compdef _edgescale "
         "edgescale; fi\n";
}

std::string fish(const CommandShape& root) {
  std::string steps;
  std::string rules;
  for (const Place& place : places(root)) {
    for (const CommandShape& child : place.command->commands) {
      for (const std::string& name : child.names) {
        steps += "      case " + quote(place.path + " " + name) + "\n        set place " +
                 quote(place.path + " " + child.names.front()) + "\n";
      }
    }
    const std::string here =
        "complete -c edgescale -n " + quote("__edgescale_at " + quote(place.path));
    for (const CommandShape& child : place.command->commands) {
      rules +=
          here + " -f -a " + quote(child.names.front()) + " -d " + quote(child.description) + "\n";
    }
    if (!place.command->arguments.empty()) {
      rules += here + " -f -a " + quote(join(place.command->arguments, " ")) + "\n";
    }
    for (const FlagShape* flag : flags_at(root, place)) {
      rules += here;
      for (const std::string& name : flag->names) {
        rules += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (flag->takes_value) rules += flag->is_file ? " -r" : " -x";
      if (!flag->choices.empty()) rules += " -a " + quote(join(flag->choices, " "));
      rules += " -d " + quote(flag->description) + "\n";
    }
  }
  return "# edgescale completion fish\n"
         "function __edgescale_at\n"
         "  set -l place edgescale\n"
         "  for word in (commandline -opc)[2..-1]\n"
         "    switch \"$place $word\"\n" +
         steps +
         "    end\n"
         "  end\n"
         "  test \"$place\" = \"$argv[1]\"\n"
         "end\n"
         "complete -c edgescale -f\n" +
         rules;
}

}  // namespace

std::string completion_script(const CommandShape& root, const std::string& shell) {
  if (shell == "bash") return bash(root);
  if (shell == "zsh") return zsh(root);
  return fish(root);
}

}  // namespace es::cli

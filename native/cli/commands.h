// The subcommands that talk to a server: each is one or two calls of the REST API (v1) and a table
// or its data. Free of disk, clock and terminal: they are handed in, so that tests drive it.
#pragma once

#include "common/base/time.h"
#include "native/cli/client.h"
#include "native/cli/invocation.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace es::cli {

// What a command may use and where its text goes.
struct Io {
  // Sends one request; `target` is the path and query.
  std::function<Result<Answer, CallError>(std::string_view method, std::string_view target,
                                          std::string_view body)>
      call;
  // Asks a person; nullopt where there is nobody to ask.
  std::function<std::optional<bool>(const std::string& question)> confirm;
  WallTime now{};

  std::string out;  // stdout: the result and nothing else
  std::string err;  // stderr
};

// Runs one of the commands that need a server; returns the exit code.
int run_remote(const Invocation& invocation, Io& io);

// `text` as an error on stderr, in the form that the output format asks for.
void report_error(std::string_view text, Format format, Io& io);

// A file's or key's bare id out of what a list shows or a person pasted: "tskey-api-ID-***",
// "hskey-api-ID-SECRET", "ID". So that the secret part of a pasted key goes nowhere.
std::string bare_key_id(std::string_view text);

}  // namespace es::cli

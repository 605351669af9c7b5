// The command line of edgescale: every subcommand, with Headscale's names, flags and aliases.
#pragma once

namespace es::cli {

// Exit codes: 0 done, 1 it failed, 2 the command line is wrong.
inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;

int run(int argc, const char* const* argv);

}  // namespace es::cli

#include "native/cli/app.h"

#include "native/cli/version.h"

#include <CLI/CLI.hpp>

#include <cstdio>

namespace es::cli {
namespace {

void print_version() {
  const Version v = version();
  std::printf("%.*s\ncommit: %.*s%s\nbuild time: %.*s\n", static_cast<int>(v.version.size()),
              v.version.data(), static_cast<int>(v.commit.size()), v.commit.data(),
              v.dirty ? " (modified)" : "", static_cast<int>(v.build_time.size()),
              v.build_time.data());
}

}  // namespace

int run(int argc, const char* const* argv) {
  CLI::App app{"Edgescale: a control server for Tailscale clients", "edgescale"};
  app.require_subcommand(1);
  app.add_subcommand("version", "Print the version")->callback(print_version);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }
  return kExitOk;
}

}  // namespace es::cli

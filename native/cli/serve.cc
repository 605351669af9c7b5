#include "native/cli/serve.h"

#include "native/cli/app.h"
#include "native/cli/origin.h"
#include "native/cli/version.h"

#include <csignal>
#include <exception>
#include <memory>
#include <pthread.h>
#include <utility>

namespace es::cli {
namespace {

// Below the 10 s after which most supervisors kill.
constexpr Millis kGrace{8000};

// Blocked in every thread that is made from here on; the main thread waits for them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

void reload(Origin& origin, telemetry::Log& log, const std::optional<std::string>& config_path) {
  const LoadedConfig fresh = load_config(config_path, process_surroundings());
  for (const Problem& p : fresh.problems) log.error("reload", {{"problem", to_text(p)}});
  if (!fresh.ok()) {
    log.error("reload refused: the configuration is wrong, the running one stays");
    return;
  }
  const Result<void, std::string> done = origin.reload(fresh.config);
  if (done.ok()) {
    log.info("reloaded", {{"config", fresh.file}});
  } else {
    log.error("reload refused, the running configuration stays", {{"reason", done.error()}});
  }
}

int run(const LoadedConfig& loaded, const std::optional<std::string>& config_path,
        const sigset_t& signals, telemetry::Log& log) {
  log.info("edgescale",
           {{"version", version().version}, {"commit", version().commit}, {"config", loaded.file}});
  auto opened = Origin::open(loaded.config, log);
  if (!opened.ok()) {
    log.error("cannot start", {{"reason", opened.error()}});
    return kExitError;
  }
  const std::unique_ptr<Origin> origin = std::move(opened).value();
  origin->start();
  log.info("ready");
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      reload(*origin, log, config_path);
      continue;
    }
    log.info("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
    origin->stop(kGrace);
    log.info("stopped");
    return kExitOk;
  }
}

}  // namespace

int serve(const LoadedConfig& loaded, const std::optional<std::string>& config_path) {
  // First of all: a thread that is made earlier would take them.
  const sigset_t signals = block_signals();
  const std::unique_ptr<telemetry::Log> log = make_log(loaded.config);
  try {
    return run(loaded, config_path, signals, *log);
  } catch (const std::exception& e) {
    log->error("failed", {{"what", e.what()}});
    return kExitError;
  }
}

}  // namespace es::cli

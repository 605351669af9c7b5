// The load tool: `storm control ...` and `storm relay ...` drive one server that runs already, and
// print what they measured as one JSON object. tests/bench/storm/run starts servers and compares.
#include "tests/bench/storm/control_load.h"
#include "tests/bench/storm/relay_load.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <exception>

namespace es::storm {
namespace {

nlohmann::json to_json(const ControlReport& r) {
  return {{"populate_seconds", r.populate_seconds},
          {"idle_cpu_seconds", r.idle_cpu_seconds},
          {"idle_rss_mb", r.idle_rss_mb},
          {"idle_anon_mb", r.idle_anon_mb},
          {"peak_rss_mb", r.peak_rss_mb},
          {"total_cpu_seconds", r.total_cpu_seconds},
          {"change_all_ms", r.change_all_ms},
          {"change_median_ms", r.change_median_ms},
          {"reconnect_ms", r.reconnect_ms},
          {"reconnect_median_ms", r.reconnect_median_ms},
          {"reconnect_cpu_seconds", r.reconnect_cpu_seconds},
          {"join_ms", r.join_ms},
          {"join_all_ms", r.join_all_ms},
          {"first_map_bytes", r.first_map_bytes},
          {"broken_streams", r.broken_streams},
          {"last_break", r.last_break}};
}

nlohmann::json to_json(const RelayReport& r) {
  return {{"packets_per_second", r.packets_per_second},
          {"packets_per_cpu_second", r.packets_per_cpu_second},
          {"lost", r.lost},
          {"rss_mb", r.rss_mb}};
}

int run(int argc, char** argv) {
  CLI::App app("drives a control server or a DERP relay");
  app.require_subcommand(1);
  ControlOptions control;
  CLI::App& control_command = *app.add_subcommand("control", "N clients of a control server");
  control_command.add_option("--port", control.port)->required();
  control_command.add_option("--pid", control.server_pid, "the server's")->required();
  control_command.add_option("--key", control.auth_key, "a reusable pre-auth key")->required();
  control_command.add_option("--nodes", control.nodes);
  control_command.add_option("--joins", control.joins);
  control_command.add_option("--changes", control.changes);
  control_command.add_option("--reconnects", control.reconnects);
  int64_t settle = control.settle.count();
  int64_t idle = control.idle.count();
  control_command.add_option("--settle", settle, "seconds");
  control_command.add_option("--idle", idle, "seconds");
  RelayOptions relay;
  CLI::App& relay_command = *app.add_subcommand("relay", "two clients of a DERP relay");
  relay_command.add_option("--port", relay.port)->required();
  relay_command.add_option("--pid", relay.server_pid, "the server's")->required();
  relay_command.add_option("--packet", relay.packet_bytes, "bytes");
  relay_command.add_option("--window", relay.window, "packets under way; 0: no limit");
  int64_t time = relay.time.count();
  relay_command.add_option("--seconds", time);
  CLI11_PARSE(app, argc, argv);
  control.settle = std::chrono::seconds(settle);
  control.idle = std::chrono::seconds(idle);
  relay.time = std::chrono::seconds(time);
  const nlohmann::json report =
      control_command ? to_json(run_control_load(control)) : to_json(run_relay_load(relay));
  std::puts(report.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace es::storm

int main(int argc, char** argv) {
  try {
    return es::storm::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "storm: %s\n", error.what());
    return 1;
  }
}

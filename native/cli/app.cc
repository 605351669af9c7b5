#include "native/cli/app.h"

#include "common/base/bytes.h"
#include "common/base/hex.h"
#include "native/cli/client.h"
#include "native/cli/command_line.h"
#include "native/cli/commands.h"
#include "native/cli/completion.h"
#include "native/cli/config_load.h"
#include "native/cli/output.h"
#include "native/cli/policy_bypass.h"
#include "native/cli/policy_command.h"
#include "native/cli/serve.h"
#include "native/cli/values.h"
#include "native/cli/version.h"

#include <nlohmann/json.hpp>
#include <openssl/rand.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

namespace es::cli {
namespace {

void print(Io& io, const Invocation& in, const Json& data, const std::string& text) {
  io.out += in.format == Format::kText ? text + "\n" : render_data(data, in.format);
}

int run_version(const Invocation& in, Io& io) {
  const Version v = version();
  const std::string commit(v.commit);
  print(io, in,
        Json{{"version", v.version},
             {"commit", v.commit},
             {"buildTime", v.build_time},
             {"dirty", v.dirty}},
        std::string(v.version) + "\ncommit: " + commit + (v.dirty ? " (modified)" : "") +
            "\nbuild time: " + std::string(v.build_time));
  return kExitOk;
}

Json problems_json(const std::vector<Problem>& problems) {
  Json list = Json::array();
  for (const Problem& p : problems) {
    list.push_back({{"file", p.file},
                    {"line", p.line},
                    {"column", p.column},
                    {"key", p.key},
                    {"reason", p.reason}});
  }
  return list;
}

int run_configtest(const Invocation& in, const LoadedConfig& loaded, Io& io) {
  if (in.format != Format::kText) {
    io.out += render_data(Json{{"file", loaded.file},
                               {"ok", loaded.ok()},
                               {"problems", problems_json(loaded.problems)},
                               {"warnings", problems_json(loaded.warnings)}},
                          in.format);
    return loaded.ok() ? kExitOk : kExitError;
  }
  for (const Problem& p : loaded.problems) io.err += printable(to_text(p)) + "\n";
  for (const Problem& p : loaded.warnings) io.err += "warning: " + printable(to_text(p)) + "\n";
  if (!loaded.ok()) {
    io.err += std::to_string(loaded.problems.size()) + " to fix\n";
    return kExitError;
  }
  io.out += "the configuration is good: " +
            (loaded.file.empty() ? "no file, the defaults" : loaded.file) + "\n";
  return kExitOk;
}

int run_generate(const Invocation& in, Io& io) {
  uint8_t key[32];
  if (RAND_priv_bytes(key, sizeof key) != 1) {
    report_error("the system's random source failed", in.format, io);
    return kExitError;
  }
  // Clamped as RFC 7748 section 5 has it, which is the form that Tailscale's tools write.
  key[0] &= 0xf8;
  key[31] = static_cast<uint8_t>((key[31] & 0x7f) | 0x40);
  const std::string text = "privkey:" + hex_encode(key);
  wipe(key);
  print(io, in, Json{{"private_key", text}}, text);
  return kExitOk;
}

// The server may run as root with its default socket while this user's default is another.
std::string socket_path(const LoadedConfig& loaded) {
  const std::string system_wide = "/var/run/edgescale/edgescale.sock";
  std::error_code error;
  const bool ours = std::filesystem::exists(loaded.config.unix_socket, error);
  if (!ours && loaded.file.empty() && std::filesystem::exists(system_wide, error)) {
    return system_wide;
  }
  return loaded.config.unix_socket;
}

Endpoint endpoint_of(const Invocation& in, const LoadedConfig& loaded) {
  const CliConfig& c = loaded.config.cli;
  Endpoint endpoint;
  endpoint.socket_path = socket_path(loaded);
  endpoint.url = in.address.value_or(c.address);
  // Headscale's address was HOST:PORT, always with TLS.
  if (!endpoint.url.empty() && endpoint.url.find("://") == std::string::npos) {
    endpoint.url = "https://" + endpoint.url;
  }
  endpoint.api_key = in.api_key.value_or(c.api_key);
  endpoint.insecure = in.insecure || c.insecure;
  endpoint.timeout = in.timeout.value_or(c.timeout);
  return endpoint;
}

std::optional<bool> ask(const std::string& question) {
  if (isatty(STDIN_FILENO) == 0) return std::nullopt;
  std::cerr << question << " [y/N] " << std::flush;
  std::string line;
  if (!std::getline(std::cin, line)) return false;
  return line == "y" || line == "Y" || line == "yes";
}

std::string see_configtest(const Invocation& in) {
  return ": see 'edgescale configtest" +
         (in.config_path ? " --config " + printable(*in.config_path) : std::string()) + "'";
}

int run_with_server(const Invocation& in, const LoadedConfig& loaded, Io& io) {
  const Endpoint endpoint = endpoint_of(in, loaded);
  // Without it this would be about another server than the one that is meant.
  if (loaded.unread && endpoint.url.empty()) {
    report_error("the configuration " + loaded.file + " " + loaded.problems.front().reason +
                     ": name the server's with --config, or its URL with --address",
                 in.format, io);
    return kExitError;
  }
  // A mistake elsewhere in the file is no reason not to talk to a running server.
  if (!loaded.ok()) {
    io.err += "warning: the configuration has " + std::to_string(loaded.problems.size()) +
              (loaded.problems.size() == 1 ? " mistake" : " mistakes") + see_configtest(in) + "\n";
  }
  if (!endpoint.url.empty() && endpoint.api_key.empty()) {
    report_error("talking to " + endpoint.url +
                     " needs an API key: set HEADSCALE_CLI_API_KEY, or say --api-key; 'edgescale "
                     "apikeys create' on the server makes one",
                 in.format, io);
    return kExitError;
  }
  io.call = [&endpoint](std::string_view method, std::string_view target, std::string_view body) {
    return call(endpoint, method, target, body);
  };
  io.confirm = ask;
  io.now = std::chrono::floor<Millis>(std::chrono::system_clock::now());
  return run_remote(in, io);
}

// What the server would answer, from its database, while it does not run.
int run_without_server(const Invocation& in, const LoadedConfig& loaded, Io& io) {
  if (!loaded.ok()) {
    report_error("the configuration is wrong" + see_configtest(in), in.format, io);
    return kExitError;
  }
  const auto bypass = PolicyBypass::open(loaded.config);
  if (!bypass.ok()) {
    report_error(bypass.error(), in.format, io);
    return kExitError;
  }
  io.now = std::chrono::floor<Millis>(std::chrono::system_clock::now());
  io.call = [&](std::string_view method, std::string_view, std::string_view body) {
    return Result<Answer, CallError>((*bypass)->call(method, body, io.now));
  };
  const int code = run_remote(in, io);
  if (code == kExitOk && in.command == Command::kPolicySet &&
      loaded.config.policy.mode != "database") {
    io.err += "warning: policy.mode is \"" + loaded.config.policy.mode +
              "\": the server does not read the policy from the database\n";
  }
  return code;
}

int run_serve(const Invocation& in, const LoadedConfig& loaded, Io& io) {
  for (const Problem& p : loaded.warnings) io.err += "warning: " + printable(to_text(p)) + "\n";
  for (const Problem& p : loaded.problems) io.err += printable(to_text(p)) + "\n";
  if (!loaded.ok()) {
    report_error("the configuration is wrong: nothing was started", Format::kText, io);
    return kExitError;
  }
  std::fputs(io.err.c_str(), stderr);
  io.err.clear();
  return serve(loaded, in.config_path);
}

int run_invocation(const Invocation& in, Io& io) {
  switch (in.command) {
    case Command::kVersion:
      return run_version(in, io);
    case Command::kCompletion:
      io.out += completion_script(command_shape(), in.shell);
      return kExitOk;
    case Command::kGeneratePrivateKey:
      return run_generate(in, io);
    case Command::kPolicyCompile:
      return policy_compile({in.policy_file, in.topology_file}, io.out, io.err);
    case Command::kPolicyCheck:
      if (in.topology_file.empty() && !in.offline) break;
      return policy_check({in.policy_file, in.topology_file}, io.out, io.err);
    default:
      break;
  }
  const LoadedConfig loaded = load_config(in.config_path, process_surroundings());
  switch (in.command) {
    case Command::kConfigTest:
      return run_configtest(in, loaded, io);
    case Command::kDumpConfig:
      io.out += dump_config(loaded.config, Secrets::kMasked);
      return loaded.ok() ? kExitOk : kExitError;
    case Command::kServe:
      return run_serve(in, loaded, io);
    default:
      return in.bypass ? run_without_server(in, loaded, io) : run_with_server(in, loaded, io);
  }
}

// False when stdout cannot take it: a full disk must not look like success.
bool write_all(const std::string& text, std::FILE* file) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

}  // namespace

int run(int argc, const char* const* argv) {
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  auto parsed = parse_command_line(args);
  if (const auto* end = std::get_if<ParseEnd>(&parsed)) {
    write_all(end->text, end->exit_code == kExitOk ? stdout : stderr);
    return end->exit_code;
  }
  const Invocation& in = std::get<Invocation>(parsed);
  Io io;
  int code = kExitError;
  try {
    code = run_invocation(in, io);
  } catch (const std::exception& e) {
    report_error(std::string("unexpected: ") + e.what(), in.format, io);
  }
  write_all(io.err, stderr);
  if (!write_all(io.out, stdout)) {
    std::perror("Error: cannot write to stdout");
    return kExitError;
  }
  return code;
}

}  // namespace es::cli

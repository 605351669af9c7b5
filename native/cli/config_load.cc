#include "native/cli/config_load.h"

#include "common/limit/limiter.h"
#include "native/cli/config_keys.h"
#include "native/cli/config_values.h"
#include "native/cli/file_text.h"
#include "native/cli/values.h"
#include "native/cli/yaml_tree.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <unistd.h>

extern char** environ;

namespace es::cli {
namespace {

namespace fs = std::filesystem;

std::string_view lookup(const Environment& environment, std::string_view name) {
  for (const auto& [key, value] : environment) {
    if (key == name) return value;
  }
  return {};
}

bool is_under(std::string_view name, std::string_view section) {
  return name == section ||
         (name.size() > section.size() && name.starts_with(section) && name[section.size()] == '.');
}

std::string variable_name(std::string_view key) {
  std::string name;
  for (const char c : key) {
    name += c == '.' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

// Where a key was set.
struct Origin {
  std::string file;
  int line = 0;
  int column = 0;
};

class Loader {
 public:
  Loader(LoadedConfig& out, const Surroundings& surroundings)
      : out_(out), surroundings_(surroundings), keys_(config_keys(out.config)) {}

  void read_text(std::string_view text) {
    auto tree = parse_yaml(text);
    if (!tree.ok()) {
      const YamlError& e = tree.error();
      out_.problems.push_back({out_.file, e.line, e.column, "", e.reason});
      return;
    }
    if (tree->kind == YamlNode::Kind::kNull) return;
    if (tree->kind != YamlNode::Kind::kMap) {
      out_.problems.push_back({out_.file, tree->line, tree->column, "",
                               "expected keys such as \"listen_addr: 127.0.0.1:8080\""});
      return;
    }
    walk(*tree, "");
  }

  void read_environment() {
    for (const char* prefix : {"HEADSCALE_", "EDGESCALE_"}) {
      for (const Key& key : keys_) read_variable(key, prefix + variable_name(key.name));
    }
    // The name that the Worker's secret has.
    if (variable("EDGESCALE_EDGE_TOKEN_KEY").empty()) {
      if (const Key* key = find("edge.token_key")) read_variable(*key, "EDGE_TOKEN_KEY");
    }
    warn_of_misspelt_variables();
  }

  void finish() {
    Config& c = out_.config;
    fill_paths();
    if (c.server_url.empty()) c.server_url = default_url();
    if (c.database.type == "sqlite3") c.database.type = "sqlite";
    // A key in the environment wins over a path in the file.
    if (origin_file("edge.token_key") == "environment" &&
        origin_file("edge.token_key_path") != "environment") {
      c.edge.token_key_path.clear();
    }
    check_unsupported();
    check_pairs();
    check_names();
    warn();
    const auto by_place = [](const Problem& a, const Problem& b) { return a.line < b.line; };
    std::stable_sort(out_.problems.begin(), out_.problems.end(), by_place);
    std::stable_sort(out_.warnings.begin(), out_.warnings.end(), by_place);
  }

 private:
  const Key* find(std::string_view name) const {
    const auto it =
        std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.name == name; });
    return it == keys_.end() ? nullptr : &*it;
  }
  std::string_view variable(std::string_view name) const {
    return lookup(surroundings_.environment, name);
  }
  bool is_set(const std::string& name) const { return origins_.contains(name); }
  std::string_view origin_file(const std::string& name) const {
    const auto it = origins_.find(name);
    return it == origins_.end() ? std::string_view() : std::string_view(it->second.file);
  }

  void note(std::vector<Problem>& list, const std::string& key, std::string reason) {
    const auto it = origins_.find(key);
    const Origin origin = it == origins_.end() ? Origin{out_.file, 0, 0} : it->second;
    list.push_back({origin.file, origin.line, origin.column, key, std::move(reason)});
  }
  void problem(const std::string& key, std::string reason) {
    note(out_.problems, key, std::move(reason));
  }

  void walk(const YamlNode& section, const std::string& prefix) {
    for (const YamlEntry& entry : section.entries) visit(entry, prefix + entry.key);
  }

  void visit(const YamlEntry& entry, std::string name) {
    for (const Renamed& renamed : renamed_keys()) {
      if (name != renamed.old_name) continue;
      out_.warnings.push_back({out_.file, entry.line, entry.column, name,
                               "is called " + std::string(renamed.name) + " now"});
      name = renamed.name;
    }
    if (const Key* key = find(name)) return set(*key, entry, name);
    for (const Retired& retired : retired_keys()) {
      if (is_under(name, retired.name)) {
        out_.problems.push_back(
            {out_.file, entry.line, entry.column, name, std::string(retired.reason)});
        return;
      }
    }
    const auto unused = unused_keys();
    if (std::find(unused.begin(), unused.end(), name) != unused.end()) {
      out_.warnings.push_back(
          {out_.file, entry.line, entry.column, name, "has no effect: there is no gRPC here"});
      return;
    }
    const bool section = std::any_of(keys_.begin(), keys_.end(),
                                     [&](const Key& k) { return is_under(k.name, name); });
    if (!section) return unknown(entry, name);
    if (entry.value.kind == YamlNode::Kind::kMap) return walk(entry.value, name + ".");
    if (entry.value.kind != YamlNode::Kind::kNull) {
      out_.problems.push_back({out_.file, entry.value.line, entry.value.column, name,
                               "is a section: expected keys under it"});
    }
  }

  void set(const Key& key, const YamlEntry& entry, const std::string& name) {
    std::vector<ValueError> errors;
    set_from_yaml(key, entry.value, errors);
    for (const ValueError& e : errors) {
      out_.problems.push_back({out_.file, e.line, e.column, name, e.reason});
    }
    if (errors.empty() && entry.value.kind != YamlNode::Kind::kNull) {
      origins_[name] = {out_.file, entry.line, entry.column};
    }
  }

  // The component of a key at the level where the unknown one stands, or the same last component
  // elsewhere.
  std::string suggestion(const std::string& name) const {
    const size_t dot = name.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : name.substr(0, dot + 1);
    const std::string leaf = name.substr(parent.size());
    std::set<std::string_view> siblings;
    std::string_view elsewhere;
    for (const Key& key : keys_) {
      if (key.name.starts_with(parent)) {
        const std::string_view rest = key.name.substr(parent.size());
        siblings.insert(rest.substr(0, rest.find('.')));
      }
      if (key.name.ends_with("." + leaf) || key.name == leaf) elsewhere = key.name;
    }
    if (!elsewhere.empty()) return std::string(elsewhere);
    const std::vector<std::string_view> candidates(siblings.begin(), siblings.end());
    const std::string_view near = near_miss(leaf, candidates);
    return near.empty() ? std::string() : parent + std::string(near);
  }

  void unknown(const YamlEntry& entry, const std::string& name) {
    std::string reason = "there is no such key";
    if (const std::string meant = suggestion(name); !meant.empty()) {
      reason += ": did you mean " + meant + "?";
    }
    out_.problems.push_back({out_.file, entry.line, entry.column, name, std::move(reason)});
  }

  void read_variable(const Key& key, const std::string& name) {
    const std::string_view text = variable(name);
    if (text.empty()) return;
    const std::string reason = set_from_text(key, text);
    if (!reason.empty()) {
      out_.problems.push_back({"environment", 0, 0, name, reason});
    } else {
      origins_[std::string(key.name)] = {"environment", 0, 0};
    }
  }

  // Only of what is nearly a key: other programs may have variables of these prefixes.
  void warn_of_misspelt_variables() {
    std::vector<std::string> names;
    for (const Key& key : keys_) names.push_back(variable_name(key.name));
    const std::vector<std::string_view> known(names.begin(), names.end());
    for (const auto& [name, value] : surroundings_.environment) {
      for (const std::string_view prefix : {"HEADSCALE_", "EDGESCALE_"}) {
        if (!name.starts_with(prefix)) continue;
        const std::string_view rest = std::string_view(name).substr(prefix.size());
        const std::string_view near = near_miss(rest, known);
        if (near.empty() || near == rest) continue;
        out_.warnings.push_back({"environment", 0, 0, name,
                                 "there is no such variable: did you mean " + std::string(prefix) +
                                     std::string(near) + "?"});
      }
    }
  }

  std::string home() const { return std::string(variable("HOME")); }

  std::string absolute(const std::string& path) const {
    if (path.starts_with("~/") && !home().empty()) return home() + path.substr(1);
    if (path.empty() || path.starts_with('/') || out_.file.empty()) return path;
    return (fs::path(out_.file).parent_path() / path).lexically_normal().string();
  }

  std::string default_state_dir() {
    if (surroundings_.is_root) return "/var/lib/edgescale";
    if (const auto xdg = variable("XDG_STATE_HOME"); xdg.starts_with('/')) {
      return std::string(xdg) + "/edgescale";
    }
    if (!home().empty()) return home() + "/.local/state/edgescale";
    problem("state_dir", "there is no HOME to put it under: set it");
    return "edgescale-state";
  }

  void fill_paths() {
    Config& c = out_.config;
    for (const Key& key : keys_) {
      if (key.rule != Rule::kPath && key.rule != Rule::kPathOrNone) continue;
      if (auto* const* text = std::get_if<std::string*>(&key.target)) **text = absolute(**text);
      if (auto* const* list = std::get_if<TextList*>(&key.target)) {
        for (std::string& path : **list) path = absolute(path);
      }
    }
    if (c.state_dir.empty()) c.state_dir = default_state_dir();
    const auto in_state = [&](std::string& path, const char* name) {
      if (path.empty()) path = c.state_dir + "/" + name;
    };
    in_state(c.noise.private_key_path, "noise_private.key");
    in_state(c.derp.server.private_key_path, "derp_server_private.key");
    in_state(c.database.sqlite.path, "db.sqlite");
    in_state(c.acme.cache_dir, "cache");
    const bool system_wide = surroundings_.is_root && !is_set("state_dir");
    if (c.unix_socket.empty() && system_wide) c.unix_socket = "/var/run/edgescale/edgescale.sock";
    in_state(c.unix_socket, "edgescale.sock");
  }

  // Nobody can reach 0.0.0.0; the loopback at least answers here.
  std::string default_url() const {
    const Config& c = out_.config;
    auto listen = parse_listen_address(c.listen_addr).value_or(ListenAddress{"127.0.0.1", 8080});
    if (listen.port == 0) return {};  // the kernel will choose: no URL says where
    if (listen.host.empty() || listen.host == "0.0.0.0" || listen.host == "::") {
      listen.host = "127.0.0.1";
    }
    const bool bracket = listen.host.find(':') != std::string::npos;
    return std::string(c.tls.cert_path.empty() ? "http://" : "https://") + (bracket ? "[" : "") +
           listen.host + (bracket ? "]" : "") + ":" + std::to_string(listen.port);
  }

  void check_unsupported() {
    const Config& c = out_.config;
    if (c.database.type == "postgres") {
      problem("database.type", "PostgreSQL is not supported yet: use sqlite");
    }
    if (!c.oidc.issuer.empty()) {
      problem("oidc.issuer", "log-in through OIDC is not supported yet: remove the oidc section");
    }
    if (!c.acme.hostname.empty()) {
      problem("tls_letsencrypt_hostname",
              "fetching certificates is not supported yet: set tls_cert_path and tls_key_path, or "
              "let the proxy in front end TLS");
    }
    if (!c.database.sqlite.write_ahead_log) {
      problem(
          "database.sqlite.write_ahead_log",
          "the store always uses a write-ahead log: what was acknowledged must survive a crash");
    }
  }

  void check_pairs() {
    const Config& c = out_.config;
    if (c.tls.cert_path.empty() != c.tls.key_path.empty()) {
      problem(c.tls.cert_path.empty() ? "tls_key_path" : "tls_cert_path",
              "tls_cert_path and tls_key_path go together: set both or none");
    }
    if (!c.edge.token_key.empty() && !c.edge.token_key_path.empty()) {
      problem("edge.token_key_path", "edge.token_key is set too: keep one of them");
    }
    if (!c.oidc.client_secret.empty() && !c.oidc.client_secret_path.empty()) {
      problem("oidc.client_secret_path", "oidc.client_secret is set too: keep one of them");
    }
    if (!c.dns.extra_records.empty() && !c.dns.extra_records_path.empty()) {
      problem("dns.extra_records_path", "dns.extra_records is set too: keep one of them");
    }
    if (c.prefixes.v4.empty() && c.prefixes.v6.empty()) {
      problem("prefixes.v4", "prefixes.v4 and prefixes.v6 are both empty: set at least one");
    }
    const auto listen = parse_listen_address(c.listen_addr);
    if (listen && listen->port != 0 && c.listen_addr == c.metrics_listen_addr) {
      problem("metrics_listen_addr", "is the same as listen_addr");
    }
    check_rate("limits.requests", c.limits.requests);
    check_rate("limits.auth_failures", c.limits.auth_failures);
    check_rate("limits.verifications", c.limits.verifications);
    if (c.limits.connections.per_address > c.limits.connections.total) {
      problem("limits.connections.per_address", "is larger than limits.connections.total");
    }
    if (c.limits.half_open.per_address > c.limits.half_open.total) {
      problem("limits.half_open.per_address", "is larger than limits.half_open.total");
    }
    if (c.limits.waiting.per_address > c.limits.waiting.total) {
      problem("limits.waiting.per_address", "is larger than limits.waiting.total");
    }
    if (c.node.ha_probe_interval.count() != 0 && c.node.ha_probe_interval < Seconds(2)) {
      problem("node.routes.ha.probe_interval", "must be at least 2s, or 0 for off");
    }
    constexpr size_t kMaxSocketPath = 107;  // sun_path of sockaddr_un, less the final NUL
    if (c.unix_socket.size() > kMaxSocketPath) {
      problem("unix_socket", "is longer than the 107 bytes that a socket's path may have");
    }
  }

  void check_rate(const std::string& section, const RateConfig& rate) {
    const Status status = limit::validate_limit({rate.max, rate.window, rate.burst});
    if (status.ok()) return;
    problem(is_set(section + ".burst") ? section + ".burst" : section + ".max",
            std::string(status.error().what));
  }

  void check_names() {
    const Config& c = out_.config;
    if (c.dns.magic_dns && c.dns.base_domain.empty()) {
      problem("dns.base_domain", "is empty: dns.magic_dns needs it");
    }
    const auto url = parse_http_url(c.server_url);
    if (!url || c.dns.base_domain.empty()) return;
    if (url->host == c.dns.base_domain || url->host.ends_with("." + c.dns.base_domain)) {
      problem(is_set("server_url") ? "server_url" : "dns.base_domain",
              "server_url must not be in dns.base_domain: clients would look for the server inside "
              "the tailnet that it serves");
    }
  }

  void warn() {
    Config untouched;
    const std::vector<Key> defaults = config_keys(untouched);
    std::set<std::string_view> sections;
    for (size_t i = 0; i < keys_.size(); ++i) {
      const Key& key = keys_[i];
      const std::string name(key.name);
      if (!is_set(name) || key.effect == Effect::kUsed || key.rule == Rule::kPath ||
          same_value(key, defaults[i])) {
        continue;
      }
      if (key.effect == Effect::kNone) {
        note(out_.warnings, name, "has no effect here");
      } else if (sections.insert(key.name.substr(0, key.name.find('.'))).second) {
        note(out_.warnings, name,
             "is checked and kept, but this version does not have the part that uses it yet");
      }
    }
    if ((out_.config.unix_socket_permission.bits & 02) != 0) {
      note(out_.warnings, "unix_socket_permission",
           "lets everybody on this machine administer the server");
    }
    if (out_.config.derp.server.enabled && out_.config.server_url.starts_with("http://")) {
      note(out_.warnings, "derp.server.enabled",
           "serves nobody: clients reach a relay by HTTPS only, and server_url is http://");
    }
  }

  LoadedConfig& out_;
  const Surroundings& surroundings_;
  std::vector<Key> keys_;
  std::map<std::string, Origin> origins_;
};

void load(LoadedConfig& out, std::optional<std::string_view> text,
          const Surroundings& surroundings) {
  Loader loader(out, surroundings);
  if (text) loader.read_text(*text);
  loader.read_environment();
  loader.finish();
}

std::optional<std::string> search_path(const Surroundings& surroundings) {
  std::vector<std::string> folders{"/etc/edgescale", "/etc/headscale"};
  if (const auto home = lookup(surroundings.environment, "HOME"); !home.empty()) {
    folders.push_back(std::string(home) + "/.edgescale");
    folders.push_back(std::string(home) + "/.headscale");
  }
  folders.push_back(".");
  for (const std::string& folder : folders) {
    for (const char* name : {"config.yaml", "config.yml"}) {
      const std::string path = folder == "." ? std::string(name) : folder + "/" + name;
      std::error_code error;
      if (fs::is_regular_file(path, error)) return path;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string to_text(const Problem& problem) {
  std::string out = problem.file;
  if (problem.line > 0) {
    out += ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column);
  }
  for (const std::string& part : {problem.key, problem.reason}) {
    if (part.empty()) continue;
    if (!out.empty()) out += ": ";
    out += part;
  }
  return out;
}

Config default_config(const Surroundings& surroundings) {
  LoadedConfig out;
  load(out, std::nullopt,
       {surroundings.is_root,
        {{"HOME", std::string(lookup(surroundings.environment, "HOME"))},
         {"XDG_STATE_HOME", std::string(lookup(surroundings.environment, "XDG_STATE_HOME"))}}});
  return std::move(out.config);
}

LoadedConfig parse_config(std::string_view text, std::string_view file,
                          const Surroundings& surroundings) {
  LoadedConfig out;
  out.file = std::string(file);
  load(out, text, surroundings);
  return out;
}

LoadedConfig load_config(const std::optional<std::string>& path, const Surroundings& surroundings) {
  std::optional<std::string> chosen = path;
  for (const char* name : {"EDGESCALE_CONFIG", "HEADSCALE_CONFIG"}) {
    const auto value = lookup(surroundings.environment, name);
    if (!chosen && !value.empty()) chosen = std::string(value);
  }
  if (!chosen) chosen = search_path(surroundings);
  LoadedConfig out;
  if (!chosen) {
    load(out, std::nullopt, surroundings);
    return out;
  }
  std::error_code error;
  const fs::path absolute = fs::absolute(*chosen, error);
  out.file = error ? *chosen : absolute.lexically_normal().string();
  const auto file = read_file_text(out.file, kMaxConfigBytes);
  if (file.ok()) {
    load(out, file->text, surroundings);
  } else {
    load(out, std::nullopt, surroundings);
    out.unread = true;
    out.problems.insert(out.problems.begin(), {out.file, 0, 0, "", file.error()});
  }
  return out;
}

Surroundings process_surroundings() {
  Surroundings surroundings;
  surroundings.is_root = geteuid() == 0;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    surroundings.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return surroundings;
}

std::vector<std::string> config_key_names() {
  Config config;
  std::vector<std::string> names;
  for (const Key& key : config_keys(config)) names.emplace_back(key.name);
  return names;
}

}  // namespace es::cli

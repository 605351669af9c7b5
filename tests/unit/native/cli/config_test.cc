#include "native/cli/config_keys.h"
#include "native/cli/config_load.h"
#include "native/cli/config_reload.h"
#include "native/cli/config_values.h"
#include "native/cli/yaml_tree.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <set>

namespace es::cli {
namespace {

const char* const kTokenKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const Surroundings kRoot{true, {}};
const Surroundings kPerson{false, {{"HOME", "/home/ann"}}};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> texts(const std::vector<Problem>& problems) {
  std::vector<std::string> out;
  for (const Problem& p : problems) out.push_back(to_text(p));
  return out;
}

void flatten(const YamlNode& node, const std::string& prefix, const std::set<std::string>& names,
             std::set<std::string>& out) {
  for (const YamlEntry& entry : node.entries) {
    const std::string name = prefix + entry.key;
    if (names.contains(name)) {
      out.insert(name);
    } else {
      flatten(entry.value, name + ".", names, out);
    }
  }
}

// Every key of both holds the same value.
void require_same(Config a, Config b) {
  const auto left = config_keys(a);
  const auto right = config_keys(b);
  REQUIRE(left.size() == right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    INFO(left[i].name);
    CHECK(same_value(left[i], right[i]));
  }
}

}  // namespace

TEST_CASE("an empty file is the default configuration") {
  for (const char* text : {"", "\n# nothing\n", "---\n", "~", "database:\n", "log: {}\n"}) {
    INFO(text);
    const LoadedConfig loaded = parse_config(text, "c.yaml", kRoot);
    CHECK(texts(loaded.problems).empty());
    CHECK(texts(loaded.warnings).empty());
    require_same(loaded.config, default_config(kRoot));
  }
}

TEST_CASE("the defaults suit root and an unprivileged user") {
  const Config root = default_config(kRoot);
  CHECK(root.database.sqlite.path == "/var/lib/edgescale/db.sqlite");
  CHECK(root.noise.private_key_path == "/var/lib/edgescale/noise_private.key");
  CHECK(root.unix_socket == "/var/run/edgescale/edgescale.sock");
  CHECK(root.server_url == "http://127.0.0.1:8080");
  const Config person = default_config(kPerson);
  CHECK(person.database.sqlite.path == "/home/ann/.local/state/edgescale/db.sqlite");
  CHECK(person.unix_socket == "/home/ann/.local/state/edgescale/edgescale.sock");
  const Config xdg = default_config({false, {{"HOME", "/h"}, {"XDG_STATE_HOME", "/x"}}});
  CHECK(xdg.state_dir == "/x/edgescale");
  const LoadedConfig lost = parse_config("", "", {false, {}});
  CHECK(texts(lost.problems) ==
        std::vector<std::string>{"state_dir: there is no HOME to put it under: set it"});
}

TEST_CASE("the example lists every key with its default") {
  const std::string text = read("docs/config-example.yaml");
  const LoadedConfig loaded = parse_config(text, "docs/config-example.yaml", kRoot);
  CHECK(texts(loaded.problems).empty());
  CHECK(texts(loaded.warnings).empty());
  require_same(loaded.config, default_config(kRoot));

  const auto list = config_key_names();
  const std::set<std::string> names(list.begin(), list.end());
  CHECK(names.size() == list.size());
  const auto tree = parse_yaml(text);
  REQUIRE(tree.ok());
  std::set<std::string> given;
  flatten(*tree, "", names, given);
  for (const std::string& name : names) {
    INFO(name);
    CHECK(given.contains(name));
  }
}

TEST_CASE("a dump parses back to the same configuration") {
  const char* const text = R"(
server_url: https://vpn.example.com
trusted_proxies: [10.0.0.0/8, "fd00::/8"]
unix_socket_permission: 0700
tls_cert_path: "/a dir/cert: x.pem"
tls_key_path: /k.pem
limits: {requests: {max: 7, window: 1h30m, burst: 0}, body_timeout: 1500ms}
dns:
  base_domain: ts.example.org
  nameservers: {global: [1.1.1.1], split: {corp.example: [10.0.0.53, 10.0.0.54]}}
  extra_records:
    - {name: grafana.ts.example.org, type: A, value: 100.64.0.3}
oidc: {extra_params: {prompt: "log \"in\""}}
edge: {token_key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff}
)";
  const LoadedConfig loaded = parse_config(text, "/etc/edgescale/config.yaml", kRoot);
  REQUIRE(texts(loaded.problems).empty());
  CHECK(loaded.config.limits.requests.window == Millis(5400000));
  const std::string dump = dump_config(loaded.config, Secrets::kShown);
  const LoadedConfig again = parse_config(dump, "/etc/edgescale/config.yaml", kRoot);
  INFO(dump);
  CHECK(texts(again.problems).empty());
  require_same(again.config, loaded.config);

  const std::string masked = dump_config(loaded.config, Secrets::kMasked);
  CHECK(masked.find("00112233") == std::string::npos);
  CHECK(masked.find("token_key: \"***\"") != std::string::npos);
}

TEST_CASE("relative paths are under the config file's folder, and ~ is the home") {
  const LoadedConfig loaded = parse_config(
      "database: {sqlite: {path: ./db/x.sqlite}}\nunix_socket: ~/s.sock\nderp: {paths: [d.yaml]}\n",
      "/srv/es/config.yaml", kPerson);
  CHECK(loaded.config.database.sqlite.path == "/srv/es/db/x.sqlite");
  CHECK(loaded.config.unix_socket == "/home/ann/s.sock");
  CHECK(loaded.config.derp.paths == TextList{"/srv/es/d.yaml"});
}

TEST_CASE("paths that are not given follow state_dir") {
  const Config c = parse_config("state_dir: /srv/state", "c.yaml", kRoot).config;
  CHECK(c.database.sqlite.path == "/srv/state/db.sqlite");
  CHECK(c.unix_socket == "/srv/state/edgescale.sock");
}

TEST_CASE("the environment wins over the file, and our prefix over Headscale's") {
  Surroundings s = kRoot;
  s.environment = {{"HEADSCALE_LISTEN_ADDR", "127.0.0.1:2"},
                   {"EDGESCALE_LISTEN_ADDR", "127.0.0.1:3"},
                   {"HEADSCALE_LOG_LEVEL", "debug"},
                   {"EDGESCALE_LOG_FORMAT", ""},
                   {"HEADSCALE_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.0/16"},
                   {"HEADSCALE_CLI_INSECURE", "1"},
                   {"HEADSCALE_URL", "http://100.64.0.10:8080"},
                   {"EDGE_TOKEN_KEY", kTokenKey}};
  const LoadedConfig loaded = parse_config(
      "listen_addr: 127.0.0.1:1\nlog: {level: warn, format: json}\nedge: {token_key_path: /f}\n",
      "c.yaml", s);
  CHECK(texts(loaded.problems).empty());
  CHECK(loaded.config.listen_addr == "127.0.0.1:3");
  CHECK(loaded.config.log.level == "debug");
  CHECK(loaded.config.log.format == "json");
  CHECK(loaded.config.trusted_proxies == TextList{"10.0.0.0/8", "192.168.0.0/16"});
  CHECK(loaded.config.cli.insecure);
  CHECK(loaded.config.edge.token_key == kTokenKey);
  CHECK(loaded.config.edge.token_key_path.empty());

  s.environment = {{"HEADSCALE_LIMITS_REQUESTS_MAX", "many"}};
  CHECK(texts(parse_config("", "c.yaml", s).problems) ==
        std::vector<std::string>{"environment: HEADSCALE_LIMITS_REQUESTS_MAX: expected a whole "
                                 "number, found \"many\""});
}

TEST_CASE("a variable that is nearly a key's is warned of, others are other programs'") {
  Surroundings s = kRoot;
  s.environment = {{"EDGESCALE_LISTEN_ADR", "127.0.0.1:1"}, {"HEADSCALE_LOG_LEVL", "debug"},
                   {"HEADSCALE_URL", "http://x"},           {"HEADSCALE_API_KEY", "k"},
                   {"EDGESCALE_CONFIG", "c.yaml"},          {"EDGESCALE_PORT", "tcp://10.0.0.1:80"},
                   {"EDGESCALE_SERVICE_HOST", "10.0.0.1"},  {"HEADSCALE_LOG_LEVEL", "info"}};
  const LoadedConfig loaded = parse_config("", "c.yaml", s);
  CHECK(texts(loaded.problems).empty());
  CHECK(texts(loaded.warnings) ==
        std::vector<std::string>{
            "environment: EDGESCALE_LISTEN_ADR: there is no such variable: did you mean "
            "EDGESCALE_LISTEN_ADDR?",
            "environment: HEADSCALE_LOG_LEVL: there is no such variable: did you mean "
            "HEADSCALE_LOG_LEVEL?"});
}

TEST_CASE("bad input is refused with place, key and reason") {
  struct Row {
    const char* text;
    std::vector<std::string> problems;
  };
  const Row rows[] = {
      {"listen_adr: 1", {"c:1:1: listen_adr: there is no such key: did you mean listen_addr?"}},
      {"log:\n  levl: info", {"c:2:3: log.levl: there is no such key: did you mean log.level?"}},
      {"header_timeout: 5s",
       {"c:1:1: header_timeout: there is no such key: did you mean limits.header_timeout?"}},
      {"qwertyuiop: 1", {"c:1:1: qwertyuiop: there is no such key"}},
      {"listen_addr: 8080",
       {"c:1:14: listen_addr: expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080, found "
        "\"8080\""}},
      {"listen_addr: [a]", {"c:1:14: listen_addr: expected one value, found a list"}},
      {"log: info", {"c:1:6: log: is a section: expected keys under it"}},
      {"log: {level: loud}",
       {"c:1:14: log.level: expected one of trace, debug, info, warn, error, found \"loud\""}},
      {"limits: {header_timeout: 30}",
       {"c:1:26: limits.header_timeout: a duration needs a unit, such as 30s, found \"30\""}},
      {"limits: {header_timeout: soon}",
       {"c:1:26: limits.header_timeout: expected a duration such as 30s, 1h30m or 90d, found "
        "\"soon\""}},
      {"limits: {header_timeout: 1ms}",
       {"c:1:26: limits.header_timeout: must be at least 100ms, found \"1ms\""}},
      {"limits: {requests: {max: -1}}",
       {"c:1:26: limits.requests.max: expected a whole number, found \"-1\""}},
      {"limits: {requests: {max: 0}}",
       {"c:1:26: limits.requests.max: must be between 1 and 3000, found \"0\""}},
      {"limits: {requests: {max: 3000}}",
       {"c:1:21: limits.requests.max: rate limit: max_requests + burst must be at most 3000"}},
      {"limits: {auth_failures: {max: 1000}}",
       {"c:1:26: limits.auth_failures.max: rate limit: burst is too small for so many "
        "max_requests: a steady client could be refused; raise burst to max_requests / 200"}},
      {"limits: {connections: {total: 5, per_address: 6}}",
       {"c:1:34: limits.connections.per_address: is larger than limits.connections.total"}},
      {"unix_socket_permission: 770",
       {"c:1:25: unix_socket_permission: expected an octal file mode such as 0770, found "
        "\"770\""}},
      {"disable_check_updates: yes",
       {"c:1:24: disable_check_updates: expected true or false, found \"yes\""}},
      {"trusted_proxies: [0.0.0.0/0, 10.1.2.3/8, nonsense]",
       {"c:1:19: trusted_proxies: a /0 would trust everybody to say who they are: name the "
        "proxies' own prefixes, found \"0.0.0.0/0\"",
        "c:1:30: trusted_proxies: the address has bits set beyond the prefix length, found "
        "\"10.1.2.3/8\"",
        "c:1:42: trusted_proxies: expected a prefix such as 10.0.0.0/8 or fd00::/8, found "
        "\"nonsense\""}},
      {"prefixes: {v4: 'fd00::/8'}",
       {"c:1:16: prefixes.v4: expected an IPv4 prefix such as 100.64.0.0/10, found \"fd00::/8\""}},
      {"prefixes: {v4: '', v6: ''}",
       {"c:1:12: prefixes.v4: prefixes.v4 and prefixes.v6 are both empty: set at least one"}},
      {"tls_cert_path: /c.pem",
       {"c:1:1: tls_cert_path: tls_cert_path and tls_key_path go together: set both or none"}},
      {"edge: {token_key: s3cret}",
       {"c:1:19: edge.token_key: expected 64 hexadecimal digits: 'openssl rand -hex 32' makes "
        "them"}},
      {"edge: {token_key: '0000000000000000000000000000000000000000000000000000000000000000'}",
       {"c:1:19: edge.token_key: is a placeholder: 'openssl rand -hex 32' makes a key"}},
      {"edge: {token_key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff, "
       "token_key_path: b}",
       {"c:1:85: edge.token_key_path: edge.token_key is set too: keep one of them"}},
      {"metrics_listen_addr: 127.0.0.1:8080",
       {"c:1:1: metrics_listen_addr: is the same as listen_addr"}},
      {"database: {type: postgres}",
       {"c:1:12: database.type: PostgreSQL is not supported yet: use sqlite"}},
      {"database: {type: mysql}",
       {"c:1:18: database.type: expected one of sqlite, sqlite3, postgres, found \"mysql\""}},
      {"database: {sqlite: {write_ahead_log: false}}",
       {"c:1:21: database.sqlite.write_ahead_log: the store always uses a write-ahead log: what "
        "was acknowledged must survive a crash"}},
      {"oidc: {issuer: 'https://id.example.com'}",
       {"c:1:8: oidc.issuer: log-in through OIDC is not supported yet: remove the oidc section"}},
      {"oidc: {client_secret: [hush]}",
       {"c:1:23: oidc.client_secret: expected one value, found a list"}},
      {"tls_letsencrypt_hostname: a.example.com",
       {"c:1:1: tls_letsencrypt_hostname: fetching certificates is not supported yet: set "
        "tls_cert_path and tls_key_path, or let the proxy in front end TLS"}},
      {"randomize_client_port: false",
       {"c:1:1: randomize_client_port: was removed: set \"randomizeClientPort\": true in the "
        "policy file instead"}},
      {"dns_config: {magic_dns: true}",
       {"c:1:1: dns_config: was removed: the section is called dns now, and some of its keys "
        "moved"}},
      {"oidc: {expiry: 1h}",
       {"c:1:8: oidc.expiry: was removed: the time that a log-in lasts is node.expiry now"}},
      {"server_url: https://a.example.com\ndns: {base_domain: example.com}",
       {"c:1:1: server_url: server_url must not be in dns.base_domain: clients would look for the "
        "server inside the tailnet that it serves"}},
      {"dns: {base_domain: ''}", {"c:1:7: dns.base_domain: is empty: dns.magic_dns needs it"}},
      {"dns: {extra_records: [{name: a.b, type: CNAME, value: c}]}",
       {"c:1:23: dns.extra_records: the record's type must be A or AAAA: clients ignore others"}},
      {"dns: {extra_records: [{name: a.b, type: A, value: '::1'}, {nam: x}]}",
       {"c:1:23: dns.extra_records: the record's value is not an address for its type",
        "c:1:60: dns.extra_records: a record has name, type and value, not \"nam\""}},
      {"node: {ephemeral: {inactivity_timeout: 65s}}",
       {"c:1:40: node.ephemeral.inactivity_timeout: must be at least 1m5s1ms, found \"65s\""}},
      {"node: {routes: {ha: {probe_interval: 1s}}}",
       {"c:1:22: node.routes.ha.probe_interval: must be at least 2s, or 0 for off"}},
      {"derp: {urls: ['http://a.example/map']}",
       {"c:1:15: derp.urls: expected a URL that begins with https://, found "
        "\"http://a.example/map\""}},
      // The text as a whole.
      {"- a\n- b", {"c:1:1: expected keys such as \"listen_addr: 127.0.0.1:8080\""}},
      {"a: 1\na: 2", {"c:2:1: the key \"a\" is already given in line 1"}},
      {"a: 'x", {"c:1:6: not valid YAML: illegal EOF in scalar"}},
      {"log:\n\tlevel: info", {"c:2:1: a tab: YAML is indented with blanks alone"}},
      {"a: !!binary x", {"c:1:4: tags are not accepted here"}},
      {"a: 1\n---\nb: 2", {"c: more than one YAML document"}},
      {"<<: {a: 1}", {"c:1:1: merge keys (<<) are not supported: write the keys out"}},
      {"unix_socket: \"a\\0b\"", {"c:1:14: a control character"}},
      {"? [a]\n: b", {"c:1:3: a key must be plain text"}},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK(texts(parse_config(row.text, "c", kRoot).problems) == row.problems);
  }
}

TEST_CASE("all errors are listed, in the order of the file") {
  const LoadedConfig loaded =
      parse_config("listen_addr: x\nfoo: 1\nlog:\n  level: loud\ntls_key_path: /k\n", "c", kRoot);
  REQUIRE(loaded.problems.size() == 4);
  for (size_t i = 1; i < 4; ++i) CHECK(loaded.problems[i - 1].line < loaded.problems[i].line);
}

TEST_CASE("a refused secret is not printed") {
  for (const char* text :
       {"cli: {timeout: 5s, api_key: [s3cret]}", "edge: {token_key: {s3cret: 1}}"}) {
    for (const std::string& line : texts(parse_config(text, "c", kRoot).problems)) {
      CHECK(line.find("s3cret") == std::string::npos);
    }
  }
}

TEST_CASE("what does nothing yet is accepted with a warning") {
  const LoadedConfig loaded = parse_config(
      "grpc_listen_addr: 127.0.0.1:50443\n"
      "logtail: {enabled: true}\n"
      "database: {type: sqlite3, gorm: {slow_threshold: 5}}\n"
      "derp: {server: {enabled: true, region_id: 900}, urls: []}\n"
      "oidc: {scope: [openid]}\n"
      "ephemeral_node_inactivity_timeout: 1h\n"
      "unix_socket_permission: 0777\n",
      "c", kRoot);
  CHECK(texts(loaded.problems).empty());
  CHECK(loaded.config.database.type == "sqlite");
  CHECK(loaded.config.derp.server.region_id == 900);
  CHECK(loaded.config.node.ephemeral_inactivity_timeout == std::chrono::hours(1));
  const std::string later =
      "is checked and kept, but this version does not have the part that uses it yet";
  CHECK(texts(loaded.warnings) ==
        std::vector<std::string>{
            "c:1:1: grpc_listen_addr: has no effect: there is no gRPC here",
            "c:3:34: database.gorm.slow_threshold: has no effect here",
            "c:4:17: derp.server.enabled: serves nobody: clients reach a relay by HTTPS only, and "
            "server_url is http://",
            "c:5:8: oidc.scope: " + later,
            "c:6:1: ephemeral_node_inactivity_timeout: is called "
            "node.ephemeral.inactivity_timeout now",
            "c:7:1: unix_socket_permission: lets everybody on this machine administer the server",
        });
}

TEST_CASE("a file as Headscale's users have it loads without a problem") {
  const LoadedConfig loaded =
      parse_config(read("tests/unit/native/cli/headscale_style.yaml"), "config.yaml", kRoot);
  CHECK(texts(loaded.problems).empty());
  CHECK(loaded.config.listen_addr == "0.0.0.0:8080");
  CHECK(loaded.config.database.sqlite.path == "/var/lib/headscale/db.sqlite");
  CHECK(loaded.config.unix_socket_permission == FileMode{0770});
  CHECK(loaded.config.node.ephemeral_inactivity_timeout == std::chrono::minutes(30));
}

TEST_CASE("a named file that cannot be read is a problem, and no file is none") {
  CHECK(texts(load_config("/nonexistent/c.yaml", kRoot).problems) ==
        std::vector<std::string>{"/nonexistent/c.yaml: cannot be found"});
  CHECK(texts(load_config("/tmp", kRoot).problems) ==
        std::vector<std::string>{"/tmp: is a folder"});
  Surroundings s = kRoot;
  s.environment = {{"HEADSCALE_CONFIG", "/nonexistent/h.yaml"}};
  CHECK(texts(load_config(std::nullopt, s).problems) ==
        std::vector<std::string>{"/nonexistent/h.yaml: cannot be found"});
}

TEST_CASE("a reload takes over what can follow, and names what waits for a restart") {
  const auto read = [](const std::string& text) {
    const LoadedConfig loaded = parse_config(text, "c.yaml", kRoot);
    REQUIRE(loaded.ok());
    return loaded.config;
  };
  const Config running = read("dns: {base_domain: a.example}\nlisten_addr: 127.0.0.1:1\n");
  CHECK(take_over(running, running).waiting.empty());
  const auto [config, waiting] = take_over(
      running, read("dns: {base_domain: b.example, search_domains: [c.example]}\n"
                    "listen_addr: 127.0.0.1:2\nserver_url: http://127.0.0.1:1\n"
                    "tls_cert_path: /c\ntls_key_path: /k\nlog: {level: debug, format: json}\n"
                    "limits: {body_bytes: 4096, body_timeout: 9s, half_open: {total: 300}}\ncli: "
                    "{timeout: 9s}\n"
                    "prefixes: {v4: 10.0.0.0/8}\ndisable_check_updates: true\n"));
  CHECK(config.dns.base_domain == "a.example");
  CHECK(config.dns.search_domains == TextList{"c.example"});
  CHECK(config.listen_addr == "127.0.0.1:1");
  CHECK(config.log.level == "debug");
  CHECK(config.log.format == "text");
  CHECK(config.limits.body_bytes == 4096);
  CHECK(config.prefixes.v4 == "100.64.0.0/10");
  CHECK(config.tls.cert_path.empty());
  CHECK(std::set<std::string>(waiting.begin(), waiting.end()) ==
        std::set<std::string>{"dns.base_domain", "limits.body_timeout", "limits.half_open.total",
                              "listen_addr", "log.format", "prefixes.v4", "tls_cert_path",
                              "tls_key_path"});
}

TEST_CASE("a certificate follows a reload where there was one") {
  Config running;
  running.tls = {"/old.crt", "/old.key"};
  Config fresh = running;
  fresh.tls = {"/new.crt", "/new.key"};
  CHECK(take_over(running, fresh).config.tls.cert_path == "/new.crt");
  CHECK(take_over(running, fresh).waiting.empty());
  fresh.tls = {};
  CHECK(take_over(running, fresh).waiting.size() == 2);
}

TEST_CASE("YAML is limited in size, depth and expansion") {
  const auto reason = [](const std::string& text) {
    const auto tree = parse_yaml(text);
    return tree.ok() ? std::string() : tree.error().reason;
  };
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(reason(nested(kMaxYamlDepth)).empty());
  CHECK(reason(nested(kMaxYamlDepth + 1)) == "nested deeper than 16 levels");
  CHECK(reason(nested(100000)) == "nested deeper than 16 levels");
  CHECK(reason(std::string(kMaxYamlBytes, '#')).empty());
  CHECK(reason(std::string(kMaxYamlBytes + 1, '#')) == "larger than 256 KiB");
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int k = 0; k < 7; ++k) bomb += ", " + last;
    bomb += "]\n";
  }
  CHECK(reason(bomb) == "aliases expand to more than 20000 values");
  std::string many;
  for (size_t i = 0; i < kMaxYamlNodes + 1; ++i) many += "- x\n";
  CHECK(reason(many) == "more than 20000 values");
  CHECK(reason("a: &a [*a]") == "this alias refers to a node that contains it");
  const auto tree = parse_yaml("a: &x [1, 2]\nb: *x\n");
  REQUIRE(tree.ok());
  CHECK(tree->entries[1].value.items.size() == 2);
  CHECK(tree->entries[1].value.line == 2);
}

}  // namespace es::cli

// What edgescale is told by its config file and environment: Headscale's keys (source: Headscale
// 0.29 and 0.30-dev, config-example.yaml) and our own (edge.*, limits.*, state_dir).
//
// Every key has a default, so an empty file is a working configuration. Loading is in
// config_load.h; a Config that came from there without a problem has every value checked: listen
// addresses split, CIDRs parse, durations are within their limits. Relative paths are already
// resolved against the config file's folder. The list of keys with their rules: config_keys.cc.
#pragma once

#include "common/base/time.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace es::cli {

using TextList = std::vector<std::string>;

// HOST:PORT as in listen_addr; an empty host means every address, IPv6 in brackets.
struct ListenAddress {
  std::string host;
  uint16_t port = 0;

  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

struct FileMode {
  uint32_t bits = 0;

  friend bool operator==(const FileMode&, const FileMode&) = default;
};

struct DnsRecord {
  std::string name;
  std::string type;
  std::string value;

  friend bool operator==(const DnsRecord&, const DnsRecord&) = default;
};

// At most max + burst in any window; see common/limit.
struct RateConfig {
  uint32_t max = 0;
  Millis window{0};
  uint32_t burst = 0;
};

struct NoiseConfig {
  std::string private_key_path;
};

struct PrefixesConfig {
  std::string v4 = "100.64.0.0/10";
  std::string v6 = "fd7a:115c:a1e0::/48";
  std::string allocation = "sequential";  // or "random"
};

struct DerpServerConfig {
  bool enabled = false;
  uint32_t region_id = 999;
  std::string region_code = "edgescale";
  std::string region_name = "Edgescale Embedded DERP";
  bool verify_clients = true;
  bool stun_enabled = true;
  std::string stun_listen_addr = "0.0.0.0:3478";
  std::string private_key_path;
  bool automatically_add_embedded_derp_region = true;
  std::string ipv4;
  std::string ipv6;
};

struct DerpConfig {
  DerpServerConfig server;
  TextList urls{"https://controlplane.tailscale.com/derpmap/default"};
  TextList paths;
  bool auto_update_enabled = true;
  Millis update_frequency = std::chrono::hours(3);
};

struct NodeConfig {
  Millis expiry{0};  // 0: never
  Millis ephemeral_inactivity_timeout = std::chrono::seconds(120);
  Millis ha_probe_interval = std::chrono::seconds(10);  // 0: off
  Millis ha_probe_timeout = std::chrono::seconds(5);
};

struct SqliteConfig {
  std::string path;
  bool write_ahead_log = true;
  uint32_t wal_autocheckpoint = 1000;  // pages
  std::string synchronous = "full";    // or "normal", which may lose the last writes on power loss
};

// Parsed and checked; selecting it is refused until the store speaks PostgreSQL.
struct PostgresConfig {
  std::string host;
  uint32_t port = 5432;
  std::string name;
  std::string user;
  std::string pass;
  std::string ssl = "false";  // Headscale takes a boolean or a libpq sslmode
  uint32_t max_open_conns = 10;
  uint32_t max_idle_conns = 10;
  uint32_t conn_max_idle_time_secs = 3600;
};

// Settings of Headscale's database library: accepted, without effect.
struct GormConfig {
  bool prepare_stmt = true;
  bool parameterized_queries = true;
  bool skip_err_record_not_found = true;
  uint32_t slow_threshold = 1000;
};

struct DatabaseConfig {
  std::string type = "sqlite";
  bool debug = false;
  GormConfig gorm;
  SqliteConfig sqlite;
  PostgresConfig postgres;
};

struct TlsConfig {
  std::string cert_path;  // both or none
  std::string key_path;
};

// Parsed and checked; a host name here is refused until certificates can be fetched.
struct AcmeConfig {
  std::string url = "https://acme-v02.api.letsencrypt.org/directory";
  std::string email;
  std::string hostname;
  std::string cache_dir;
  std::string challenge_type = "HTTP-01";
  std::string listen = ":http";
};

// Parsed and checked; an issuer is refused until log-in through OIDC is there.
struct OidcConfig {
  bool only_start_if_oidc_is_available = true;
  std::string issuer;
  std::string client_id;
  std::string client_secret;  // at most one of this and the path
  std::string client_secret_path;
  TextList scope{"openid", "profile", "email"};
  bool use_expiry_from_token = false;
  bool email_verified_required = true;
  std::map<std::string, std::string> extra_params;
  TextList allowed_domains;
  TextList allowed_users;
  TextList allowed_groups;
  bool pkce_enabled = false;
  std::string pkce_method = "S256";
};

// Knobs of Headscale's internals: accepted, without effect.
struct TuningConfig {
  Millis notifier_send_timeout{800};
  Millis batch_change_delay{800};
  uint32_t node_mapsession_buffered_chan_size = 30;
  uint32_t batcher_workers = 0;  // 0: as many as suit the machine
  Millis register_cache_expiration = std::chrono::minutes(15);
  uint32_t register_cache_max_entries = 1024;
  uint32_t node_store_batch_size = 100;
  Millis node_store_batch_timeout{500};
};

struct LogConfig {
  std::string level = "info";   // trace, debug, info, warn, error
  std::string format = "text";  // or "json"
};

struct PolicyConfig {
  std::string mode = "file";  // or "database"
  std::string path;
};

struct DnsConfig {
  bool magic_dns = true;
  std::string base_domain = "edgescale.internal";
  bool override_local_dns = true;  // without effect while nameservers_global is empty
  TextList nameservers_global;
  std::map<std::string, TextList> nameservers_split;
  TextList search_domains;
  std::vector<DnsRecord> extra_records;
  std::string extra_records_path;
};

// Answers to how this command reaches a server; used by the subcommands, not by serve.
struct CliConfig {
  std::string address;  // empty: the unix socket
  std::string api_key;
  Millis timeout = std::chrono::seconds(5);
  bool insecure = false;
};

// What the origin shares with the Worker in front of it.
struct EdgeConfig {
  std::string token_key;       // hexadecimal; EDGE_TOKEN_KEY in the environment sets it too
  std::string token_key_path;  // a file that holds it; at most one of the two
};

struct ConnectionLimits {
  uint32_t total = 10000;
  uint32_t per_address = 256;
};

// Against abuse. Sizes in bytes.
struct LimitsConfig {
  RateConfig requests{100, std::chrono::minutes(1), 20};
  RateConfig auth_failures{10, std::chrono::minutes(1), 0};
  RateConfig verifications{2400, std::chrono::minutes(1), 600};  // POST /verify
  ConnectionLimits connections;
  ConnectionLimits half_open{4096, 256};  // before it is known whose they are: control and relay
  ConnectionLimits waiting{1024, 64};     // machines that wait for a person's approval
  Millis stranger_timeout = std::chrono::seconds(30);  // for a machine to become known
  uint32_t header_bytes = 16 * 1024;
  uint32_t body_bytes = 1024 * 1024;
  Millis header_timeout = std::chrono::seconds(10);
  Millis body_timeout = std::chrono::seconds(30);
  Millis idle_timeout = std::chrono::seconds(60);
  Millis write_timeout = std::chrono::seconds(30);
  Millis handler_timeout = std::chrono::seconds(60);
  uint32_t requests_per_connection = 10'000;
};

struct Config {
  std::string server_url;
  std::string listen_addr = "127.0.0.1:8080";
  std::string metrics_listen_addr = "127.0.0.1:9090";  // empty: off
  TextList trusted_proxies;                            // CIDRs
  std::string unix_socket;
  FileMode unix_socket_permission{0770};
  // Where files go whose own key does not say otherwise.
  std::string state_dir;
  bool disable_check_updates = false;
  Millis revoked_key_retention = std::chrono::hours(168);  // preauth_keys.revoked_retention
  bool logtail_enabled = false;
  bool taildrop_enabled = true;
  bool auto_update_enabled = false;
  NoiseConfig noise;
  PrefixesConfig prefixes;
  DerpConfig derp;
  NodeConfig node;
  DatabaseConfig database;
  TlsConfig tls;
  AcmeConfig acme;
  LogConfig log;
  PolicyConfig policy;
  DnsConfig dns;
  OidcConfig oidc;
  TuningConfig tuning;
  CliConfig cli;
  EdgeConfig edge;
  LimitsConfig limits;
};

}  // namespace es::cli

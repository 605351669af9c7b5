#include "native/cli/config_keys.h"

#include "common/limit/limiter.h"

namespace es::cli {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kYear = 365 * 24 * kHour;
constexpr int64_t kMebibyte = 1024 * 1024;

using Keys = std::vector<Key>;

void add_server(Keys& keys, Config& c) {
  keys.insert(
      keys.end(),
      {{.name = "server_url", .target = &c.server_url, .rule = Rule::kHttpUrlOrEmpty},
       {.name = "listen_addr", .target = &c.listen_addr, .rule = Rule::kListen},
       {.name = "metrics_listen_addr",
        .target = &c.metrics_listen_addr,
        .rule = Rule::kListenOrEmpty},
       {.name = "trusted_proxies", .target = &c.trusted_proxies, .rule = Rule::kTrustedCidr},
       {.name = "unix_socket", .target = &c.unix_socket, .rule = Rule::kPath},
       {.name = "unix_socket_permission", .target = &c.unix_socket_permission},
       {.name = "state_dir", .target = &c.state_dir, .rule = Rule::kPath},
       {.name = "disable_check_updates",
        .target = &c.disable_check_updates,
        .effect = Effect::kNone},
       {.name = "noise.private_key_path", .target = &c.noise.private_key_path, .rule = Rule::kPath},
       {.name = "tls_cert_path", .target = &c.tls.cert_path, .rule = Rule::kPathOrNone},
       {.name = "tls_key_path", .target = &c.tls.key_path, .rule = Rule::kPathOrNone},
       {.name = "log.level",
        .target = &c.log.level,
        .rule = Rule::kChoice,
        .choices = "trace|debug|info|warn|error"},
       {.name = "log.format",
        .target = &c.log.format,
        .rule = Rule::kChoice,
        .choices = "text|json"}});
}

void add_edge_and_limits(Keys& keys, Config& c) {
  LimitsConfig& l = c.limits;
  constexpr int64_t kWindow = limit::kMaxWindow.count();
  constexpr int64_t kPermits = limit::kMaxPermits;
  keys.insert(
      keys.end(),
      {{.name = "edge.token_key", .target = &c.edge.token_key, .rule = Rule::kTokenKey},
       {.name = "edge.token_key_path", .target = &c.edge.token_key_path, .rule = Rule::kPathOrNone},
       {.name = "limits.requests.max", .target = &l.requests.max, .low = 1, .high = kPermits},
       {.name = "limits.requests.window", .target = &l.requests.window, .low = 1, .high = kWindow},
       {.name = "limits.requests.burst", .target = &l.requests.burst, .high = kPermits},
       {.name = "limits.auth_failures.max",
        .target = &l.auth_failures.max,
        .low = 1,
        .high = kPermits},
       {.name = "limits.auth_failures.window",
        .target = &l.auth_failures.window,
        .low = 1,
        .high = kWindow},
       {.name = "limits.auth_failures.burst", .target = &l.auth_failures.burst, .high = kPermits},
       {.name = "limits.verifications.max",
        .target = &l.verifications.max,
        .low = 1,
        .high = kPermits},
       {.name = "limits.verifications.window",
        .target = &l.verifications.window,
        .low = 1,
        .high = kWindow},
       {.name = "limits.verifications.burst", .target = &l.verifications.burst, .high = kPermits},
       {.name = "limits.connections.total",
        .target = &l.connections.total,
        .low = 1,
        .high = 1'000'000},
       {.name = "limits.connections.per_address",
        .target = &l.connections.per_address,
        .low = 1,
        .high = 1'000'000},
       {.name = "limits.half_open.total",
        .target = &l.half_open.total,
        .low = 1,
        .high = 1'000'000},
       {.name = "limits.half_open.per_address",
        .target = &l.half_open.per_address,
        .low = 1,
        .high = 1'000'000},
       {.name = "limits.waiting.total", .target = &l.waiting.total, .low = 1, .high = 1'000'000},
       {.name = "limits.waiting.per_address",
        .target = &l.waiting.per_address,
        .low = 1,
        .high = 1'000'000},
       {.name = "limits.stranger_timeout",
        .target = &l.stranger_timeout,
        .low = 1000,
        .high = 10 * kMinute},
       // The gate looks at 32 KiB of fields at most.
       {.name = "limits.header_bytes", .target = &l.header_bytes, .low = 1024, .high = 32 * 1024},
       {.name = "limits.body_bytes", .target = &l.body_bytes, .low = 1024, .high = 256 * kMebibyte},
       {.name = "limits.header_timeout",
        .target = &l.header_timeout,
        .low = 100,
        .high = 10 * kMinute},
       {.name = "limits.body_timeout", .target = &l.body_timeout, .low = 100, .high = kHour},
       {.name = "limits.idle_timeout", .target = &l.idle_timeout, .low = 100, .high = kHour},
       {.name = "limits.write_timeout", .target = &l.write_timeout, .low = 100, .high = kHour},
       {.name = "limits.handler_timeout", .target = &l.handler_timeout, .low = 100, .high = kHour},
       {.name = "limits.requests_per_connection",
        .target = &l.requests_per_connection,
        .low = 1,
        .high = 1'000'000'000}});
}

void add_database(Keys& keys, Config& c) {
  DatabaseConfig& d = c.database;
  PostgresConfig& p = d.postgres;
  keys.insert(keys.end(),
              {{.name = "database.type",
                .target = &d.type,
                .rule = Rule::kChoice,
                .choices = "sqlite|sqlite3|postgres"},
               {.name = "database.debug", .target = &d.debug, .effect = Effect::kNone},
               {.name = "database.sqlite.path", .target = &d.sqlite.path, .rule = Rule::kPath},
               {.name = "database.sqlite.write_ahead_log", .target = &d.sqlite.write_ahead_log},
               {.name = "database.sqlite.wal_autocheckpoint",
                .target = &d.sqlite.wal_autocheckpoint,
                .high = 1'000'000},
               {.name = "database.sqlite.synchronous",
                .target = &d.sqlite.synchronous,
                .rule = Rule::kChoice,
                .choices = "full|normal"},
               {.name = "database.gorm.prepare_stmt",
                .target = &d.gorm.prepare_stmt,
                .effect = Effect::kNone},
               {.name = "database.gorm.parameterized_queries",
                .target = &d.gorm.parameterized_queries,
                .effect = Effect::kNone},
               {.name = "database.gorm.skip_err_record_not_found",
                .target = &d.gorm.skip_err_record_not_found,
                .effect = Effect::kNone},
               {.name = "database.gorm.slow_threshold",
                .target = &d.gorm.slow_threshold,
                .effect = Effect::kNone},
               {.name = "database.postgres.host", .target = &p.host, .effect = Effect::kLater},
               {.name = "database.postgres.port",
                .target = &p.port,
                .effect = Effect::kLater,
                .low = 1,
                .high = 65535},
               {.name = "database.postgres.name", .target = &p.name, .effect = Effect::kLater},
               {.name = "database.postgres.user", .target = &p.user, .effect = Effect::kLater},
               {.name = "database.postgres.pass",
                .target = &p.pass,
                .rule = Rule::kSecret,
                .effect = Effect::kLater},
               {.name = "database.postgres.ssl",
                .target = &p.ssl,
                .rule = Rule::kChoice,
                .effect = Effect::kLater,
                .choices = "false|true|disable|allow|prefer|require|verify-ca|verify-full"},
               {.name = "database.postgres.max_open_conns",
                .target = &p.max_open_conns,
                .effect = Effect::kLater,
                .low = 1,
                .high = 10000},
               {.name = "database.postgres.max_idle_conns",
                .target = &p.max_idle_conns,
                .effect = Effect::kLater,
                .high = 10000},
               {.name = "database.postgres.conn_max_idle_time_secs",
                .target = &p.conn_max_idle_time_secs,
                .effect = Effect::kLater}});
}

void add_tailnet(Keys& keys, Config& c) {
  keys.insert(keys.end(),
              {{.name = "prefixes.v4", .target = &c.prefixes.v4, .rule = Rule::kPrefixV4},
               {.name = "prefixes.v6", .target = &c.prefixes.v6, .rule = Rule::kPrefixV6},
               {.name = "prefixes.allocation",
                .target = &c.prefixes.allocation,
                .rule = Rule::kChoice,
                .choices = "sequential|random"},
               {.name = "preauth_keys.revoked_retention",
                .target = &c.revoked_key_retention,
                .high = 10 * kYear},
               {.name = "node.expiry", .target = &c.node.expiry, .high = 100 * kYear},
               // Clients poll once a minute: a shorter time would remove nodes that are there.
               {.name = "node.ephemeral.inactivity_timeout",
                .target = &c.node.ephemeral_inactivity_timeout,
                .low = 65 * kSecond + 1,
                .high = kYear},
               {.name = "node.routes.ha.probe_interval",
                .target = &c.node.ha_probe_interval,
                .high = kHour},
               {.name = "node.routes.ha.probe_timeout",
                .target = &c.node.ha_probe_timeout,
                .low = 1,
                .high = kHour},
               {.name = "policy.mode",
                .target = &c.policy.mode,
                .rule = Rule::kChoice,
                .choices = "file|database"},
               {.name = "policy.path", .target = &c.policy.path, .rule = Rule::kPathOrNone},
               {.name = "taildrop.enabled", .target = &c.taildrop_enabled},
               {.name = "auto_update.enabled", .target = &c.auto_update_enabled},
               {.name = "logtail.enabled", .target = &c.logtail_enabled}});
}

void add_derp_and_dns(Keys& keys, Config& c) {
  DerpServerConfig& s = c.derp.server;
  keys.insert(
      keys.end(),
      {{.name = "derp.server.enabled", .target = &s.enabled},
       {.name = "derp.server.region_id", .target = &s.region_id, .low = 1, .high = 65535},
       {.name = "derp.server.region_code", .target = &s.region_code},
       {.name = "derp.server.region_name", .target = &s.region_name},
       {.name = "derp.server.verify_clients", .target = &s.verify_clients},
       {.name = "derp.server.stun.enabled", .target = &s.stun_enabled},
       {.name = "derp.server.stun_listen_addr",
        .target = &s.stun_listen_addr,
        .rule = Rule::kListen},
       {.name = "derp.server.private_key_path", .target = &s.private_key_path, .rule = Rule::kPath},
       {.name = "derp.server.automatically_add_embedded_derp_region",
        .target = &s.automatically_add_embedded_derp_region},
       {.name = "derp.server.ipv4", .target = &s.ipv4, .rule = Rule::kIpV4OrEmpty},
       {.name = "derp.server.ipv6", .target = &s.ipv6, .rule = Rule::kIpV6OrEmpty},
       {.name = "derp.urls", .target = &c.derp.urls, .rule = Rule::kHttpsUrl},
       {.name = "derp.paths", .target = &c.derp.paths, .rule = Rule::kPath},
       {.name = "derp.auto_update_enabled", .target = &c.derp.auto_update_enabled},
       {.name = "derp.update_frequency",
        .target = &c.derp.update_frequency,
        .low = kMinute,
        .high = kYear},
       {.name = "dns.magic_dns", .target = &c.dns.magic_dns},
       {.name = "dns.base_domain", .target = &c.dns.base_domain, .rule = Rule::kDnsNameOrEmpty},
       {.name = "dns.override_local_dns", .target = &c.dns.override_local_dns},
       {.name = "dns.nameservers.global",
        .target = &c.dns.nameservers_global,
        .rule = Rule::kNameserver},
       {.name = "dns.nameservers.split",
        .target = &c.dns.nameservers_split,
        .rule = Rule::kNameserver},
       {.name = "dns.search_domains",
        .target = &c.dns.search_domains,
        .rule = Rule::kDnsNameOrEmpty},
       {.name = "dns.extra_records", .target = &c.dns.extra_records},
       {.name = "dns.extra_records_path",
        .target = &c.dns.extra_records_path,
        .rule = Rule::kPathOrNone}});
}

void add_oidc_and_acme(Keys& keys, Config& c) {
  OidcConfig& o = c.oidc;
  const auto later = Effect::kLater;
  keys.insert(
      keys.end(),
      {{.name = "oidc.only_start_if_oidc_is_available",
        .target = &o.only_start_if_oidc_is_available,
        .effect = later},
       {.name = "oidc.issuer", .target = &o.issuer, .rule = Rule::kHttpUrlOrEmpty, .effect = later},
       {.name = "oidc.client_id", .target = &o.client_id, .effect = later},
       {.name = "oidc.client_secret",
        .target = &o.client_secret,
        .rule = Rule::kSecret,
        .effect = later},
       {.name = "oidc.client_secret_path",
        .target = &o.client_secret_path,
        .rule = Rule::kPathOrNone,
        .effect = later},
       {.name = "oidc.scope", .target = &o.scope, .effect = later},
       {.name = "oidc.use_expiry_from_token", .target = &o.use_expiry_from_token, .effect = later},
       {.name = "oidc.email_verified_required",
        .target = &o.email_verified_required,
        .effect = later},
       {.name = "oidc.extra_params", .target = &o.extra_params, .effect = later},
       {.name = "oidc.allowed_domains", .target = &o.allowed_domains, .effect = later},
       {.name = "oidc.allowed_users", .target = &o.allowed_users, .effect = later},
       {.name = "oidc.allowed_groups", .target = &o.allowed_groups, .effect = later},
       {.name = "oidc.pkce.enabled", .target = &o.pkce_enabled, .effect = later},
       {.name = "oidc.pkce.method",
        .target = &o.pkce_method,
        .rule = Rule::kChoice,
        .effect = later,
        .choices = "plain|S256"},
       {.name = "acme_url", .target = &c.acme.url, .rule = Rule::kHttpUrlOrEmpty, .effect = later},
       {.name = "acme_email", .target = &c.acme.email, .effect = later},
       {.name = "tls_letsencrypt_hostname",
        .target = &c.acme.hostname,
        .rule = Rule::kDnsNameOrEmpty,
        .effect = later},
       {.name = "tls_letsencrypt_cache_dir",
        .target = &c.acme.cache_dir,
        .rule = Rule::kPath,
        .effect = later},
       {.name = "tls_letsencrypt_challenge_type",
        .target = &c.acme.challenge_type,
        .rule = Rule::kChoice,
        .effect = later,
        .choices = "HTTP-01|TLS-ALPN-01"},
       {.name = "tls_letsencrypt_listen", .target = &c.acme.listen, .effect = later}});
}

void add_cli_and_tuning(Keys& keys, Config& c) {
  TuningConfig& t = c.tuning;
  const auto none = Effect::kNone;
  keys.insert(
      keys.end(),
      {{.name = "cli.address", .target = &c.cli.address},
       {.name = "cli.api_key", .target = &c.cli.api_key, .rule = Rule::kSecret},
       {.name = "cli.timeout", .target = &c.cli.timeout, .low = 1, .high = kHour},
       {.name = "cli.insecure", .target = &c.cli.insecure},
       {.name = "tuning.notifier_send_timeout", .target = &t.notifier_send_timeout, .effect = none},
       {.name = "tuning.batch_change_delay", .target = &t.batch_change_delay, .effect = none},
       {.name = "tuning.node_mapsession_buffered_chan_size",
        .target = &t.node_mapsession_buffered_chan_size,
        .effect = none},
       {.name = "tuning.batcher_workers", .target = &t.batcher_workers, .effect = none},
       {.name = "tuning.register_cache_expiration",
        .target = &t.register_cache_expiration,
        .low = kSecond,
        .high = kYear},
       {.name = "tuning.register_cache_max_entries",
        .target = &t.register_cache_max_entries,
        .low = 1,
        .high = 1'000'000},
       {.name = "tuning.node_store_batch_size", .target = &t.node_store_batch_size, .effect = none},
       {.name = "tuning.node_store_batch_timeout",
        .target = &t.node_store_batch_timeout,
        .effect = none}});
}

constexpr Retired kRetired[] = {
    {"randomize_client_port",
     "was removed: set \"randomizeClientPort\": true in the policy file instead"},
    {"oidc.expiry", "was removed: the time that a log-in lasts is node.expiry now"},
    {"oidc.strip_email_domain", "was removed: users keep the domain of their e-mail address"},
    {"oidc.map_legacy_users", "was removed: it helped a migration that has ended"},
    {"dns.use_username_in_magic_dns", "was removed: names are HOST.BASE_DOMAIN, without the user"},
    {"dns_config", "was removed: the section is called dns now, and some of its keys moved"},
    {"acl_policy_path", "was removed: use policy.path"},
    {"private_key_path",
     "was removed: it held a key of an old protocol; see noise.private_key_path"},
    {"ip_prefixes", "was removed: use prefixes.v4 and prefixes.v6"},
    {"db_type", "was removed: use database.type"},
    {"db_path", "was removed: use database.sqlite.path"},
    {"log_level", "was removed: use log.level"},
};

constexpr Renamed kRenamed[] = {
    {"ephemeral_node_inactivity_timeout", "node.ephemeral.inactivity_timeout"},
};

constexpr std::string_view kUnused[] = {"grpc_listen_addr", "grpc_allow_insecure"};

}  // namespace

std::vector<Key> config_keys(Config& config) {
  Keys keys;
  keys.reserve(128);
  add_server(keys, config);
  add_edge_and_limits(keys, config);
  add_database(keys, config);
  add_tailnet(keys, config);
  add_derp_and_dns(keys, config);
  add_oidc_and_acme(keys, config);
  add_cli_and_tuning(keys, config);
  return keys;
}

std::span<const Retired> retired_keys() { return kRetired; }
std::span<const Renamed> renamed_keys() { return kRenamed; }
std::span<const std::string_view> unused_keys() { return kUnused; }

}  // namespace es::cli

#include "native/cli/origin.h"

#include "common/token/edge_keys.h"
#include "native/api/public_routes.h"
#include "native/api/register_pages.h"
#include "native/api/v1.h"
#include "native/cli/config_reload.h"
#include "native/cli/control_plane.h"
#include "native/cli/system.h"
#include "native/cli/values.h"
#include "native/cli/version.h"
#include "native/control/directory.h"
#include "native/net/gatekeeper.h"
#include "native/net/router.h"
#include "native/net/server.h"
#include "native/noise/crypto.h"
#include "native/store/sqlite_store.h"
#include "native/telemetry/metrics.h"
#include "native/telemetry/process_stats.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <unistd.h>
#include <utility>

namespace es::cli {
namespace {

// Descriptors that are not connections: database, logs, listeners, event loops.
constexpr uint64_t kReservedFds = 64;

Result<Secret, std::string> edge_token_key(const Config& config) {
  if (config.edge.token_key_path.empty()) return Secret{config.edge.token_key};
  auto key = read_secret_file(config.edge.token_key_path);
  if (!key.ok()) return "edge.token_key_path: " + key.error();
  return key;
}

limit::Limit limit_of(const RateConfig& rate) { return {rate.max, rate.window, rate.burst}; }

Result<net::GatekeeperOptions, std::string> gatekeeper_options(const Config& config) {
  net::GatekeeperOptions options;
  options.http.max_body_bytes = config.limits.body_bytes;
  options.http.max_fields_bytes =
      std::min<size_t>(options.http.max_fields_bytes, config.limits.header_bytes);
  options.requests = limit_of(config.limits.requests);
  options.auth_failures = limit_of(config.limits.auth_failures);
  options.verifications = limit_of(config.limits.verifications);
  options.trusted_proxies = config.trusted_proxies;
  ES_TRY(const Secret key, edge_token_key(config));
  options.edge_token_key = key.text;
  return options;
}

net::Limits net_limits(const Config& config, uint64_t max_fds) {
  const LimitsConfig& from = config.limits;
  net::Limits limits;
  limits.header_bytes = from.header_bytes;
  limits.body_bytes = from.body_bytes;
  limits.header_timeout = from.header_timeout;
  limits.body_timeout = from.body_timeout;
  limits.idle_timeout = from.idle_timeout;
  limits.write_timeout = from.write_timeout;
  limits.handler_timeout = from.handler_timeout;
  limits.requests_per_connection = from.requests_per_connection;
  limits.connections = from.connections.total;
  limits.connections_per_address = from.connections.per_address;
  // Better to turn connections away with a word than to run out of descriptors.
  if (max_fds > 2 * kReservedFds && max_fds - kReservedFds < limits.connections) {
    limits.connections = static_cast<uint32_t>(max_fds - kReservedFds);
  }
  return limits;
}

gate::KeyVerdict verdict_of(control::ApiKeyVerdict verdict) {
  return verdict == control::ApiKeyVerdict::kValid ? gate::KeyVerdict::kValid
                                                   : gate::KeyVerdict::kInvalid;
}

}  // namespace

struct Origin::State {
  State(const Config& c, telemetry::Log& l) : config(c), log(l) {}

  Result<void, std::string> open_key();
  Result<void, std::string> open_directory();
  Result<void, std::string> open_gate();
  Result<void, std::string> open_server();
  void add_routes();
  Result<void, std::string> add_pages();
  void add_metrics();

  Config config;
  telemetry::Log& log;
  telemetry::Metrics metrics;
  uint64_t max_fds = 0;
  std::string first_edge_key;  // as it was at the start
  std::optional<tailcfg::PrivateKey> noise_key;
  std::string noise_public_key;
  std::unique_ptr<control::Directory> directory;
  std::unique_ptr<ControlPlane> control;
  std::unique_ptr<api::V1> v1;
  std::unique_ptr<net::Gatekeeper> gatekeeper;
  api::PrepareFailureLimit prepare_page_limit;
  net::Router router;
  net::Router metrics_router;
  std::unique_ptr<net::Server> server;
};

Result<void, std::string> Origin::State::open_key() {
  ES_TRY(const tailcfg::PrivateKey key,
         load_or_create_private_key(config.noise.private_key_path, "noise.private_key_path"));
  noise_key = key;
  const auto public_key = noise::x25519_public(key.raw());
  if (!public_key.ok()) return "noise.private_key_path: " + std::string(public_key.error().what);
  noise_public_key = tailcfg::MachineKey(*public_key).text();
  return {};
}

Result<void, std::string> Origin::State::open_directory() {
  telemetry::Histogram& commits = metrics.histogram("edgescale_store_commit_duration_seconds",
                                                    "From the beginning of a commit to its end.");
  telemetry::Counter& transactions =
      metrics.counter("edgescale_store_transactions_total", "Transactions that were committed.");
  telemetry::Counter& errors =
      metrics.counter("edgescale_store_errors_total", "Failures of the database.");
  store::SqliteOptions sqlite;
  sqlite.path = config.database.sqlite.path;
  sqlite.synchronous = config.database.sqlite.synchronous == "normal" ? store::Synchronous::kNormal
                                                                      : store::Synchronous::kFull;
  sqlite.wal_autocheckpoint_pages = static_cast<int>(config.database.sqlite.wal_autocheckpoint);
  sqlite.clock = [] { return std::chrono::microseconds(monotonic_us()); };
  sqlite.on_commit = [&commits, &transactions](const store::CommitTiming& timing) {
    commits.observe_us(
        std::chrono::duration_cast<std::chrono::microseconds>(timing.duration).count());
    transactions.add(timing.transactions);
  };
  auto store = store::open_sqlite(std::move(sqlite));
  if (!store.ok()) return "database: " + store.error().text;

  control::Directory::Options options;
  options.random = fill_random;
  ES_TRY(const Secret secret, edge_token_key(config));
  if (!secret.text.empty()) {
    const auto keys = token::derive_edge_keys(secret.text);
    if (!keys.ok()) return "edge.token_key: " + std::string(keys.error().what);
    options.seal_key = keys->seal;
  }
  options.on_store_error = [this, &errors](const store::StoreError& error) {
    errors.add();
    log.write_bounded(telemetry::Level::kError, "the database failed", {{"error", error.text}});
  };
  auto made = control::Directory::create(std::move(store).value(), std::move(options));
  if (!made.ok()) return "database: " + made.error().text;
  directory = std::move(made).value();
  return {};
}

Result<void, std::string> Origin::State::open_gate() {
  ES_TRY(const net::GatekeeperOptions options, gatekeeper_options(config));
  first_edge_key = options.edge_token_key;
  std::array<uint8_t, sizeof(limit::SipKey)> random{};
  fill_random(random);
  limit::SipKey seed;
  std::memcpy(&seed, random.data(), sizeof seed);
  ES_TRY(gatekeeper, net::Gatekeeper::create(
                         options,
                         [this](std::string_view token, WallTime now) {
                           return verdict_of(directory->verify_api_key(token, now));
                         },
                         seed));
  return {};
}

void Origin::State::add_routes() {
  const Version build = version();
  api::PublicOptions options;
  options.version = build.version;
  options.commit = build.commit;
  options.build_time = build.build_time;
  options.dirty = build.dirty;
  options.noise_public_key = noise_public_key;
  options.database = [this](const telemetry::Health::Done& done) {
    directory->ping([done](const Result<void, control::Refusal>& result) {
      done(result.ok() ? telemetry::Verdict::kPass : telemetry::Verdict::kFail);
    });
  };
  options.monotonic = [] { return Millis(monotonic_us() / 1000); };
  api::add_public_routes(router, std::move(options));
  v1 = std::make_unique<api::V1>(*directory, control->tailnet(), control->policy(),
                                 control->ssh_checks());
  v1->add_routes(router);
  control->add_routes(router);
  metrics_router.add(
      "GET", "/debug/ping", [this](const net::Request& request, const net::Reply& reply) {
        const auto node = parse_unsigned(request.query_value("node").value_or(""));
        if (!node) return reply(net::error_response(400, "name a node: /debug/ping?node=ID"));
        if (control->tailnet().node(*node) == nullptr) {
          return reply(net::error_response(404, "there is no node with this id"));
        }
        control->ping(
            *node, [reply](std::string json) { reply(net::json_response(200, std::move(json))); });
      });
  metrics_router.add("GET", "/debug/derp", [this](const net::Request&, const net::Reply& reply) {
    reply(net::json_response(200, control->derp_debug_json()));
  });
  metrics_router.add("GET", "/metrics", [this](const net::Request&, const net::Reply& reply) {
    reply({200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, metrics.render()});
  });
}

Result<void, std::string> Origin::State::add_pages() {
  api::RegisterOptions options;
  options.random = fill_random;
  options.failures = limit_of(config.limits.auth_failures);
  auto added = api::add_register_pages(router, *directory, control->tailnet(),
                                       control->ssh_checks(), std::move(options));
  if (!added.ok()) return "limits.auth_failures: " + std::string(added.error().what);
  prepare_page_limit = std::move(added).value();
  return {};
}

void Origin::State::add_metrics() {
  using Kind = telemetry::Metrics::Kind;
  telemetry::add_process_stats(metrics);
  const Version build = version();
  metrics
      .gauge("edgescale_build_info", "What is running; always 1.",
             {{"version", std::string(build.version)}, {"commit", std::string(build.commit)}})
      .set(1);
  metrics.read_on_demand("edgescale_users", "Users.", Kind::kGauge,
                         [this] { return static_cast<double>(directory->counts().users); });
  metrics.read_on_demand("edgescale_preauth_keys", "Pre-auth keys.", Kind::kGauge,
                         [this] { return static_cast<double>(directory->counts().pre_auth_keys); });
  metrics.read_on_demand("edgescale_api_keys", "API keys.", Kind::kGauge,
                         [this] { return static_cast<double>(directory->counts().api_keys); });
  control->add_metrics();
  metrics.read_on_demand(
      "edgescale_limiter_evicted_live_total",
      "Clients that the rate limiter forgot early because its table was full.", Kind::kCounter,
      [this] { return static_cast<double>(gatekeeper->limiter_stats().evicted_live); });
  metrics.read_on_demand("edgescale_log_lines_dropped_total", "Log lines that nobody read in time.",
                         Kind::kCounter, [this] { return static_cast<double>(log.dropped()); });
}

Result<void, std::string> Origin::State::open_server() {
  net::ServerOptions options;
  options.limits = net_limits(config, max_fds);
  options.num_threads = std::clamp(std::thread::hardware_concurrency(), 2U, 16U);
  options.tls = {config.tls.cert_path, config.tls.key_path};
  // Others stand behind these: a local tunnel or connector, and the proxies that are trusted.
  options.is_proxy = [this](std::string_view address) {
    return is_loopback(address) || gatekeeper->is_trusted_proxy(address);
  };
  const auto listen = parse_listen_address(config.listen_addr);
  if (!listen) return "listen_addr: " + config.listen_addr + " is no address";
  net::ListenerOptions http;
  http.host = listen->host;
  http.port = listen->port;
  http.tls = !config.tls.cert_path.empty();
  http.service = {"http", &router, gatekeeper.get(), net::Trust::kNetwork};
  http.config_key = "listen_addr";
  options.listeners.push_back(std::move(http));
  if (!config.unix_socket.empty()) {
    net::ListenerOptions local;
    local.unix_path = config.unix_socket;
    local.unix_mode = config.unix_socket_permission.bits;
    local.service = {"unix", &router, gatekeeper.get(), net::Trust::kLocalSocket};
    local.config_key = "unix_socket";
    options.listeners.push_back(std::move(local));
  }
  if (!config.metrics_listen_addr.empty()) {
    const auto address = parse_listen_address(config.metrics_listen_addr);
    if (!address) return "metrics_listen_addr: " + config.metrics_listen_addr + " is no address";
    net::ListenerOptions scraped;
    scraped.host = address->host;
    scraped.port = address->port;
    scraped.service = {"metrics", &metrics_router, gatekeeper.get(), net::Trust::kLocalSocket};
    scraped.config_key = "metrics_listen_addr";
    options.listeners.push_back(std::move(scraped));
  }
  ES_TRY(server, net::Server::create(std::move(options), {wall_now, monotonic_us}, log, metrics));
  return {};
}

Origin::Origin(std::unique_ptr<State> state) : state_(std::move(state)) {}
Origin::~Origin() = default;

Result<std::unique_ptr<Origin>, std::string> Origin::open(const Config& config,
                                                          telemetry::Log& log) {
  auto state = std::make_unique<State>(config, log);
  state->max_fds = raise_open_file_limit();
  ES_CHECK(state->open_key());
  ES_CHECK(state->open_directory());
  ES_TRY(state->control,
         ControlPlane::open(config, *state->noise_key, *state->directory, log, state->metrics));
  ES_CHECK(state->open_gate());
  state->add_routes();
  ES_CHECK(state->add_pages());
  state->add_metrics();
  ES_CHECK(state->open_server());
  return std::unique_ptr<Origin>(new Origin(std::move(state)));
}

void Origin::start() {
  state_->control->start();
  state_->server->start();
  for (const net::Server::Address& address : state_->server->addresses()) {
    state_->log.info("listening", {{"service", address.service}, {"address", address.text}});
  }
}

Result<void, std::string> Origin::reload(const Config& fresh) {
  State& s = *state_;
  const auto [config, waiting] = take_over(s.config, fresh);
  ES_TRY(const net::GatekeeperOptions options, gatekeeper_options(config));
  if (options.edge_token_key != s.first_edge_key) {
    // Signatures would follow it and new keys would not.
    return std::string("edge.token_key changes only with a restart");
  }
  // All that can be refused first; what follows cannot fail, so nothing is ever half taken over.
  ES_TRY(const auto exchange_server,
         s.server->prepare_reload(net_limits(config, s.max_fds),
                                  {config.tls.cert_path, config.tls.key_path}));
  ES_TRY(const auto exchange_gate, s.gatekeeper->prepare_reload(options));
  const auto exchange_pages = s.prepare_page_limit(options.auth_failures);
  if (!exchange_pages.ok()) {
    return "limits.auth_failures: " + std::string(exchange_pages.error().what);
  }
  ES_CHECK(s.control->reload(config));
  exchange_server();
  exchange_gate();
  (*exchange_pages)();
  if (const auto level = telemetry::parse_level(config.log.level)) s.log.set_level(*level);
  for (const std::string& key : waiting) s.log.warn("waits for a restart", {{"key", key}});
  return {};
}

void Origin::stop(Millis grace) {
  const auto stopped = state_->server->stop(grace);
  if (stopped == net::Server::Stopped::kByForce) {
    state_->log.warn("some requests did not finish in time", {{"ms", grace.count()}});
  }
  state_->control->stop();
  state_->directory->close();
}

std::unique_ptr<telemetry::Log> make_log(const Config& config) {
  return std::make_unique<telemetry::Log>(
      wall_now, telemetry::Log::to_descriptor(STDERR_FILENO),
      telemetry::parse_level(config.log.level).value_or(telemetry::Level::kInfo),
      config.log.format == "json" ? telemetry::Format::kJson : telemetry::Format::kText);
}

}  // namespace es::cli

#include "native/cli/control_plane.h"

#include "common/base/ip_address.h"
#include "native/api/machine.h"
#include "native/api/relay_routes.h"
#include "native/cli/client_maps.h"
#include "native/cli/map_sources.h"
#include "native/cli/node_metrics.h"
#include "native/cli/system.h"
#include "native/cli/values.h"
#include "native/control/pings.h"
#include "native/derp/hub.h"
#include "native/derp/upgrade.h"
#include "native/noise/crypto.h"
#include "native/stun/udp_server.h"
#include "native/ts2021/upgrade.h"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <sys/stat.h>
#include <thread>
#include <utility>

namespace es::cli {
namespace {

constexpr std::chrono::milliseconds kTick{500};

constexpr size_t kMaxPolicyBytes = 16u << 20;  // the reader has a limit of its own, and says so

control::PolicyFile policy_file(const std::string& path) {
  if (path.empty()) return {};
  control::PolicyFile file;
  file.path = path;
  file.read = [path]() -> Result<std::string, control::Unreadable> {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
      return control::Unreadable{"reading policy from path " + path + ": " + std::strerror(errno)};
    }
    std::string text;
    char buffer[1 << 16];
    while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
      text.append(buffer, static_cast<size_t>(in.gcount()));
      if (text.size() > kMaxPolicyBytes) return control::Unreadable{path + " is too large"};
    }
    return text;
  };
  file.signature = [path] {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return std::string();
    return std::to_string(info.st_ino) + " " + std::to_string(info.st_size) + " " +
           std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
  };
  return file;
}

// What the captive-portal check of clients expects: their challenge back.
net::Response no_content(const net::Request& request) {
  net::Response response{204, {}, {}};
  const std::string challenge(request.field("X-Tailscale-Challenge").value_or(""));
  const bool sound = !challenge.empty() && challenge.size() <= 64 &&
                     challenge.find_first_not_of(
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                         "0123456789._:-") == std::string::npos;
  if (sound) response.fields.push_back({"X-Tailscale-Response", "response " + challenge});
  return response;
}

}  // namespace

struct ControlPlane::State {
  State(const tailcfg::PrivateKey& key, control::Directory& d, telemetry::Log& l,
        telemetry::Metrics& m)
      : noise_key(key), directory(d), log(l), metrics(m) {}
  // Whether it was served or its start failed half way: what the tailnet asked of the store may be
  // answered until the store is closed.
  ~State() {
    directory.close();
    directory.listen({});
  }

  Result<void, std::string> open_tailnet(const Config& config);
  Result<void, std::string> open_policy(const Config& config);
  Result<void, std::string> open_relay(const Config& config);
  Result<void, std::string> open_stun(const Config& config);
  Config as_bound(Config config) const;
  void apply(std::span<const store::Transaction> commits);
  api::MachineOptions machine_options();
  control::SshChecks::Options ssh_options(const Config& config);
  void clean_up();
  void run();

  const tailcfg::PrivateKey noise_key;
  control::Directory& directory;
  telemetry::Log& log;
  telemetry::Metrics& metrics;
  std::unique_ptr<MapSources> sources;
  std::unique_ptr<control::Tailnet> tailnet;
  std::unique_ptr<control::PolicyDesk> policy;
  std::optional<control::Pings> pings;
  std::optional<control::SshChecks> ssh_checks;
  std::optional<control::RouteProbes> probes;
  std::unique_ptr<api::Machine> machine;
  std::unique_ptr<derp::Hub> hub;  // null: no embedded relay
  bool verify_clients = true;
  uint32_t region_id = 0;
  std::optional<ts2021::HalfOpen> half_open;
  ts2021::Deadlines deadlines;
  LimitsConfig limits;

  boost::asio::io_context io{1};
  std::optional<stun::UdpServer> stun_server;
  std::thread stun_thread;

  std::mutex mutex;
  std::condition_variable wake;
  Millis key_retention{0};  // 0: for ever
  bool stopping = false;
  std::thread ticker;
};

Result<void, std::string> ControlPlane::State::open_tailnet(const Config& config) {
  control::TailnetOptions options;
  options.server_url = server_url_of(config);
  options.base_domain = config.dns.base_domain;
  options.dns_config_json = sources->dns_config_json();
  options.derp_map_json = sources->derp_map_json();
  key_retention = config.revoked_key_retention;
  options.file_sharing = config.taildrop_enabled;
  options.auto_update = config.auto_update_enabled;
  options.client_logs = config.logtail_enabled;
  options.key_lifetime = config.node.expiry;
  options.ephemeral_timeout = config.node.ephemeral_inactivity_timeout;
  options.registration_lifetime = config.tuning.register_cache_expiration;
  options.max_registrations = config.tuning.register_cache_max_entries;
  options.max_registrations_of_network = config.limits.waiting.per_address;
  options.random = fill_random;
  for (const auto& [text, prefix] : {std::pair{&config.prefixes.v4, &options.addresses.v4},
                                     {&config.prefixes.v6, &options.addresses.v6}}) {
    if (text->empty()) continue;
    const auto parsed = parse_ip_prefix(*text);
    if (!parsed.ok()) return "prefixes: " + *text + ": " + std::string(parsed.error().what);
    *prefix = *parsed;
  }
  if (config.prefixes.allocation == "random") {
    options.addresses.random = [] {
      uint64_t v = 0;
      fill_random(MutableBytes(reinterpret_cast<uint8_t*>(&v), sizeof v));
      return v;
    };
  }
  auto made =
      control::Tailnet::create(directory, directory.take_nodes(), std::move(options), wall_now());
  if (!made.ok()) return "tailnet: " + made.error().text;
  tailnet = std::move(made).value();
  directory.listen([this](auto commits) { apply(commits); });
  pings.emplace(*tailnet, fill_random);
  ssh_checks.emplace(*tailnet, ssh_options(config));
  probes.emplace(
      *tailnet, *pings,
      control::RouteProbes::Options{config.node.ha_probe_interval, config.node.ha_probe_timeout});
  machine = std::make_unique<api::Machine>(*tailnet, wall_now, machine_options());
  return {};
}

// A key that is no node's any more leaves the relay too.
void ControlPlane::State::apply(std::span<const store::Transaction> commits) {
  std::vector<tailcfg::NodeKey> before;
  const auto note = [&](uint64_t id) {
    if (const auto node = tailnet->node(id)) before.push_back(node->node_key);
  };
  for (const store::Transaction& commit : commits) {
    for (const store::Change& change : commit.changes) {
      if (const auto* gone = std::get_if<store::DeleteNode>(&change)) note(gone->id);
      if (const auto* renewed = std::get_if<store::SetNodeIdentity>(&change)) note(renewed->id);
    }
  }
  tailnet->apply(commits);
  if (!hub || !verify_clients) return;
  for (const tailcfg::NodeKey& key : before) {
    if (!tailnet->knows(key)) hub->disconnect(key.raw());
  }
}

api::MachineOptions ControlPlane::State::machine_options() {
  // From a wake-up to the stream it is microseconds when the machine is idle.
  static constexpr std::array<int64_t, 12> kBounds = {
      50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 50'000, 250'000, 1'000'000, 5'000'000};
  api::MachineOptions options;
  options.pings = &*pings;
  options.ssh_checks = &*ssh_checks;
  options.monotonic_us = monotonic_us;
  telemetry::Histogram& fan_out = metrics.histogram(
      "edgescale_map_fan_out_duration_seconds",
      "From a change to its message being handed to a viewer's connection.", {}, kBounds);
  options.on_fan_out = [&fan_out](int64_t us) { fan_out.observe_us(us); };
  telemetry::Counter& keep_alives = metrics.counter(
      "edgescale_maps_sent_total", "Messages in map streams.", {{"kind", "keep_alive"}});
  options.on_keep_alive = [&keep_alives] { keep_alives.add(); };
  options.on_audit = [this](uint64_t node, std::string_view action, std::string_view details) {
    log.write_bounded(telemetry::Level::kInfo, "a client's audit record",
                      {{"node", node}, {"action", action}, {"details", details}});
  };
  return options;
}

control::SshChecks::Options ControlPlane::State::ssh_options(const Config& config) {
  using Event = control::SshChecks::Event;
  control::SshChecks::Options options;
  options.server_url = server_url_of(config);
  options.lifetime = config.tuning.register_cache_expiration;
  options.max_open = config.tuning.register_cache_max_entries;
  options.random = fill_random;
  options.on_event = [this](Event event, const control::SshLogin& login, std::string_view by) {
    // In the order of Event.
    constexpr std::array<std::string_view, 5> kWords = {
        "an SSH log-in waits for an approval", "an SSH log-in was approved not long ago",
        "an SSH log-in was approved", "an SSH log-in was refused",
        "an SSH log-in was not approved in time"};
    const std::string_view words = kWords[static_cast<size_t>(event)];
    // Only the clients' part is bounded: nobody may crowd out what operators did.
    if (by.empty()) {
      log.write_bounded(
          telemetry::Level::kInfo, words,
          {{"source", login.source}, {"destination", login.destination}, {"login", login.login}});
    } else {
      log.info(words, {{"source", login.source},
                       {"destination", login.destination},
                       {"login", login.login},
                       {"by", by}});
    }
  };
  return options;
}

// A policy that is wrong is no start: everything would be allowed, or nothing.
Result<void, std::string> ControlPlane::State::open_policy(const Config& config) {
  control::PolicyDesk::Options options;
  if (config.policy.mode == "database") {
    options.mode = control::PolicyDesk::Mode::kDatabase;
  } else {
    options.file = policy_file(config.policy.path);
  }
  options.on_file = [this](const Result<void, std::string>& done) {
    if (done.ok()) {
      log.info("the policy was read again", {});
    } else {
      log.error("the policy was refused, the one in service stays", {{"reason", done.error()}});
    }
  };
  ES_TRY(policy, control::PolicyDesk::open(directory, *tailnet, std::move(options)));
  if (!policy->document()) {
    log.warn("there is no policy: every node may talk to every other", {});
  }
  return {};
}

Result<void, std::string> ControlPlane::State::open_relay(const Config& config) {
  const DerpServerConfig& server = config.derp.server;
  if (!server.enabled) return {};
  ES_TRY(const tailcfg::PrivateKey key,
         load_or_create_private_key(server.private_key_path, "derp.server.private_key_path"));
  derp::HubConfig hub_config;
  hub_config.server.private_key = key.raw();
  hub_config.server.max_handshaking = config.limits.half_open.total;
  hub_config.server.max_handshaking_per_source = config.limits.half_open.per_address;
  verify_clients = server.verify_clients;
  region_id = server.region_id;
  derp::HubEnvironment environment;
  environment.clock = [] { return Millis(monotonic_us() / 1000); };
  environment.random = fill_random;
  environment.admit = [this](derp::ConnId, const derp::Key& client, const derp::Endpoint&) {
    const bool known = !verify_clients || tailnet->knows(tailcfg::NodeKey(client));
    return known ? derp::Admission::kAdmit : derp::Admission::kRefuse;
  };
  auto made = derp::Hub::create(hub_config, std::move(environment));
  if (!made.ok()) return "derp.server: " + std::string(made.error().what);
  hub = std::move(made).value();
  return {};
}

Result<void, std::string> ControlPlane::State::open_stun(const Config& config) {
  const DerpServerConfig& server = config.derp.server;
  if (!server.enabled || !server.stun_enabled) return {};
  const auto address = parse_listen_address(server.stun_listen_addr);
  if (!address)
    return "derp.server.stun_listen_addr: " + server.stun_listen_addr + " is no address";
  stun::UdpConfig udp;
  udp.address = address->host.empty() ? "::" : address->host;
  udp.port = address->port;
  uint64_t hash_key = 0;
  fill_random(MutableBytes(reinterpret_cast<uint8_t*>(&hash_key), sizeof hash_key));
  auto opened = stun::UdpServer::open(
      io, udp, [] { return Millis(monotonic_us() / 1000); }, hash_key);
  if (!opened.ok()) {
    return "derp.server.stun_listen_addr: " + server.stun_listen_addr + ": " +
           std::string(opened.error().what);
  }
  stun_server.emplace(std::move(opened).value());
  return {};
}

// With the port that STUN got when it asked for any: clients must know it.
Config ControlPlane::State::as_bound(Config config) const {
  if (!stun_server) return config;
  std::string& address = config.derp.server.stun_listen_addr;
  address = address.substr(0, address.rfind(':') + 1) + std::to_string(stun_server->port());
  return config;
}

// Keys that expired long ago (preauth_keys.revoked_retention).
void ControlPlane::State::clean_up() {
  if (key_retention.count() == 0) return;
  const size_t deleted = directory.delete_pre_auth_keys_expired_by(wall_now() - key_retention);
  if (deleted > 0) log.info("old pre-auth keys were deleted", {{"keys", deleted}});
}

// Housekeeping: offline and ephemeral nodes, keep-alives, the relay's deadlines.
void ControlPlane::State::run() {
  WallTime next_clean_up = wall_now();
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, kTick, [this] { return stopping; })) {
    lock.unlock();
    tailnet->tick(wall_now());
    machine->tick();
    probes->tick(wall_now());
    pings->tick(wall_now());
    ssh_checks->tick(wall_now());
    deadlines.tick(Millis(monotonic_us() / 1000));
    if (hub) hub->tick();
    if (wall_now() >= next_clean_up) {
      next_clean_up = wall_now() + std::chrono::hours(1);
      clean_up();
    }
    lock.lock();
  }
}

ControlPlane::ControlPlane(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlPlane::~ControlPlane() { stop(); }

Result<std::unique_ptr<ControlPlane>, std::string> ControlPlane::open(
    const Config& config, const tailcfg::PrivateKey& noise_key, control::Directory& directory,
    telemetry::Log& log, telemetry::Metrics& metrics) {
  auto state = std::make_unique<State>(noise_key, directory, log, metrics);
  const LimitsConfig& l = config.limits;
  state->limits = l;
  state->half_open.emplace(ts2021::HalfOpen::Limits{l.half_open.total, l.half_open.per_address,
                                                    l.waiting.total, l.waiting.per_address},
                           is_loopback);  // a local tunnel or connector
  ES_CHECK(state->open_stun(config));
  ES_TRY(state->sources, MapSources::open(state->as_bound(config), log));
  ES_CHECK(state->open_tailnet(config));
  ES_CHECK(state->open_policy(config));
  ES_CHECK(state->open_relay(config));
  return std::unique_ptr<ControlPlane>(new ControlPlane(std::move(state)));
}

void ControlPlane::add_routes(net::Router& router) {
  State* const state = state_.get();
  ts2021::Options options;
  options.clock = [] { return Millis(monotonic_us() / 1000); };
  options.half_open = &*state->half_open;
  options.deadlines = &state->deadlines;
  options.stranger_timeout = state->limits.stranger_timeout;
  options.write_timeout = state->limits.write_timeout;
  options.limits.request_timeout = state->limits.body_timeout;
  options.stranger_limits.request_timeout = state->limits.body_timeout;
  options.make_handler = [state](const std::shared_ptr<ts2021::Connection>& connection) {
    return state->machine->serve(connection);
  };
  const auto make_keys = [state] {
    ts2021::Keys keys;
    keys.static_private = state->noise_key.raw();
    fill_random(keys.ephemeral_private);
    noise::Key challenge;
    fill_random(challenge);
    if (const auto public_key = noise::x25519_public(challenge); public_key.ok()) {
      keys.challenge_public = *public_key;
    }
    return keys;
  };
  const net::UpgradeHandler control =
      ts2021::upgrade_handler(std::move(options), make_keys, [state](const Error& error) {
        state->log.write_bounded(telemetry::Level::kDebug, "a handshake failed",
                                 {{"reason", error.what}});
      });
  router.add_upgrade("POST", "/ts2021", control);
  router.add_upgrade("GET", "/ts2021", control);  // WebSocket
  api::RelayOptions relay;
  relay.knows = [state](const tailcfg::NodeKey& key) { return state->tailnet->knows(key); };
  relay.bootstrap_dns = [state](std::string_view name) {
    return state->sources->bootstrap_dns_json(name);
  };
  api::add_relay_routes(router, std::move(relay));
  if (!state->hub) return;
  router.add_upgrade("GET", "/derp", derp::upgrade_handler(*state->hub));
  const auto probe = [](const net::Request&, const net::Reply& reply) { reply({200, {}, {}}); };
  router.add("GET", "/derp/probe", probe);
  router.add("GET", "/derp/latency-check", probe);
  router.add("GET", "/generate_204", [](const net::Request& request, const net::Reply& reply) {
    reply(no_content(request));
  });
}

void ControlPlane::start() {
  State* const state = state_.get();
  state->sources->start(
      {[state](std::string json) { state->tailnet->set_dns_config(std::move(json)); },
       [state](std::string json) { state->tailnet->set_derp_map(std::move(json)); }});
  state->policy->start();
  state->ticker = std::thread([state] { state->run(); });
  if (state->stun_server) state->stun_thread = std::thread([state] { state->io.run(); });
}

void ControlPlane::stop() {
  State& s = *state_;
  s.sources->stop();
  if (s.policy) s.policy->stop();
  {
    const std::lock_guard lock(s.mutex);
    s.stopping = true;
  }
  s.wake.notify_all();
  if (s.ticker.joinable()) s.ticker.join();
  s.io.stop();
  if (s.stun_thread.joinable()) s.stun_thread.join();
}

control::SshChecks& ControlPlane::ssh_checks() { return *state_->ssh_checks; }
control::Tailnet& ControlPlane::tailnet() { return *state_->tailnet; }

Result<void, std::string> ControlPlane::reload(const Config& config) {
  State& s = *state_;
  const bool database = config.policy.mode == "database";
  if (database != (s.policy->mode() == control::PolicyDesk::Mode::kDatabase)) {
    return std::string("policy.mode changes only with a restart");
  }
  if (!database) ES_CHECK(s.policy->reload(policy_file(config.policy.path)));
  // A policy that was good stays in service when this is wrong: its file is followed anyway.
  return s.sources->reload(s.as_bound(config));
}

void ControlPlane::ping(uint64_t node, const std::function<void(std::string json)>& answer) {
  struct Round {
    std::mutex mutex;
    int open = 2;
    std::string json;
  };
  const auto round = std::make_shared<Round>();
  const auto take = [round, answer](const char* name, const std::string& value) {
    {
      const std::lock_guard lock(round->mutex);
      round->json += (round->json.empty() ? "{\"" : ",\"") + std::string(name) + "\":" + value;
      if (--round->open > 0) return;
    }
    answer(round->json + "}");
  };
  // Milliseconds until an answer that is as it should be; null: none.
  const auto timed = [take, begun = monotonic_us()](const char* name, std::string_view expected) {
    return [take, begun, name, expected](const std::optional<std::string>& body) {
      const bool fine = body && body->find(expected) != std::string::npos;
      take(name, fine ? std::to_string((monotonic_us() - begun) / 1000) : "null");
    };
  };
  constexpr Millis kPatience{5000};
  control::Pings& pings = *state_->pings;
  if (!pings.is_there(node, kPatience, wall_now(), timed("requestMs", ""))) {
    take("requestMs", "null");
  }
  constexpr std::string_view kEcho =
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nping";
  if (!pings.c2n(node, kEcho, kPatience, wall_now(), timed("c2nMs", "ping"))) take("c2nMs", "null");
}

std::string ControlPlane::derp_debug_json() const {
  const State& s = *state_;
  return "{\"embedded\":" + (s.hub ? std::to_string(s.region_id) : std::string("null")) +
         ",\"map\":" + s.sources->derp_map_json() + "}";
}

control::PolicyDesk& ControlPlane::policy() { return *state_->policy; }

void ControlPlane::add_metrics() {
  State* const s = state_.get();
  add_tailnet_metrics(s->metrics, *s->tailnet);
  add_handshake_metrics(s->metrics, *s->half_open);
  if (s->hub) add_relay_metrics(s->metrics, *s->hub);
  if (s->stun_server) add_stun_metrics(s->metrics, s->stun_server->counters());
}

}  // namespace es::cli

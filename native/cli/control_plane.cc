#include "native/cli/control_plane.h"

#include "common/base/ip_address.h"
#include "native/api/machine.h"
#include "native/cli/system.h"
#include "native/cli/values.h"
#include "native/derp/hub.h"
#include "native/derp/upgrade.h"
#include "native/noise/crypto.h"
#include "native/stun/udp_server.h"
#include "native/ts2021/upgrade.h"

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace es::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kTick{500};

std::string without_trailing_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

// Host and port of "https://host:port/path"; the scheme's port when there is none.
std::pair<std::string, uint16_t> host_and_port(std::string_view url) {
  const bool tls = url.starts_with("https://");
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  const size_t close = url.find(']');
  const size_t colon = url.find(':', close == std::string_view::npos ? 0 : close);
  std::string host(url.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  uint16_t port = tls ? 443 : 80;
  if (colon != std::string_view::npos) {
    port = static_cast<uint16_t>(
        std::strtoul(std::string(url.substr(colon + 1)).c_str(), nullptr, 10));
  }
  return {std::move(host), port};
}

std::string server_url_of(const Config& config) {
  if (!config.server_url.empty()) return without_trailing_slash(config.server_url);
  return (config.tls.cert_path.empty() ? "http://" : "https://") + config.listen_addr;
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

std::string dns_config_json(const Config& config) {
  const DnsConfig& dns = config.dns;
  json out = json::object();
  const auto resolvers = [](const TextList& list) {
    json array = json::array();
    for (const std::string& address : list) array.push_back({{"Addr", address}});
    return array;
  };
  json domains = json::array();
  json routes = json::object();
  if (dns.magic_dns && !dns.base_domain.empty()) {
    domains.push_back(dns.base_domain);
    routes[dns.base_domain] = json::array();  // answered by the client itself
  }
  for (const std::string& domain : dns.search_domains) domains.push_back(domain);
  for (const auto& [suffix, servers] : dns.nameservers_split) routes[suffix] = resolvers(servers);
  if (!domains.empty()) out["Domains"] = domains;
  if (!routes.empty()) out["Routes"] = routes;
  if (!dns.nameservers_global.empty()) {
    out[dns.override_local_dns ? "Resolvers" : "FallbackResolvers"] =
        resolvers(dns.nameservers_global);
  }
  for (const DnsRecord& record : dns.extra_records) {
    out["ExtraRecords"].push_back(
        {{"Name", record.name}, {"Type", record.type}, {"Value", record.value}});
  }
  if (dns.magic_dns) out["Proxied"] = true;
  return out.dump();
}

std::string derp_map_json(const Config& config) {
  const DerpServerConfig& server = config.derp.server;
  json regions = json::object();
  if (server.enabled && server.automatically_add_embedded_derp_region) {
    const auto [host, port] = host_and_port(server_url_of(config));
    const std::string id = std::to_string(server.region_id);
    json node = {{"Name", id + "a"},
                 {"RegionID", server.region_id},
                 {"HostName", host},
                 {"DERPPort", port == 443 ? 0 : port}};
    if (!server.ipv4.empty()) node["IPv4"] = server.ipv4;
    if (!server.ipv6.empty()) node["IPv6"] = server.ipv6;
    const auto stun = parse_listen_address(server.stun_listen_addr);
    node["STUNPort"] = server.stun_enabled && stun ? static_cast<int>(stun->port) : -1;
    regions[id] = {{"RegionID", server.region_id},
                   {"RegionCode", server.region_code},
                   {"RegionName", server.region_name},
                   {"Nodes", json::array({node})}};
  }
  return json{{"Regions", regions}}.dump();
}

struct ControlPlane::State {
  State(const tailcfg::PrivateKey& key, control::Directory& d, telemetry::Log& l)
      : noise_key(key), directory(d), log(l) {}
  ~State() { directory.listen({}); }

  Result<void, std::string> open_tailnet(const Config& config);
  Result<void, std::string> open_relay(const Config& config);
  void run();

  const tailcfg::PrivateKey noise_key;
  control::Directory& directory;
  telemetry::Log& log;
  std::unique_ptr<control::Tailnet> tailnet;
  std::unique_ptr<api::Machine> machine;
  std::unique_ptr<derp::Hub> hub;  // null: no embedded relay

  boost::asio::io_context io{1};
  std::optional<stun::UdpServer> stun_server;
  std::thread stun_thread;

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::thread ticker;
};

Result<void, std::string> ControlPlane::State::open_tailnet(const Config& config) {
  control::TailnetOptions options;
  options.server_url = server_url_of(config);
  options.base_domain = config.dns.base_domain;
  options.dns_config_json = dns_config_json(config);
  options.derp_map_json = derp_map_json(config);
  options.key_lifetime = config.node.expiry;
  options.ephemeral_timeout = config.node.ephemeral_inactivity_timeout;
  options.registration_lifetime = config.tuning.register_cache_expiration;
  options.max_registrations = config.tuning.register_cache_max_entries;
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
  directory.listen([this](auto commits) { tailnet->apply(commits); });
  machine = std::make_unique<api::Machine>(*tailnet, wall_now);
  return {};
}

Result<void, std::string> ControlPlane::State::open_relay(const Config& config) {
  const DerpServerConfig& server = config.derp.server;
  if (!server.enabled) return {};
  ES_TRY(const tailcfg::PrivateKey key, load_or_create_private_key(server.private_key_path));
  derp::HubConfig hub_config;
  hub_config.server.private_key = key.raw();
  derp::HubEnvironment environment;
  environment.clock = [] { return Millis(monotonic_us() / 1000); };
  environment.random = fill_random;
  environment.admit = [this, verify = server.verify_clients](derp::ConnId, const derp::Key& client,
                                                             const derp::Endpoint&) {
    const bool known = !verify || tailnet->knows(tailcfg::NodeKey(client));
    return known ? derp::Admission::kAdmit : derp::Admission::kRefuse;
  };
  auto made = derp::Hub::create(hub_config, std::move(environment));
  if (!made.ok()) return "derp.server: " + std::string(made.error().what);
  hub = std::move(made).value();
  if (!server.stun_enabled) return {};
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

// Housekeeping: offline and ephemeral nodes, keep-alives, the relay's deadlines.
void ControlPlane::State::run() {
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, kTick, [this] { return stopping; })) {
    lock.unlock();
    tailnet->tick(wall_now());
    machine->tick();
    if (hub) hub->tick();
    lock.lock();
  }
}

ControlPlane::ControlPlane(std::unique_ptr<State> state) : state_(std::move(state)) {}

ControlPlane::~ControlPlane() { stop(); }

Result<std::unique_ptr<ControlPlane>, std::string> ControlPlane::open(
    const Config& config, const tailcfg::PrivateKey& noise_key, control::Directory& directory,
    telemetry::Log& log) {
  auto state = std::make_unique<State>(noise_key, directory, log);
  ES_CHECK(state->open_tailnet(config));
  ES_CHECK(state->open_relay(config));
  return std::unique_ptr<ControlPlane>(new ControlPlane(std::move(state)));
}

void ControlPlane::add_routes(net::Router& router) {
  State* const state = state_.get();
  ts2021::Options options;
  options.clock = [] { return Millis(monotonic_us() / 1000); };
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
  state->ticker = std::thread([state] { state->run(); });
  if (state->stun_server) state->stun_thread = std::thread([state] { state->io.run(); });
}

void ControlPlane::stop() {
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    s.stopping = true;
  }
  s.wake.notify_all();
  if (s.ticker.joinable()) s.ticker.join();
  s.io.stop();
  if (s.stun_thread.joinable()) s.stun_thread.join();
}

control::Tailnet& ControlPlane::tailnet() { return *state_->tailnet; }

control::TailnetStats ControlPlane::stats() const { return state_->tailnet->stats(); }

}  // namespace es::cli

#include "tests/bench/storm/control_load.h"

#include "native/tailcfg/keys.h"
#include "tests/bench/storm/control_connection.h"
#include "tests/bench/storm/map_message.h"
#include "tests/bench/storm/process_cost.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <unordered_set>
#include <utility>

namespace es::storm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr asio::use_awaitable_t<Executor> kAwait;
// How many clients register at the same time.
constexpr size_t kRegistering = 8;
constexpr std::chrono::seconds kLongestPause{30};
constexpr std::chrono::seconds kPhaseTime{300};

double ms_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Client {
  size_t index = 0;
  std::string name;
  noise::Key machine_private{};
  tailcfg::NodeKey node_key;
  tailcfg::DiscoKey disco_key;
  std::string endpoint;
  std::shared_ptr<ControlConnection> connection;
  size_t failures = 0;  // one after the other
  // Of the current map stream:
  bool started = false;
  std::unordered_set<uint64_t> peers;
  std::optional<TimePoint> first_map;  // since the phase began
  size_t first_map_bytes = 0;          // compressed
  size_t first_map_peers = 0;
  uint64_t session = 0;  // what came for an older one is dropped
};

struct Arrival {
  Client* client;
  uint64_t session;
  TimePoint at;
  std::string payload;
};

// Something whose arrival at every other client is waited for.
struct Watch {
  std::string text;             // that a message holds then
  std::vector<TimePoint> seen;  // by client index; zero: not yet
  size_t num_seen = 0;
};

class ControlLoad {
 public:
  explicit ControlLoad(const ControlOptions& options) : options_(options) {}

  ControlReport run() {
    std::exception_ptr failure;
    bool over = false;
    asio::co_spawn(io_, phases(), [&](const std::exception_ptr& error) {
      failure = error;
      over = true;
    });
    while (!over) {
      if (io_.poll() > 0) continue;
      if (!arrivals_.empty()) {
        const Arrival arrival = std::move(arrivals_.front());
        arrivals_.pop_front();
        read(arrival);
        continue;
      }
      io_.run_one();
    }
    clients_.clear();
    if (failure) std::rethrow_exception(failure);
    return std::move(report_);
  }

 private:
  Awaitable<void> phases();
  Awaitable<void> populate();
  Awaitable<void> idle();
  Awaitable<void> change_endpoints();
  Awaitable<void> reconnect_all();
  Awaitable<void> join_late();

  static std::unique_ptr<Client> make_client(size_t index, std::string name);
  asio::ip::address source_of(const Client& client) const;
  std::string host_info(const Client& client) const;
  Awaitable<void> connect(Client& client);
  Awaitable<void> register_client(Client& client);
  void open_map(Client& client);
  Awaitable<void> send_update(Client& client);
  Awaitable<void> populate_some(size_t& next, size_t& running);
  Awaitable<void> come_back(Client& client);
  Awaitable<void> log_out(Client& client);

  Awaitable<void> sleep(Clock::duration time);
  template <class Done>
  Awaitable<void> until(const char* what, Done done);
  void read(const Arrival& arrival);
  void note(const Arrival& arrival, const MapMessage& message);
  bool all_know(size_t peers) const;
  static void check_first_map(const Client& client, size_t peers);
  void start_watch(std::string text);
  double watched_ms(TimePoint from, std::vector<double>& each) const;

  ControlOptions options_;
  asio::io_context io_{1};
  Target target_;
  std::vector<std::unique_ptr<Client>> clients_;  // of the tailnet that stands
  std::vector<std::unique_ptr<Client>> joiners_;
  std::deque<Arrival> arrivals_;
  std::optional<Watch> watch_;
  std::string failed_;  // by a client that runs on its own
  std::string text_;
  ControlReport report_;
};

Awaitable<void> ControlLoad::phases() {
  target_.server = {asio::ip::make_address(options_.host), options_.port};
  target_.host = options_.host + ":" + std::to_string(options_.port);
  const std::string key = co_await http_get(target_.server, target_.host,
                                            "/key?v=" + std::to_string(kCapabilityVersion));
  // The last "mkey:" of the answer is "publicKey"; the legacy one stands before it.
  const size_t at = key.rfind("mkey:");
  const auto parsed =
      tailcfg::MachineKey::parse(std::string_view(key).substr(std::min(at, key.size()), 69));
  if (!parsed || parsed->is_zero()) throw std::runtime_error("no Noise key: " + key);
  target_.server_key = parsed->raw();

  co_await populate();
  co_await idle();
  co_await change_endpoints();
  co_await reconnect_all();
  co_await join_late();
  const ProcessCost cost = cost_of(options_.server_pid);
  report_.peak_rss_mb = static_cast<double>(cost.peak_bytes) / 1e6;
  report_.total_cpu_seconds = cost.cpu_seconds;
}

std::unique_ptr<Client> ControlLoad::make_client(size_t index, std::string name) {
  auto client = std::make_unique<Client>();
  client->index = index;
  client->name = std::move(name);
  client->machine_private = random_key();
  client->node_key = tailcfg::NodeKey(random_key());
  client->disco_key = tailcfg::DiscoKey(random_key());
  client->endpoint = "192.0.2.1:" + std::to_string(10000 + client->index);
  return client;
}

asio::ip::address ControlLoad::source_of(const Client& client) const {
  if (!target_.server.address().is_loopback()) return asio::ip::address_v4::any();
  const auto host = static_cast<uint32_t>(client.index + 1);
  return asio::ip::address_v4(0x7f100000U + host);
}

std::string ControlLoad::host_info(const Client& client) const {
  return R"({"IPNVersion":"1.90.0-tstorm","OS":"linux","OSVersion":"6.1.0","Distro":"debian",)"
         R"("DistroVersion":"12","DistroCodeName":"bookworm","Desktop":false,"GoArch":"amd64",)"
         R"("GoVersion":"go1.25.1","Machine":"x86_64","Hostname":")" +
         client.name +
         R"(","BackendLogID":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",)"
         R"("Services":[{"Proto":"peerapi4","Port":46321},{"Proto":"peerapi6","Port":46321}],)"
         R"("NetInfo":{"MappingVariesByDestIP":false,"HairPinning":null,"WorkingIPv6":false,)"
         R"("OSHasIPv6":true,"WorkingUDP":true,"UPnP":false,"PMP":false,"PCP":false,)"
         R"("PreferredDERP":999,"DERPLatency":{"999-v4":0.0012},"FirewallMode":"nft-default"},)"
         R"("Userspace":false,"UserspaceRouter":false,"Container":false})";
}

Awaitable<void> ControlLoad::connect(Client& client) {
  client.connection =
      co_await ControlConnection::open(io_, target_, source_of(client), client.machine_private);
}

Awaitable<void> ControlLoad::register_client(Client& client) {
  const Answer answer = co_await client.connection->post(
      "/machine/register", R"({"Version":)" + std::to_string(kCapabilityVersion) +
                               R"(,"NodeKey":")" + client.node_key.text() + R"(","OldNodeKey":")" +
                               tailcfg::NodeKey().text() + R"(","Auth":{"AuthKey":")" +
                               options_.auth_key +
                               R"("},"Expiry":"0001-01-01T00:00:00Z","Followup":"","Hostinfo":)" +
                               host_info(client) + "}");
  const bool admitted = answer.body.find("\"MachineAuthorized\":true") != std::string::npos;
  if (answer.status != 200 || !admitted) {
    throw std::runtime_error("registration: " + std::to_string(answer.status) + " " + answer.body);
  }
}

void ControlLoad::open_map(Client& client) {
  client.peers.clear();
  client.started = false;
  const uint64_t session = ++client.session;
  client.connection->stream(
      "/machine/map",
      R"({"Version":)" + std::to_string(kCapabilityVersion) +
          R"(,"Compress":"zstd","KeepAlive":true,"Stream":true,"NodeKey":")" +
          client.node_key.text() + R"(","DiscoKey":")" + client.disco_key.text() +
          R"(","Hostinfo":)" + host_info(client) + R"(,"Endpoints":[")" + client.endpoint +
          R"("],"EndpointTypes":[1]})",
      [this, &client, session](TimePoint at, std::string payload) {
        arrivals_.push_back({&client, session, at, std::move(payload)});
      },
      [this, &client, session](const std::string& why) {
        if (session != client.session) return;
        ++report_.broken_streams;
        report_.last_break = why;
        asio::co_spawn(io_, come_back(client), asio::detached);
      });
}

Awaitable<void> ControlLoad::send_update(Client& client) {
  const Answer answer = co_await client.connection->post(
      "/machine/map", R"({"Version":)" + std::to_string(kCapabilityVersion) +
                          R"(,"Compress":"zstd","Stream":false,"OmitPeers":true,"NodeKey":")" +
                          client.node_key.text() + R"(","DiscoKey":")" + client.disco_key.text() +
                          R"(","Hostinfo":)" + host_info(client) + R"(,"Endpoints":[")" +
                          client.endpoint + R"("],"EndpointTypes":[1]})");
  if (answer.status != 200) {
    throw std::runtime_error("update: " + std::to_string(answer.status) + " " + answer.body);
  }
}

Awaitable<void> ControlLoad::sleep(Clock::duration time) {
  Timer timer(io_, time);
  co_await timer.async_wait(kAwait);
}

template <class Done>
Awaitable<void> ControlLoad::until(const char* what, Done done) {
  const TimePoint deadline = Clock::now() + kPhaseTime;
  while (!done()) {
    if (!failed_.empty()) throw std::runtime_error(std::string(what) + ": " + failed_);
    if (Clock::now() > deadline) throw std::runtime_error(std::string(what) + ": too slow");
    co_await sleep(milliseconds(2));
  }
}

void ControlLoad::read(const Arrival& arrival) {
  if (arrival.session != arrival.client->session) return;
  decompress(arrival.payload, text_);
  note(arrival, read_map_message(text_));
}

void ControlLoad::note(const Arrival& arrival, const MapMessage& message) {
  Client& client = *arrival.client;
  if (message.keep_alive) return;
  if (!std::exchange(client.started, true)) {
    if (!message.whole) throw std::runtime_error("a map stream began without the own node");
    client.failures = 0;
  }
  if (!message.peers.empty()) client.peers = {message.peers.begin(), message.peers.end()};
  for (const uint64_t id : message.removed) client.peers.erase(id);
  client.peers.insert(message.changed.begin(), message.changed.end());
  if (!client.first_map) {
    client.first_map = arrival.at;
    client.first_map_bytes = arrival.payload.size();
    client.first_map_peers = message.peers.size();
  }
  if (!watch_ || client.index >= watch_->seen.size()) return;
  TimePoint& seen = watch_->seen[client.index];
  if (seen != TimePoint{} || text_.find(watch_->text) == std::string::npos) return;
  seen = arrival.at;
  ++watch_->num_seen;
}

bool ControlLoad::all_know(size_t peers) const {
  return arrivals_.empty() &&
         std::all_of(clients_.begin(), clients_.end(), [&](const auto& client) {
           return client->first_map && client->peers.size() >= peers;
         });
}

void ControlLoad::check_first_map(const Client& client, size_t peers) {
  if (client.first_map_peers >= peers) return;
  throw std::runtime_error(client.name + ": the first map has " +
                           std::to_string(client.first_map_peers) + " peers");
}

void ControlLoad::start_watch(std::string text) {
  watch_.emplace();
  watch_->text = std::move(text);
  watch_->seen.resize(clients_.size());
}

// Until the last one saw it; `each` takes all of them.
double ControlLoad::watched_ms(TimePoint from, std::vector<double>& each) const {
  for (const TimePoint seen : watch_->seen) {
    if (seen != TimePoint{}) each.push_back(ms_between(from, seen));
  }
  return *std::max_element(each.begin(), each.end());
}

Awaitable<void> ControlLoad::populate_some(size_t& next, size_t& running) {
  try {
    while (next < options_.nodes) {
      clients_.push_back(make_client(next, "storm-" + std::to_string(next)));
      Client& client = *clients_.back();
      ++next;
      co_await connect(client);
      co_await register_client(client);
      open_map(client);
      co_await send_update(client);
    }
  } catch (const std::exception& error) {
    failed_ = error.what();
  }
  --running;
}

Awaitable<void> ControlLoad::populate() {
  const TimePoint begun = Clock::now();
  size_t next = 0;
  size_t running = std::min(kRegistering, options_.nodes);
  for (size_t i = running; i > 0; --i) {
    asio::co_spawn(io_, populate_some(next, running), asio::detached);
  }
  const auto all = [&] { return running == 0 && all_know(options_.nodes - 1); };
  try {
    co_await until("populate", all);
  } catch (const std::exception& error) {
    const auto blind = std::min_element(
        clients_.begin(), clients_.end(),
        [](const auto& a, const auto& b) { return a->peers.size() < b->peers.size(); });
    throw std::runtime_error(std::string(error.what()) + "; the client that knows fewest knows " +
                             std::to_string((*blind)->peers.size()));
  }
  report_.populate_seconds = ms_between(begun, Clock::now()) / 1000;
}

Awaitable<void> ControlLoad::idle() {
  co_await sleep(options_.settle);
  const double before = cost_of(options_.server_pid).cpu_seconds;
  co_await sleep(options_.idle);
  const ProcessCost after = cost_of(options_.server_pid);
  report_.idle_cpu_seconds = after.cpu_seconds - before;
  report_.idle_rss_mb = static_cast<double>(after.rss_bytes) / 1e6;
  report_.idle_anon_mb = static_cast<double>(after.anon_bytes) / 1e6;
}

Awaitable<void> ControlLoad::change_endpoints() {
  for (size_t i = 0; i < options_.changes; ++i) {
    Client& changed = *clients_[(i * 37) % options_.nodes];
    changed.endpoint = "198.51.100.7:" + std::to_string(20000 + i);
    start_watch(changed.endpoint);
    const TimePoint begun = Clock::now();
    co_await send_update(changed);
    // The own node's map may hold it too.
    const auto everybody = [&] {
      const bool self = watch_->seen[changed.index] != TimePoint{};
      return watch_->num_seen >= options_.nodes - 1 + (self ? 1 : 0);
    };
    co_await until("endpoint change", everybody);
    watch_->seen[changed.index] = {};
    std::vector<double> each;
    report_.change_all_ms.push_back(watched_ms(begun, each));
    report_.change_median_ms.push_back(median(std::move(each)));
    watch_.reset();
    co_await sleep(milliseconds(200));
  }
}

// A new connection and map stream; as clients do, again and again with pauses that grow.
Awaitable<void> ControlLoad::come_back(Client& client) {
  ++client.session;
  for (;;) {
    const auto pause = milliseconds(10 * client.failures * client.failures);
    if (pause > milliseconds(0)) co_await sleep(std::min<Clock::duration>(pause, kLongestPause));
    ++client.failures;
    try {
      client.connection->close();
      co_await connect(client);
      open_map(client);
      co_await send_update(client);
      co_return;
    } catch (const std::exception& error) {
      ++report_.broken_streams;
      report_.last_break = error.what();
    }
  }
}

Awaitable<void> ControlLoad::reconnect_all() {
  for (size_t round = 0; round < options_.reconnects; ++round) {
    co_await sleep(std::chrono::seconds(2));
    for (const auto& client : clients_) {
      client->connection->close();
      client->first_map.reset();
      client->failures = 0;
    }
    const double cpu = cost_of(options_.server_pid).cpu_seconds;
    const TimePoint begun = Clock::now();
    for (const auto& client : clients_) {
      asio::co_spawn(io_, come_back(*client), asio::detached);
    }
    co_await until("reconnect", [&] { return all_know(options_.nodes - 1); });
    std::vector<double> each;
    for (const auto& client : clients_) {
      check_first_map(*client, options_.nodes - 1);
      each.push_back(ms_between(begun, *client->first_map));
    }
    report_.reconnect_ms.push_back(*std::max_element(each.begin(), each.end()));
    report_.reconnect_median_ms.push_back(median(std::move(each)));
    report_.reconnect_cpu_seconds.push_back(cost_of(options_.server_pid).cpu_seconds - cpu);
  }
  report_.first_map_bytes = clients_.front()->first_map_bytes;
}

// What a client sends on `tailscale logout`.
Awaitable<void> ControlLoad::log_out(Client& client) {
  (void)co_await client.connection->post("/machine/register",
                                         R"({"Version":)" + std::to_string(kCapabilityVersion) +
                                             R"(,"NodeKey":")" + client.node_key.text() +
                                             R"(","Expiry":"1970-01-01T00:02:03Z","Hostinfo":)" +
                                             host_info(client) + "}");
}

Awaitable<void> ControlLoad::join_late() {
  for (size_t i = 0; i < options_.joins; ++i) {
    co_await sleep(milliseconds(500));
    joiners_.push_back(make_client(options_.nodes, "join-" + std::to_string(i)));
    Client& client = *joiners_.back();
    start_watch("\"" + client.name + ".");
    const TimePoint begun = Clock::now();
    co_await connect(client);
    co_await register_client(client);
    open_map(client);
    co_await until("join", [&] {
      return client.first_map && watch_->num_seen == options_.nodes && arrivals_.empty();
    });
    check_first_map(client, options_.nodes);
    report_.join_ms.push_back(ms_between(begun, *client.first_map));
    std::vector<double> each;
    report_.join_all_ms.push_back(watched_ms(begun, each));
    watch_.reset();
    co_await log_out(client);
    client.connection->close();
    ++client.session;
  }
}

}  // namespace

ControlReport run_control_load(const ControlOptions& options) { return ControlLoad(options).run(); }

}  // namespace es::storm

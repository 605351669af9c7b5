#include "native/cli/map_sources.h"

#include "native/cli/client.h"
#include "native/cli/client_maps.h"
#include "native/cli/values.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <condition_variable>
#include <map>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <tuple>
#include <utility>

namespace es::cli {
namespace {

using Steady = std::chrono::steady_clock;
using TimePoint = Steady::time_point;

constexpr uint64_t kMaxMapBytes = 1024 * 1024;
constexpr Millis kFetchTimeout{10'000};
constexpr size_t kMaxNames = 64;
// Without a resolver every look-up takes its whole time: a round is given up then.
constexpr int kMaxFailedLookups = 3;
constexpr Millis kStopPatience{1000};

Result<MapSources::Fetched, std::string> fetch_url(const std::string& url) {
  Endpoint endpoint;
  endpoint.url = url;
  endpoint.timeout = kFetchTimeout;
  endpoint.max_body = kMaxMapBytes;
  endpoint.reader = Endpoint::For::kServer;
  auto answer = call(endpoint, "GET", "", "");
  if (!answer.ok()) return answer.error().text;
  if (answer->status != 200) return url + " answered " + std::to_string(answer->status);
  return MapSources::Fetched{std::move(answer->body)};
}

std::vector<std::string> look_up(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return {};
  std::set<std::string> out;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    char text[INET6_ADDRSTRLEN];
    if (::getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0) {
      out.insert(text);
    }
  }
  ::freeaddrinfo(found);
  return {out.begin(), out.end()};
}

// What tells one version of a file from another; a replaced file has another inode.
using Signature = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;
Signature signature_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

template <class T>
struct Watched {
  T content;
  Signature read;  // of what `content` was made of, or of what could not be used
  Signature seen;  // at the last look

  // A change is read once two looks agree, so that a file is not read while it is written.
  bool is_due(const std::string& path) {
    const Signature now = signature_of(path);
    const bool settled = std::exchange(seen, now) == now;
    if (!settled || now == read) return false;
    read = now;
    return true;
  }
};

struct UrlSource {
  std::optional<tailcfg::DerpMap> map;  // the last good one
  TimePoint due{};                      // the epoch: at once
  int failures = 0;
};

}  // namespace

struct MapSources::State {
  State(telemetry::Log& l, Outside o) : log(l), outside(std::move(o)) {}

  // What files hold; read as a whole, so that a reload changes all or nothing.
  struct Files {
    std::map<std::string, Watched<tailcfg::DerpMap>> derp_maps;
    Watched<std::vector<DnsRecord>> records;
  };
  static Result<Files, std::string> read_files(const Config& config);

  // Under the mutex:
  std::string dns_config_json() const {
    return cli::dns_config_json(config, config.dns.extra_records_path.empty()
                                            ? config.dns.extra_records
                                            : files.records.content);
  }
  tailcfg::DerpMap derp_map() const;
  std::set<std::string> names() const;
  void publish_all() const {
    if (publish.dns_config) publish.dns_config(dns_config_json());
    if (publish.derp_map) publish.derp_map(tailcfg::to_json(derp_map()));
  }
  void look_at_files();
  void take_answer(const std::string& url, Result<Fetched, std::string> answer);
  std::optional<std::string> due_url(TimePoint now);
  TimePoint next_due() const;

  void watch();
  void fetch();
  void look_up_names(std::unique_lock<std::mutex>& lock);

  telemetry::Log& log;
  const Outside outside;

  mutable std::mutex mutex;
  std::condition_variable wake;
  Config config;
  Files files;
  std::map<std::string, UrlSource> urls;
  std::map<std::string, std::vector<std::string>> addresses;
  TimePoint look_up_due{};
  Publish publish;
  bool started = false;
  bool stopping = false;
  bool fetcher_done = false;
  std::thread watcher;
  std::thread fetcher;
};

Result<MapSources::State::Files, std::string> MapSources::State::read_files(const Config& config) {
  Files out;
  for (const std::string& path : config.derp.paths) {
    // The signature first: a change in between is seen again.
    Watched<tailcfg::DerpMap>& file = out.derp_maps[path];
    file.read = file.seen = signature_of(path);
    auto map = read_derp_map_file(path);
    if (!map.ok()) return "derp.paths: " + map.error();
    file.content = std::move(map).value();
  }
  const std::string& path = config.dns.extra_records_path;
  if (path.empty()) return out;
  out.records.read = out.records.seen = signature_of(path);
  auto records = read_extra_records(path);
  if (!records.ok()) return "dns.extra_records_path: " + records.error();
  out.records.content = std::move(records).value();
  return out;
}

tailcfg::DerpMap MapSources::State::derp_map() const {
  tailcfg::DerpMap out;
  for (const std::string& url : config.derp.urls) {
    const auto it = urls.find(url);
    if (it != urls.end() && it->second.map) out.merge(*it->second.map);
  }
  for (const std::string& path : config.derp.paths) {
    if (const auto it = files.derp_maps.find(path); it != files.derp_maps.end()) {
      out.merge(it->second.content);
    }
  }
  if (auto own = embedded_region(config)) {
    const uint32_t id = own->id;
    out.regions[id] = std::move(*own);
  }
  return out;
}

// Hosts that clients reach by name: this server's and the relays'.
std::set<std::string> MapSources::State::names() const {
  std::set<std::string> out;
  const auto add = [&](const std::string& name) {
    if (out.size() < kMaxNames && !parse_ip(name) && is_dns_name(name)) out.insert(name);
  };
  add(host_and_port(server_url_of(config)).first);
  for (const auto& [id, region] : derp_map().regions) {
    if (!region) continue;
    for (const tailcfg::DerpNode& node : region->nodes) add(node.host_name);
  }
  return out;
}

void MapSources::State::look_at_files() {
  bool changed = false;
  for (auto& [path, file] : files.derp_maps) {
    if (!file.is_due(path)) continue;
    auto map = read_derp_map_file(path);
    if (map.ok()) {
      file.content = std::move(map).value();
      changed = true;
      log.info("a DERP map has changed", {{"path", path}});
    } else {
      log.warn("a DERP map cannot be used, the last one stays", {{"reason", map.error()}});
    }
  }
  const std::string& path = config.dns.extra_records_path;
  if (!path.empty() && files.records.is_due(path)) {
    auto records = read_extra_records(path);
    if (records.ok()) {
      files.records.content = std::move(records).value();
      changed = true;
      log.info("the extra DNS records have changed",
               {{"path", path}, {"records", files.records.content.size()}});
    } else {
      log.warn("the extra DNS records cannot be used, the last ones stay",
               {{"reason", records.error()}});
    }
  }
  if (changed) publish_all();
}

void MapSources::State::watch() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const bool has_files = !files.derp_maps.empty() || !config.dns.extra_records_path.empty();
    if (!has_files) {
      wake.wait(lock);
    } else if (wake.wait_for(lock, outside.look_at_files) == std::cv_status::timeout) {
      look_at_files();
    }
  }
}

std::optional<std::string> MapSources::State::due_url(TimePoint now) {
  for (const std::string& url : config.derp.urls) {
    if (urls[url].due <= now) return url;
  }
  return std::nullopt;
}

TimePoint MapSources::State::next_due() const {
  TimePoint next = look_up_due;
  for (const std::string& url : config.derp.urls) {
    if (const auto it = urls.find(url); it != urls.end()) next = std::min(next, it->second.due);
  }
  return next;
}

void MapSources::State::take_answer(const std::string& url, Result<Fetched, std::string> answer) {
  UrlSource& source = urls[url];
  auto map = answer.ok() ? tailcfg::parse_derp_map(answer->body)
                         : Result<tailcfg::DerpMap, std::string>(answer.error());
  if (!map.ok()) {
    // 30 s, 1 min, 2 min, ... but no more often than it is updated.
    const auto patience = outside.first_retry * (int64_t{1} << std::min(source.failures++, 10));
    source.due = Steady::now() + std::min<Millis>(patience, config.derp.update_frequency);
    log.warn(source.map ? "a DERP map cannot be fetched, the last one stays"
                        : "a DERP map cannot be fetched",
             {{"url", url}, {"reason", map.error()}});
    return;
  }
  const bool changed = source.map != *map;
  source.map = std::move(map).value();
  source.failures = 0;
  source.due = config.derp.auto_update_enabled ? Steady::now() + config.derp.update_frequency
                                               : TimePoint::max();
  if (!changed) return;
  log.info("a DERP map was fetched", {{"url", url}, {"regions", source.map->regions.size()}});
  look_up_due = TimePoint{};
  publish_all();
}

void MapSources::State::look_up_names(std::unique_lock<std::mutex>& lock) {
  look_up_due = Steady::now() + outside.look_up_again;
  const std::set<std::string> wanted = names();
  std::erase_if(addresses, [&](const auto& entry) { return !wanted.contains(entry.first); });
  int failed = 0;
  for (const std::string& name : wanted) {
    lock.unlock();
    std::vector<std::string> found = outside.lookup(name);
    lock.lock();
    if (stopping || (found.empty() && ++failed == kMaxFailedLookups)) return;
    if (!found.empty()) addresses[name] = std::move(found);
  }
}

void MapSources::State::fetch() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (const auto url = due_url(Steady::now())) {
      lock.unlock();
      auto answer = outside.fetch(*url);
      lock.lock();
      if (stopping) break;
      take_answer(*url, std::move(answer));
    } else if (look_up_due <= Steady::now()) {
      look_up_names(lock);
    } else {
      wake.wait_until(lock, std::min(next_due(), Steady::now() + std::chrono::hours(1)));
    }
  }
  fetcher_done = true;
  lock.unlock();
  wake.notify_all();
}

MapSources::Outside MapSources::real_world() {
  Outside out;
  out.fetch = fetch_url;
  out.lookup = look_up;
  return out;
}

Result<std::unique_ptr<MapSources>, std::string> MapSources::open(const Config& config,
                                                                  telemetry::Log& log,
                                                                  Outside outside) {
  auto state = std::make_shared<State>(log, std::move(outside));
  state->config = config;
  ES_TRY(state->files, State::read_files(config));
  return std::unique_ptr<MapSources>(new MapSources(std::move(state)));
}

MapSources::MapSources(std::shared_ptr<State> state) : state_(std::move(state)) {}
MapSources::~MapSources() { stop(); }

std::string MapSources::dns_config_json() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dns_config_json();
}

std::string MapSources::derp_map_json() const {
  const std::lock_guard lock(state_->mutex);
  return tailcfg::to_json(state_->derp_map());
}

std::string MapSources::bootstrap_dns_json(std::string_view name) const {
  nlohmann::json out = nlohmann::json::object();
  const std::lock_guard lock(state_->mutex);
  const auto one = state_->addresses.find(std::string(name));
  if (one != state_->addresses.end()) {
    out[one->first] = one->second;
  } else {
    for (const auto& [known, addresses] : state_->addresses) out[known] = addresses;
  }
  return out.dump();
}

void MapSources::start(Publish publish) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.publish = std::move(publish);
  if (std::exchange(s.started, true)) return;
  s.watcher = std::thread([state = state_] { state->watch(); });
  s.fetcher = std::thread([state = state_] { state->fetch(); });
}

Result<void, std::string> MapSources::reload(const Config& config) {
  ES_TRY(State::Files files, State::read_files(config));
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    s.config = config;
    s.files = std::move(files);
    for (auto& [url, source] : s.urls) source.due = TimePoint{};
    s.look_up_due = TimePoint{};
    s.publish_all();
  }
  s.wake.notify_all();
  return {};
}

void MapSources::stop() {
  State& s = *state_;
  bool done = false;
  {
    std::unique_lock lock(s.mutex);
    s.stopping = true;
    s.publish = {};
    s.wake.notify_all();
    if (!s.started) return;
    done = s.wake.wait_for(lock, kStopPatience, [&] { return s.fetcher_done; });
  }
  if (s.watcher.joinable()) s.watcher.join();
  if (!s.fetcher.joinable()) return;
  // In a look-up that nothing can interrupt: it holds its own reference and sees `stopping`.
  if (done) {
    s.fetcher.join();
  } else {
    s.fetcher.detach();
  }
}

}  // namespace es::cli

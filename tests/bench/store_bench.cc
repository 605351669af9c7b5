// Pre-auth keys made by concurrent clients: one commit shared by many against one commit each, in
// one run on one disk, everything acknowledged after its fsync. Checks that every acknowledged key
// is in the database afterwards. Then the list of 1,000 users: rendered anew against kept.
//
// usage: native_store_bench [DIRECTORY]   (default: a new one in the system's temporary folder)
#include "native/api/render.h"
#include "native/api/v1.h"
#include "native/control/directory.h"
#include "native/store/sqlite_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace es;
using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "store_bench: %s\n", why.c_str());
  std::exit(1);
}

std::unique_ptr<control::Directory> open(const std::string& path, size_t max_group) {
  store::SqliteOptions options;
  options.path = path;
  options.max_group = max_group;
  auto opened = store::open_sqlite(std::move(options));
  if (!opened.ok()) die(opened.error().text);
  control::Directory::Options directory_options;
  auto engine = std::make_shared<std::pair<std::mutex, std::mt19937_64>>();
  engine->second.seed(std::random_device{}());
  directory_options.random = [engine](MutableBytes out) {
    const std::lock_guard lock(engine->first);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine->second());
  };
  auto directory = control::Directory::create(std::move(*opened), std::move(directory_options));
  if (!directory.ok()) die(directory.error().text);
  return std::move(*directory);
}

// `clients` requests are in flight all the time: each answer asks for the next key.
struct Load {
  Load(control::Directory& d, size_t n) : directory(d), total(n) {}

  control::Directory& directory;
  const size_t total;
  std::atomic<size_t> asked = 0;
  std::vector<double> latencies_ms;  // on the store's thread only
  std::mutex mutex;
  std::condition_variable done;

  void next() {
    if (asked.fetch_add(1) >= total) return;
    const auto begin = Clock::now();
    control::NewPreAuthKey key;
    key.user_id = 1;
    directory.create_pre_auth_key(key, wall_time_ms(1'790'000'000'000), [this, begin](auto result) {
      if (!result.ok()) die(result.error().text);
      next();
      const std::lock_guard lock(mutex);
      latencies_ms.push_back(
          std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
      if (latencies_ms.size() == total) done.notify_all();
    });
  }

  double run(size_t clients) {
    const auto begin = Clock::now();
    for (size_t i = 0; i < clients; ++i) next();
    std::unique_lock lock(mutex);
    done.wait(lock, [this] { return latencies_ms.size() == total; });
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }
};

double measure(const std::string& path, size_t max_group, size_t clients, size_t total,
               const char* label) {
  {
    auto directory = open(path, max_group);
    control::NewUser user;
    user.name = "bench";
    directory->create_user(user, wall_time_ms(0), [](auto) {});
    std::atomic<bool> ready = false;
    directory->ping([&](auto) { ready = true; });
    while (!ready) std::this_thread::yield();
    Load load(*directory, total);
    const double seconds = load.run(clients);
    std::sort(load.latencies_ms.begin(), load.latencies_ms.end());
    const double rate = static_cast<double>(total) / seconds;
    std::printf("%-16s %4zu clients %9.0f keys/s   p50 %7.2f ms   p99 %7.2f ms\n", label, clients,
                rate, load.latencies_ms[total / 2], load.latencies_ms[total * 99 / 100]);
    directory->close();
    directory.reset();
    const size_t stored = open(path, max_group)->pre_auth_keys().rows.size();
    if (stored != total)
      die("acknowledged " + std::to_string(total) + ", stored " + std::to_string(stored));
    std::filesystem::remove(path);
    return rate;
  }
}

void measure_list(const std::string& path) {
  auto directory = open(path, 1024);
  std::atomic<size_t> made = 0;
  for (int i = 0; i < 1000; ++i) {
    control::NewUser user;
    user.name = "user" + std::to_string(i);
    user.email = user.name + "@example.com";
    directory->create_user(user, wall_time_ms(1'790'000'000'000), [&](auto) { ++made; });
  }
  while (made < 1000) std::this_thread::yield();
  control::TailnetOptions options;
  options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
  const auto tailnet =
      control::Tailnet::create(*directory, {}, std::move(options), WallTime{}).value();
  const auto desk = control::PolicyDesk::open(*directory, *tailnet, {}).value();
  control::SshChecks ssh_checks(*tailnet, {});
  api::V1 v1(*directory, *tailnet, *desk, ssh_checks);
  net::Router router;
  v1.add_routes(router);
  const net::Match match = router.match("GET", "/api/v1/user");
  net::Request request;
  size_t bytes = 0;
  const auto ask = [&] {
    match.route->handler(request, [&](net::Response r) { bytes = r.body.size(); });
  };
  ask();
  constexpr int kRuns = 2000;
  const auto begin = Clock::now();
  for (int i = 0; i < kRuns; ++i) ask();
  const double kept =
      std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / kRuns;
  const auto users = directory->users();
  const auto begin_anew = Clock::now();
  for (int i = 0; i < kRuns / 10; ++i) {
    std::string body;
    for (const auto& user : users.rows) api::append_user(body, *user);
    if (body.size() + 999 + std::string_view("{\"users\":[]}").size() != bytes) {
      die("the two lists differ");
    }
  }
  const double anew =
      std::chrono::duration<double, std::micro>(Clock::now() - begin_anew).count() / (kRuns / 10);
  std::printf("list of 1,000 users, %zu bytes: kept %.1f us, rendered anew %.1f us\n", bytes, kept,
              anew);
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path dir =
      argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path();
  std::string pattern = (dir / "es_store_bench_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) die("cannot make a folder in " + dir.string());
  for (const size_t clients : {1UL, 64UL, 1000UL}) {
    // Commits one by one take seconds for what a group does in one.
    const double each =
        measure(pattern + "/each", 1, clients, std::max<size_t>(500, clients), "one commit each");
    const double group = measure(pattern + "/group", 1024, clients,
                                 std::max<size_t>(500, 20 * clients), "group commit");
    std::printf("  group commit: %.1f times as many\n", group / each);
  }
  measure_list(pattern + "/list");
  std::filesystem::remove_all(pattern);
}

#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <random>
#include <set>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace es::store {
namespace {

std::atomic<uint64_t> num_syncs = 0;
std::atomic<bool> disk_is_full = false;

// Holds the writer inside its first callback until opened.
class Barrier {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool waiting_ = false;
  bool open_ = false;
};

TEST_CASE("writes that arrive during a commit share the next one") {
  const TempDir dir;
  std::vector<size_t> groups;
  SqliteOptions options = options_for(dir.file());
  options.clock = [] { return std::chrono::nanoseconds{1}; };
  options.on_commit = [&](const CommitTiming& t) { groups.push_back(t.transactions); };
  const auto store = open_started(options);
  Barrier barrier;
  store->write({{InsertUser{user_named("first")}}}, [&](auto) { barrier.wait(); });
  barrier.wait_until_held();
  std::atomic<int> done = 0;
  for (int i = 0; i < 100; ++i) {
    store->write({{InsertUser{user_named("user" + std::to_string(i))}}},
                 [&](auto result) { done += result.ok() ? 1 : 0; });
  }
  barrier.open();
  store->close();
  CHECK(done == 100);
  CHECK(groups == std::vector<size_t>{1, 100});
}

TEST_CASE("a transaction that fails leaves its neighbours in the group alone") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    Barrier barrier;
    store->write({{InsertUser{user_named("ann")}}}, [&](auto) { barrier.wait(); });
    barrier.wait_until_held();
    std::vector<std::string> seen;
    const auto note = [&](std::string what) {
      return [&seen, what](Result<const Transaction*, StoreError> result) {
        seen.push_back(what + (result.ok() ? " ok" : " failed"));
      };
    };
    store->write({{InsertUser{user_named("bob")}}}, note("bob"));
    store->write({{InsertUser{user_named("ann")}}}, note("ann"));
    store->write({{InsertUser{user_named("bob")}}}, note("bob"));
    store->write({{InsertUser{user_named("cid")}}}, note("cid"));
    barrier.open();
    store->close();
    CHECK(seen == std::vector<std::string>{"bob ok", "ann failed", "bob failed", "cid ok"});
  }
  CHECK(read_all(dir.file()).users.size() == 3);
}

TEST_CASE("a full queue refuses at once with retry later and loses nothing that it accepted") {
  const TempDir dir;
  SqliteOptions options = options_for(dir.file());
  options.max_queued = 10;
  size_t accepted = 0;
  size_t refused = 0;
  {
    const auto store = open_started(options);
    Barrier barrier;
    store->write({{InsertUser{user_named("first")}}}, [&](auto) { barrier.wait(); });
    barrier.wait_until_held();
    std::atomic<size_t> done = 0;
    for (int i = 0; i < 25; ++i) {
      store->write({{InsertUser{user_named("user" + std::to_string(i))}}},
                   [&](Result<const Transaction*, StoreError> result) {
                     if (result.ok()) {
                       ++done;
                     } else if (result.error().kind == StoreErrorKind::kRetryLater) {
                       ++refused;  // on this thread, before write() returns
                     }
                   });
    }
    CHECK(refused == 15);
    barrier.open();
    store->close();
    accepted = done;
  }
  CHECK(accepted == 10);
  CHECK(read_all(dir.file()).users.size() == 11);
}

TEST_CASE("close finishes what was accepted and refuses what comes later") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  std::atomic<int> done = 0;
  for (int i = 0; i < 50; ++i) {
    store->write({{InsertUser{user_named("user" + std::to_string(i))}}},
                 [&](auto result) { done += result.ok() ? 1 : 0; });
  }
  store->close();
  CHECK(done == 50);
  const auto late = write_and_wait(*store, InsertUser{user_named("late")});
  REQUIRE(!late.ok());
  CHECK(late.error().kind == StoreErrorKind::kRetryLater);
  CHECK(!ping_and_wait(*store).ok());
}

TEST_CASE("the feed holds every commit once, in commit order, before its callback") {
  const TempDir dir;
  auto opened = open_sqlite(options_for(dir.file()));
  REQUIRE(opened.ok());
  Store& store = **opened;
  std::vector<uint64_t> fed;
  std::set<uint64_t> seen;
  std::atomic<size_t> early = 0;
  REQUIRE(store
              .start([](Contents) {},
                     [&](std::span<const Transaction> commits) {
                       for (const Transaction& t : commits) {
                         fed.push_back(std::get<InsertUser>(t.changes.at(0)).user.id);
                         seen.insert(fed.back());
                       }
                     })
              .ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string name = "u" + std::to_string(t) + "x" + std::to_string(i);
        store.write({{InsertUser{user_named(name)}}}, [&](auto result) {
          const uint64_t id = std::get<InsertUser>((*result)->changes[0]).user.id;
          if (!seen.contains(id)) ++early;
        });
      }
    });
  }
  for (std::thread& t : threads) t.join();
  store.close();
  CHECK(early == 0);
  REQUIRE(fed.size() == 800);
  for (size_t i = 0; i < fed.size(); ++i) CHECK(fed[i] == i + 1);
}

TEST_CASE("concurrent inserts of the same names: exactly one of each wins") {
  const TempDir dir;
  const uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::array<std::atomic<int>, 20> winners{};
  {
    const auto store = open_started(options_for(dir.file()));
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(seed + t);
        for (int i = 0; i < 100; ++i) {
          const size_t which = random() % winners.size();
          store->write({{InsertUser{user_named("name" + std::to_string(which))}}},
                       [&, which](auto result) { winners[which] += result.ok() ? 1 : 0; });
        }
      });
    }
    for (std::thread& t : threads) t.join();
  }
  for (const auto& count : winners) CHECK(count <= 1);
  size_t total = 0;
  for (const auto& count : winners) total += static_cast<size_t>(count.load());
  CHECK(read_all(dir.file()).users.size() == total);
}

TEST_CASE("with full synchronous each commit reaches the disk before it is acknowledged") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  for (int i = 0; i < 20; ++i) {
    const uint64_t before = num_syncs;
    REQUIRE(write_and_wait(*store, InsertUser{user_named("user" + std::to_string(i))}).ok());
    CHECK(num_syncs > before);
  }
  CHECK(first_text(dir.file(), "PRAGMA journal_mode") == "wal");
}

TEST_CASE("a hundred writes that share a commit share its sync, and normal mode skips it") {
  const TempDir dir;
  SqliteOptions options = options_for(dir.file());
  const bool full = GENERATE(true, false);
  options.synchronous = full ? Synchronous::kFull : Synchronous::kNormal;
  const auto store = open_started(options);
  REQUIRE(write_and_wait(*store, InsertUser{user_named("warm")}).ok());
  Barrier barrier;
  store->write({{InsertUser{user_named("first")}}}, [&](auto) { barrier.wait(); });
  barrier.wait_until_held();
  std::atomic<int> done = 0;
  for (int i = 0; i < 100; ++i) {
    store->write({{InsertUser{user_named("user" + std::to_string(i))}}},
                 [&](auto result) { done += result.ok() ? 1 : 0; });
  }
  const uint64_t before = num_syncs;
  barrier.open();
  REQUIRE(ping_and_wait(*store).ok());  // behind them in the queue
  CHECK(done == 100);
  CHECK(num_syncs - before == (full ? 1 : 0));
}

TEST_CASE("ping answers while the database stands and reports one that was moved away") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  CHECK(ping_and_wait(*store).ok());
  std::filesystem::rename(dir.file(), dir.file("elsewhere"));
  const auto answer = ping_and_wait(*store);
  REQUIRE(!answer.ok());
  CHECK(answer.error().text.find("moved or deleted") != std::string::npos);
}

TEST_CASE("a full disk is called so, shows in ping, and is over when there is room") {
  const TempDir dir;
  auto store = open_started(options_for(dir.file()));
  REQUIRE(write_and_wait(*store, InsertUser{user_named("before")}).ok());
  disk_is_full = true;
  const auto refused = write_and_wait(*store, InsertUser{user_named("during")});
  const auto sick = ping_and_wait(*store);
  disk_is_full = false;
  REQUIRE(!refused.ok());
  CHECK(refused.error().kind == StoreErrorKind::kNoSpace);
  REQUIRE(!sick.ok());
  CHECK(sick.error().kind == StoreErrorKind::kNoSpace);
  CHECK(ping_and_wait(*store).ok());  // without a write that tells
  REQUIRE(write_and_wait(*store, InsertUser{user_named("after")}).ok());
  store.reset();
  CHECK(read_all(dir.file()).users.size() == 2);
}

TEST_CASE("a full disk at the start is not called a lock") {
  const TempDir dir;
  open_started(options_for(dir.file()))->close();
  disk_is_full = true;
  const auto opened = open_sqlite(options_for(dir.file()));
  disk_is_full = false;
  REQUIRE(!opened.ok());
  CHECK(opened.error().kind == StoreErrorKind::kRefused);
  CHECK_THAT(opened.error().text, Catch::Contains("is full: make room"));
}

TEST_CASE("a store that was never started answers what was queued when it closes") {
  const TempDir dir;
  auto opened = open_sqlite(options_for(dir.file()));
  REQUIRE(opened.ok());
  bool failed = false;
  (*opened)->write({{InsertUser{user_named("ann")}}}, [&](auto result) { failed = !result.ok(); });
  (*opened)->close();
  CHECK(failed);
}

}  // namespace
}  // namespace es::store

// Stands in front of the C library's, so that the test sees what SQLite asks the disk for.
extern "C" int fdatasync(int fd) {
  ++es::store::num_syncs;
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
extern "C" int fsync(int fd) {
  ++es::store::num_syncs;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" ssize_t pwrite64(int fd, const void* data, size_t len, off64_t offset) {
  if (es::store::disk_is_full) {
    errno = ENOSPC;
    return -1;
  }
  return ::syscall(SYS_pwrite64, fd, data, len, offset);
}

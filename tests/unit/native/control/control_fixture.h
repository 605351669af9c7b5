// A directory over a real store or over one that the test drives, and its answers turned into
// waits.
#pragma once

#include "native/control/directory.h"
#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

#include <deque>
#include <future>
#include <mutex>
#include <random>

namespace es::control {

inline constexpr WallTime kNow = wall_time_ms(1'790'000'000'000);

// Any thread may ask; a fixed seed makes a test repeatable.
inline std::function<void(MutableBytes)> seeded_random(uint64_t seed) {
  struct Source {
    std::mutex mutex;
    std::mt19937_64 engine;
  };
  auto source = std::make_shared<Source>();
  source->engine.seed(seed);
  return [source](MutableBytes out) {
    const std::lock_guard lock(source->mutex);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(source->engine());
  };
}

inline Directory::Options test_options(uint64_t seed = 1) {
  Directory::Options options;
  options.random = seeded_random(seed);
  return options;
}

inline std::unique_ptr<Directory> directory_over(std::unique_ptr<store::Store> store,
                                                 Directory::Options options = test_options()) {
  auto directory = Directory::create(std::move(store), std::move(options));
  if (!directory.ok()) FAIL(directory.error().text);
  return std::move(directory).value();
}

inline std::unique_ptr<Directory> open_directory(const std::string& path,
                                                 Directory::Options options = test_options()) {
  auto store = store::open_sqlite(store::options_for(path));
  if (!store.ok()) FAIL(store.error().text);
  return directory_over(std::move(store).value(), std::move(options));
}

// wait<User>([&](auto answer) { directory.create_user(..., answer); })
template <class T, class F>
Result<T, Refusal> wait(F call) {
  std::promise<Result<T, Refusal>> promise;
  call(Answer<T>([&](Result<T, Refusal> result) { promise.set_value(std::move(result)); }));
  return promise.get_future().get();
}

template <class T>
T must(Result<T, Refusal> result) {
  if (!result.ok()) FAIL(result.error().text);
  return std::move(result).value();
}
inline void must(const Result<void, Refusal>& result) {
  if (!result.ok()) FAIL(result.error().text);
}

inline Result<User, Refusal> create_user(Directory& directory, std::string name) {
  NewUser user;
  user.name = std::move(name);
  return wait<User>([&](auto answer) { directory.create_user(user, kNow, answer); });
}
inline Result<MintedPreAuthKey, Refusal> create_key(Directory& directory, NewPreAuthKey key) {
  return wait<MintedPreAuthKey>(
      [&](auto answer) { directory.create_pre_auth_key(std::move(key), kNow, answer); });
}
inline Result<MintedApiKey, Refusal> create_api_key(Directory& directory,
                                                    std::optional<WallTime> expiration) {
  return wait<MintedApiKey>(
      [&](auto answer) { directory.create_api_key(expiration, kNow, answer); });
}

// A store whose commits and failures the test decides. One thread.
class FakeStore final : public store::Store {
 public:
  struct Pending {
    store::Transaction transaction;
    Done done;
  };
  struct Shared {
    std::deque<Pending> pending;
    CommitSink sink;
    uint64_t next_id = 1;

    // Commits the oldest pending write; ids come from a counter.
    void commit();
    void fail(store::StoreErrorKind kind) {
      Pending write = std::move(pending.front());
      pending.pop_front();
      write.done(store::StoreError{kind, "as the test wants it"});
    }
  };

  explicit FakeStore(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  Result<void, store::StoreError> start(const Loader& load, CommitSink sink) override {
    load({});
    shared_->sink = std::move(sink);
    return {};
  }
  void write(store::Transaction transaction, Done done) override {
    shared_->pending.push_back({std::move(transaction), std::move(done)});
  }
  void ping(PingDone done) override { done({}); }
  void close() override {}

 private:
  std::shared_ptr<Shared> shared_;
};

inline void FakeStore::Shared::commit() {
  Pending write = std::move(pending.front());
  pending.pop_front();
  for (store::Change& change : write.transaction.changes) {
    if (auto* user = std::get_if<store::InsertUser>(&change)) user->user.id = next_id++;
    if (auto* key = std::get_if<store::InsertPreAuthKey>(&change)) key->key.id = next_id++;
    if (auto* key = std::get_if<store::InsertApiKey>(&change)) key->key.id = next_id++;
  }
  sink(std::span(&write.transaction, 1));
  write.done(&write.transaction);
}

}  // namespace es::control

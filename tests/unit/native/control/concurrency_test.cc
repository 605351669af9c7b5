#include "tests/unit/native/control/control_fixture.h"

#include <atomic>
#include <set>
#include <thread>

namespace es::control {
namespace {

using store::TempDir;

// What must hold in every state that a reader can see.
std::string broken_invariant(const Directory& directory) {
  std::set<std::string> names;
  for (const auto& user : directory.users().rows) {
    if (!names.insert(user->name).second) return "two users have the name " + user->name;
  }
  uint64_t last = 0;
  for (const auto& key : directory.pre_auth_keys().rows) {
    if (key.key->id <= last) return "keys are not ascending";
    last = key.key->id;
    if (key.key->user_id && key.user == nullptr) return "a key's owner is gone";
  }
  return {};
}

struct Counts {
  std::atomic<int64_t> users = 0;
  std::atomic<int64_t> api_keys = 0;
  std::atomic<int> unexpected = 0;
};

void random_operation(Directory& directory, std::mt19937_64& random, Counts& counts) {
  const auto pick = [&](uint64_t n) { return random() % n; };
  const std::string name = "name" + std::to_string(pick(8));
  const auto count = [&](std::atomic<int64_t>& total, int64_t by) {
    return [&, by](const auto& result) {
      if (result.ok()) {
        total += by;
      } else if (result.error().reason != Reason::kConflict &&
                 result.error().reason != Reason::kNotFound) {
        ++counts.unexpected;
      }
    };
  };
  static std::atomic<int64_t> ignored;
  switch (pick(8)) {
    case 0:
    case 1: {
      NewUser user;
      user.name = name;
      return directory.create_user(user, kNow, count(counts.users, 1));
    }
    case 2:
      return directory.rename_user(1 + pick(40), name, kNow, count(ignored, 0));
    case 3:
      return directory.delete_user(1 + pick(40), count(counts.users, -1));
    case 4: {
      NewPreAuthKey key;
      key.user_id = 1 + pick(40);
      return directory.create_pre_auth_key(key, kNow, count(ignored, 0));
    }
    case 5:
      return directory.expire_pre_auth_key(1 + pick(40), kNow, count(ignored, 0));
    case 6:
      return directory.create_api_key(std::nullopt, kNow, count(counts.api_keys, 1));
    default:
      return directory.delete_api_key({1 + pick(40), ""}, count(counts.api_keys, -1));
  }
}

TEST_CASE(
    "under random concurrent operations every reader sees a sound state, and so does a "
    "restart") {
  const TempDir dir;
  const uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  Counts counts;
  std::vector<User> users_before;
  std::vector<ApiKey> api_keys_before;
  {
    const auto directory = open_directory(dir.file(), test_options(seed));
    std::atomic<bool> stop = false;
    std::string broken;
    std::thread reader([&] {
      while (!stop && broken.empty()) broken = broken_invariant(*directory);
    });
    std::vector<std::thread> writers;
    for (unsigned t = 0; t < 4; ++t) {
      writers.emplace_back([&, t] {
        std::mt19937_64 random(seed + t);
        for (int i = 0; i < 250; ++i) random_operation(*directory, random, counts);
      });
    }
    for (std::thread& t : writers) t.join();
    directory->close();
    stop = true;
    reader.join();
    CHECK(broken == "");
    for (const auto& user : directory->users().rows) users_before.push_back(*user);
    api_keys_before = directory->api_keys();
  }
  CHECK(counts.unexpected == 0);
  CHECK(static_cast<int64_t>(users_before.size()) == counts.users);
  CHECK(static_cast<int64_t>(api_keys_before.size()) == counts.api_keys);
  const auto directory = open_directory(dir.file());
  std::vector<User> users_after;
  for (const auto& user : directory->users().rows) users_after.push_back(*user);
  CHECK(users_after == users_before);
  CHECK(directory->api_keys() == api_keys_before);
  CHECK(broken_invariant(*directory) == "");
}

TEST_CASE("of concurrent creations of one name exactly one succeeds and the others conflict") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  for (int round = 0; round < 10; ++round) {
    NewUser user;
    user.name = "round" + std::to_string(round);
    std::atomic<int> created = 0;
    std::atomic<int> conflicts = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        const auto result =
            wait<User>([&](auto answer) { directory->create_user(user, kNow, answer); });
        if (result.ok()) {
          ++created;
        } else if (result.error().reason == Reason::kConflict) {
          ++conflicts;
        }
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(created == 1);
    CHECK(conflicts == 7);
  }
}

TEST_CASE("API keys are verified while others are made and removed") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  const std::string text = must(create_api_key(*directory, std::nullopt)).text;
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> verifiers;
  for (int t = 0; t < 2; ++t) {
    verifiers.emplace_back([&, t] {
      for (int64_t i = 0; !stop; ++i) {
        const WallTime now = kNow + Millis(i * 1000 + t);
        if (directory->verify_api_key(text, now) != ApiKeyVerdict::kValid) ++wrong;
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    const MintedApiKey key = must(create_api_key(*directory, std::nullopt));
    must(wait<void>([&](auto a) { directory->delete_api_key({key.key.id, ""}, a); }));
  }
  stop = true;
  for (std::thread& t : verifiers) t.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace es::control

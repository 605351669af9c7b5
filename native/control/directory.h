// Who may use the tailnet: users, pre-auth keys and API keys, in memory, durable through the store.
// Nodes are the tailnet's; that a user with nodes is not deleted is the store's constraint.
//
// A write is checked against memory, queued in the store, applied when its commit is on disk, and
// only then answered. The store's constraints have the last word, so that what must be unique is
// unique under any concurrency, and across instances that share a database. Reads see committed
// state only.
//
// Errors: Refusal, grouped by what to tell the caller; its text is safe to show to an authenticated
// one. Details of database failures go to Options::on_store_error alone.
// Threads: every method from any thread. Answers arrive on the store's thread (or, for what is
// refused at once, inside the call), exactly once; they must not block or destroy the directory.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/token/hmac.h"
#include "common/token/token.h"
#include "native/store/store.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace es::control {

using store::ApiKey;
using store::PreAuthKey;
using store::User;

enum class Reason : uint8_t { kInvalid, kNotFound, kConflict, kRetryLater, kBroken };

struct Refusal {
  Reason reason = Reason::kBroken;
  std::string text;
};

template <class T>
using Answer = std::function<void(Result<T, Refusal>)>;

struct NewUser {
  std::string name;
  std::string display_name;
  std::string email;
  std::string profile_pic_url;
  std::string role;  // empty: member
};

struct NewPreAuthKey {
  std::optional<uint64_t> user_id;
  bool reusable = false;
  bool ephemeral = false;
  std::optional<WallTime> expiration;  // none: does not expire
  std::vector<std::string> tags;
};

struct OwnedPreAuthKey {
  std::shared_ptr<const PreAuthKey> key;
  std::shared_ptr<const User> user;  // null: the key has none
};

// `text` is the secret: show it once, keep it nowhere.
struct MintedPreAuthKey {
  OwnedPreAuthKey key;
  std::string text;
};
struct MintedApiKey {
  ApiKey key;
  std::string text;
};

// A list as it was at `version`; two lists of the same version are equal.
template <class T>
struct Snapshot {
  uint64_t version = 0;
  std::vector<T> rows;  // ascending by id
};

// An API key by its id or by its prefix; the prefix may be as lists show it.
struct ApiKeySelector {
  std::optional<uint64_t> id;
  std::string prefix;
};

enum class ApiKeyVerdict : uint8_t { kValid, kUnknown, kExpired };

class Tables;

class Directory {
 public:
  struct Options {
    // Fills the whole buffer from the system's random source; does not fail.
    std::function<void(MutableBytes)> random;
    // Seals new keys, so that the edge can judge them; none: unsealed keys.
    std::optional<token::HmacKey> seal_key;
    // API keys' last_seen is stored at most this often.
    Millis last_seen_interval{60'000};
    // For logs and metrics; may be empty. Any thread.
    std::function<void(const store::StoreError&)> on_store_error;
  };

  // Loads everything. The error is the store's, for the operator.
  static Result<std::unique_ptr<Directory>, store::StoreError> create(
      std::unique_ptr<store::Store> store, Options options);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // Cheap enough for each request: says whether a list that was rendered before is still true.
  uint64_t users_version() const;
  uint64_t pre_auth_keys_version() const;  // changes with users too: keys show their owner

  struct Counts {
    size_t users = 0;
    size_t pre_auth_keys = 0;
    size_t api_keys = 0;
  };
  Counts counts() const;  // copies no list

  Snapshot<std::shared_ptr<const User>> users() const;
  std::shared_ptr<const User> user(uint64_t id) const;  // null: there is none
  Snapshot<OwnedPreAuthKey> pre_auth_keys() const;
  OwnedPreAuthKey pre_auth_key(uint64_t id) const;  // both null: there is none
  std::vector<ApiKey> api_keys() const;             // ascending by id

  void create_user(const NewUser& request, WallTime now, Answer<User> answer);
  void rename_user(uint64_t id, std::string name, WallTime now, Answer<User> answer);
  void set_user_role(uint64_t id, std::string role, WallTime now, Answer<User> answer);
  // Takes the user's pre-auth keys along. Refused as long as nodes belong to the user.
  void delete_user(uint64_t id, Answer<void> answer);

  void create_pre_auth_key(NewPreAuthKey request, WallTime now, Answer<MintedPreAuthKey> answer);
  void expire_pre_auth_key(uint64_t id, WallTime now, Answer<void> answer);
  void delete_pre_auth_key(uint64_t id, Answer<void> answer);
  // Deletes keys that expired at `time` or before; returns how many. At most 1000 at once.
  size_t delete_pre_auth_keys_expired_by(WallTime time);

  void create_api_key(std::optional<WallTime> expiration, WallTime now,
                      Answer<MintedApiKey> answer);
  void expire_api_key(const ApiKeySelector& which, WallTime now, Answer<void> answer);
  void delete_api_key(const ApiKeySelector& which, Answer<void> answer);

  // In memory and in constant time for every well-formed text; notes last_seen.
  ApiKeyVerdict verify_api_key(std::string_view text, WallTime now);

  // For the tailnet, which shares the store: nodes as they were loaded (once), its own writes, and
  // every commit from now on, on the store's thread. An empty listener ends that.
  std::vector<store::Node> take_nodes() { return std::exchange(loaded_nodes_, {}); }
  // The policy in force as it was loaded (once).
  std::optional<store::Policy> take_policy() { return std::exchange(loaded_policy_, std::nullopt); }
  void submit(store::Transaction transaction, store::Store::Done done);
  void listen(std::function<void(std::span<const store::Transaction>)> listener);
  Refusal refusal_of(const store::StoreError& error, std::string_view noun) const;
  // The key that this text is; null when there is none, however wrong the text. May be expired or
  // used: that is for the caller to see.
  std::shared_ptr<const PreAuthKey> find_pre_auth_key(std::string_view text) const;

  // Does the database answer?
  void ping(Answer<void> answer);

  // Stores what is still noted only in memory and finishes accepted writes. May be repeated.
  void close();

 private:
  struct Minted {
    std::string text;
    std::string prefix;
    std::string hash;
  };

  Directory(std::unique_ptr<store::Store> store, Options options);
  void apply(std::span<const store::Transaction> commits);
  // One change, answered with what `result` makes of its commit.
  template <class T, class F>
  void write(store::Change change, std::string_view noun, Answer<T> answer, F result);
  void change_user(store::Change change, User after, Answer<User> answer);
  Minted mint(token::TokenKind kind, const std::optional<WallTime>& expiration) const;
  void insert_pre_auth_key(PreAuthKey key, std::shared_ptr<const User> owner, int attempts_left,
                           Answer<MintedPreAuthKey> answer);
  void insert_api_key(ApiKey key, int attempts_left, Answer<MintedApiKey> answer);
  bool last_seen_due(WallTime now);
  void store_last_seen();

  const Options options_;
  std::atomic<int64_t> last_seen_stored_ms_{0};
  std::atomic<bool> storing_last_seen_{false};
  std::unique_ptr<Tables> tables_;
  std::vector<store::Node> loaded_nodes_;
  std::optional<store::Policy> loaded_policy_;
  std::mutex listener_mutex_;
  std::function<void(std::span<const store::Transaction>)> listener_;
  std::unique_ptr<store::Store> store_;  // closed first: its thread feeds the tables
};

}  // namespace es::control

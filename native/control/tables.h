// The rows of the directory in memory, changed by commits only. Internal to the room.
//
// Threads: every method from any thread; one shared lock, held briefly.
#pragma once

#include "native/control/directory.h"

#include <atomic>
#include <map>
#include <shared_mutex>
#include <span>
#include <unordered_map>

namespace es::control {

class Tables {
 public:
  void load(store::Contents contents);
  void apply(std::span<const store::Transaction> commits);

  uint64_t users_version() const { return users_version_.load(std::memory_order_acquire); }
  uint64_t pre_auth_keys_version() const { return keys_version_.load(std::memory_order_acquire); }

  Directory::Counts counts() const;
  Snapshot<std::shared_ptr<const User>> users() const;
  std::shared_ptr<const User> user(uint64_t id) const;
  // A local user of that name.
  bool has_local_name(const std::string& name) const;

  Snapshot<OwnedPreAuthKey> pre_auth_keys() const;
  OwnedPreAuthKey pre_auth_key(uint64_t id) const;
  bool has_pre_auth_key(uint64_t id) const;
  // The key with this prefix whose hash this is, compared in constant time; null: none.
  std::shared_ptr<const PreAuthKey> pre_auth_key(std::string_view prefix, Bytes hash) const;

  std::vector<ApiKey> api_keys() const;
  std::optional<uint64_t> api_key_id(const ApiKeySelector& which) const;
  // Compares `hash` with the key's in constant time; a valid key is noted as seen.
  ApiKeyVerdict verify_api_key(std::string_view prefix, Bytes hash, WallTime now);
  // What was noted since the last call.
  std::vector<std::pair<uint64_t, WallTime>> take_last_seen();
  // To be taken again: storing it failed.
  void note_again(const std::vector<std::pair<uint64_t, WallTime>>& last_seen);

 private:
  struct ApiKeyEntry {
    explicit ApiKeyEntry(ApiKey k) : key(std::move(k)) {}
    ApiKey key;
    std::atomic<int64_t> seen_ms{0};  // 0: not since the start
    std::atomic<bool> unsaved{false};
  };

  void apply(const store::InsertUser& c);
  void apply(const store::RenameUser& c);
  void apply(const store::SetUserRole& c);
  void apply(const store::DeleteUser& c);
  void apply(const store::InsertPreAuthKey& c);
  void apply(const store::RevokePreAuthKey& c);
  void apply(const store::DeletePreAuthKey& c);
  void apply(const store::UsePreAuthKey& c);
  void apply(const store::InsertApiKey& c);
  void apply(const store::RevokeApiKey& c);
  void apply(const store::DeleteApiKey& c);
  void apply(const store::TouchApiKeys& c);
  void users_changed();
  void keys_changed() { keys_version_.fetch_add(1, std::memory_order_release); }

  mutable std::shared_mutex mutex_;
  std::map<uint64_t, std::shared_ptr<const User>> users_;
  std::unordered_map<std::string, uint64_t> local_names_;
  std::map<uint64_t, std::shared_ptr<const PreAuthKey>> pre_auth_keys_;
  std::unordered_map<std::string, uint64_t> pre_auth_key_prefixes_;
  std::map<uint64_t, ApiKeyEntry> api_keys_;
  std::unordered_map<std::string, uint64_t> api_key_prefixes_;
  // Written under the lock, read without it.
  std::atomic<uint64_t> users_version_{1};
  std::atomic<uint64_t> keys_version_{1};
};

// The stored prefix in what people paste: "tskey-api-<id>-***", "tskey-api-<id>", the whole key,
// the bare id; "hskey-api-" the same way; a legacy "<prefix>.***" or "<prefix>***".
std::string_view api_key_prefix(std::string_view shown);

}  // namespace es::control

#include "native/control/tables.h"

#include <algorithm>
#include <mutex>

namespace es::control {

std::string_view api_key_prefix(std::string_view shown) {
  for (const std::string_view brand : {"tskey-api-", "hskey-api-"}) {
    if (shown.starts_with(brand)) {
      shown.remove_prefix(brand.size());
      return shown.substr(0, token::kTokenIdLen);
    }
  }
  while (shown.ends_with('*')) shown.remove_suffix(1);
  if (shown.ends_with('.') || shown.ends_with('-')) shown.remove_suffix(1);
  return shown;
}

void Tables::load(store::Contents contents) {
  store::Transaction all;
  for (User& user : contents.users) all.changes.push_back(store::InsertUser{std::move(user)});
  for (PreAuthKey& key : contents.pre_auth_keys) {
    all.changes.push_back(store::InsertPreAuthKey{std::move(key)});
  }
  for (ApiKey& key : contents.api_keys) all.changes.push_back(store::InsertApiKey{std::move(key)});
  apply(std::span(&all, 1));
}

void Tables::apply(std::span<const store::Transaction> commits) {
  const std::unique_lock lock(mutex_);
  for (const store::Transaction& commit : commits) {
    for (const store::Change& change : commit.changes) {
      std::visit(
          [this](const auto& c) {
            // Nodes are the tailnet's.
            if constexpr (requires { apply(c); }) apply(c);
          },
          change);
    }
  }
}

void Tables::users_changed() {
  users_version_.fetch_add(1, std::memory_order_release);
  keys_changed();
}

void Tables::apply(const store::InsertUser& c) {
  users_[c.user.id] = std::make_shared<const User>(c.user);
  if (c.user.provider_identifier.empty()) local_names_[c.user.name] = c.user.id;
  users_changed();
}

void Tables::apply(const store::RenameUser& c) {
  const auto found = users_.find(c.id);
  if (found == users_.end()) return;
  auto renamed = std::make_shared<User>(*found->second);
  if (renamed->provider_identifier.empty()) {
    // Another user may have taken the old name in this very group.
    const auto name = local_names_.find(renamed->name);
    if (name != local_names_.end() && name->second == c.id) local_names_.erase(name);
    local_names_[c.name] = c.id;
  }
  renamed->name = c.name;
  renamed->updated_at = c.updated_at;
  found->second = std::move(renamed);
  users_changed();
}

void Tables::apply(const store::SetUserRole& c) {
  const auto found = users_.find(c.id);
  if (found == users_.end()) return;
  auto changed = std::make_shared<User>(*found->second);
  changed->role = c.role;
  changed->updated_at = c.updated_at;
  found->second = std::move(changed);
  users_changed();
}

void Tables::apply(const store::DeleteUser& c) {
  const auto found = users_.find(c.id);
  if (found == users_.end()) return;
  const auto name = local_names_.find(found->second->name);
  if (name != local_names_.end() && name->second == c.id) local_names_.erase(name);
  users_.erase(found);
  std::erase_if(pre_auth_keys_, [&](const auto& entry) {
    if (entry.second->user_id != c.id) return false;
    pre_auth_key_prefixes_.erase(entry.second->prefix);
    return true;
  });
  users_changed();
}

void Tables::apply(const store::InsertPreAuthKey& c) {
  pre_auth_keys_[c.key.id] = std::make_shared<const PreAuthKey>(c.key);
  pre_auth_key_prefixes_[c.key.prefix] = c.key.id;
  keys_changed();
}

void Tables::apply(const store::RevokePreAuthKey& c) {
  const auto found = pre_auth_keys_.find(c.id);
  if (found == pre_auth_keys_.end()) return;
  auto revoked = std::make_shared<PreAuthKey>(*found->second);
  revoked->expiration = c.at;
  revoked->revoked = true;
  found->second = std::move(revoked);
  keys_changed();
}

void Tables::apply(const store::DeletePreAuthKey& c) {
  const auto found = pre_auth_keys_.find(c.id);
  if (found == pre_auth_keys_.end()) return;
  pre_auth_key_prefixes_.erase(found->second->prefix);
  pre_auth_keys_.erase(found);
  keys_changed();
}

void Tables::apply(const store::UsePreAuthKey& c) {
  const auto found = pre_auth_keys_.find(c.id);
  if (found == pre_auth_keys_.end()) return;
  auto used = std::make_shared<PreAuthKey>(*found->second);
  used->used = true;
  found->second = std::move(used);
  keys_changed();
}

void Tables::apply(const store::InsertApiKey& c) {
  api_keys_.try_emplace(c.key.id, c.key);
  api_key_prefixes_[c.key.prefix] = c.key.id;
}

void Tables::apply(const store::RevokeApiKey& c) {
  const auto found = api_keys_.find(c.id);
  if (found == api_keys_.end()) return;
  found->second.key.expiration = c.at;
  found->second.key.revoked = true;
}

void Tables::apply(const store::DeleteApiKey& c) {
  const auto found = api_keys_.find(c.id);
  if (found == api_keys_.end()) return;
  api_key_prefixes_.erase(found->second.key.prefix);
  api_keys_.erase(found);
}

void Tables::apply(const store::TouchApiKeys& c) {
  for (const auto& [id, at] : c.last_seen) {
    const auto found = api_keys_.find(id);
    if (found == api_keys_.end()) continue;
    auto& last_seen = found->second.key.last_seen;
    last_seen = last_seen ? std::max(*last_seen, at) : at;
  }
}

Directory::Counts Tables::counts() const {
  const std::shared_lock lock(mutex_);
  return {users_.size(), pre_auth_keys_.size(), api_keys_.size()};
}

Snapshot<std::shared_ptr<const User>> Tables::users() const {
  const std::shared_lock lock(mutex_);
  Snapshot<std::shared_ptr<const User>> list;
  list.version = users_version();
  list.rows.reserve(users_.size());
  for (const auto& [id, user] : users_) list.rows.push_back(user);
  return list;
}

std::shared_ptr<const User> Tables::user(uint64_t id) const {
  const std::shared_lock lock(mutex_);
  const auto found = users_.find(id);
  return found == users_.end() ? nullptr : found->second;
}

bool Tables::has_local_name(const std::string& name) const {
  const std::shared_lock lock(mutex_);
  return local_names_.contains(name);
}

Snapshot<OwnedPreAuthKey> Tables::pre_auth_keys() const {
  const std::shared_lock lock(mutex_);
  Snapshot<OwnedPreAuthKey> list;
  list.version = pre_auth_keys_version();
  list.rows.reserve(pre_auth_keys_.size());
  for (const auto& [id, key] : pre_auth_keys_) {
    std::shared_ptr<const User> owner;
    if (key->user_id) {
      const auto found = users_.find(*key->user_id);
      if (found != users_.end()) owner = found->second;
    }
    list.rows.push_back({key, std::move(owner)});
  }
  return list;
}

std::shared_ptr<const PreAuthKey> Tables::pre_auth_key(std::string_view prefix, Bytes hash) const {
  const std::shared_lock lock(mutex_);
  const auto id = pre_auth_key_prefixes_.find(std::string(prefix));
  if (id == pre_auth_key_prefixes_.end()) return nullptr;
  const auto& key = pre_auth_keys_.at(id->second);
  return equal_constant_time(as_bytes(key->hash), hash) ? key : nullptr;
}

OwnedPreAuthKey Tables::pre_auth_key(uint64_t id) const {
  const std::shared_lock lock(mutex_);
  const auto found = pre_auth_keys_.find(id);
  if (found == pre_auth_keys_.end()) return {};
  OwnedPreAuthKey out{found->second, nullptr};
  if (!out.key->user_id) return out;
  const auto owner = users_.find(*out.key->user_id);
  if (owner != users_.end()) out.user = owner->second;
  return out;
}

bool Tables::has_pre_auth_key(uint64_t id) const {
  const std::shared_lock lock(mutex_);
  return pre_auth_keys_.contains(id);
}

std::vector<ApiKey> Tables::api_keys() const {
  const std::shared_lock lock(mutex_);
  std::vector<ApiKey> list;
  list.reserve(api_keys_.size());
  for (const auto& [id, entry] : api_keys_) {
    list.push_back(entry.key);
    const WallTime seen = wall_time_ms(entry.seen_ms.load(std::memory_order_relaxed));
    auto& last_seen = list.back().last_seen;
    if (unix_ms(seen) != 0) last_seen = last_seen ? std::max(*last_seen, seen) : seen;
  }
  return list;
}

std::optional<uint64_t> Tables::api_key_id(const ApiKeySelector& which) const {
  const std::shared_lock lock(mutex_);
  if (which.id) {
    return api_keys_.contains(*which.id) ? which.id : std::nullopt;
  }
  const auto found = api_key_prefixes_.find(std::string(api_key_prefix(which.prefix)));
  if (found == api_key_prefixes_.end()) return std::nullopt;
  return found->second;
}

ApiKeyVerdict Tables::verify_api_key(std::string_view prefix, Bytes hash, WallTime now) {
  static constexpr uint8_t kNoHash[token::kSha256Len] = {};
  const std::shared_lock lock(mutex_);
  const auto id = api_key_prefixes_.find(std::string(prefix));
  ApiKeyEntry* entry = nullptr;
  if (id != api_key_prefixes_.end()) entry = &api_keys_.find(id->second)->second;
  // An unknown prefix costs the same comparison.
  const Bytes stored = entry != nullptr ? as_bytes(entry->key.hash) : Bytes(kNoHash);
  if (!equal_constant_time(hash, stored) || entry == nullptr) return ApiKeyVerdict::kUnknown;
  if (entry->key.expired(now)) return ApiKeyVerdict::kExpired;
  entry->seen_ms.store(unix_ms(now), std::memory_order_relaxed);
  entry->unsaved.store(true, std::memory_order_release);
  return ApiKeyVerdict::kValid;
}

std::vector<std::pair<uint64_t, WallTime>> Tables::take_last_seen() {
  const std::shared_lock lock(mutex_);
  std::vector<std::pair<uint64_t, WallTime>> taken;
  for (auto& [id, entry] : api_keys_) {
    if (!entry.unsaved.exchange(false, std::memory_order_acquire)) continue;
    taken.emplace_back(id, wall_time_ms(entry.seen_ms.load(std::memory_order_relaxed)));
  }
  return taken;
}

void Tables::note_again(const std::vector<std::pair<uint64_t, WallTime>>& last_seen) {
  const std::shared_lock lock(mutex_);
  for (const auto& [id, at] : last_seen) {
    const auto found = api_keys_.find(id);
    if (found != api_keys_.end()) found->second.unsaved.store(true, std::memory_order_release);
  }
}

}  // namespace es::control

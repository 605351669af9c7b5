#include "native/store/sqlite_rows.h"

#include "native/store/text_list.h"

namespace es::store {
namespace {

std::optional<std::string_view> text_or_null(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

}  // namespace

Result<SqliteRows, StoreError> SqliteRows::prepare(sqlite3* db) {
  SqliteRows rows;
  rows.db_ = db;
  const struct {
    Statement* statement;
    const char* sql;
  } statements[] = {
      {&rows.insert_user_,
       "INSERT INTO users(name, display_name, email, provider_identifier, provider,"
       " profile_pic_url, created_at, updated_at, role) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&rows.rename_user_, "UPDATE users SET name = ?, updated_at = ? WHERE id = ?"},
      {&rows.set_user_role_, "UPDATE users SET role = ?, updated_at = ? WHERE id = ?"},
      {&rows.delete_user_, "DELETE FROM users WHERE id = ?"},
      {&rows.insert_pre_auth_key_,
       "INSERT INTO pre_auth_keys(prefix, hash, user_id, reusable, ephemeral, used, tags,"
       " expiration, created_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&rows.revoke_pre_auth_key_,
       "UPDATE pre_auth_keys SET expiration = ?, revoked = 1 WHERE id = ?"},
      {&rows.delete_pre_auth_key_, "DELETE FROM pre_auth_keys WHERE id = ?"},
      {&rows.use_pre_auth_key_, "UPDATE pre_auth_keys SET used = 1 WHERE id = ? AND used = 0"},
      {&rows.insert_api_key_,
       "INSERT INTO api_keys(prefix, hash, expiration, last_seen, created_at)"
       " VALUES(?, ?, ?, ?, ?)"},
      {&rows.revoke_api_key_, "UPDATE api_keys SET expiration = ?, revoked = 1 WHERE id = ?"},
      {&rows.delete_api_key_, "DELETE FROM api_keys WHERE id = ?"},
      {&rows.touch_api_key_, "UPDATE api_keys SET last_seen = ? WHERE id = ?"},
      {&rows.insert_policy_, "INSERT INTO policies(data, created_at) VALUES(?, ?)"},
      {&rows.select_policy_, "SELECT id, data, created_at FROM policies ORDER BY id DESC LIMIT 1"},
      {&rows.select_users_,
       "SELECT id, name, display_name, email, provider_identifier, provider, profile_pic_url,"
       " created_at, updated_at, role FROM users ORDER BY id"},
      {&rows.select_pre_auth_keys_,
       "SELECT id, prefix, hash, user_id, reusable, ephemeral, used, tags, expiration, created_at,"
       " revoked FROM pre_auth_keys ORDER BY id"},
      {&rows.select_api_keys_,
       "SELECT id, prefix, hash, expiration, last_seen, created_at, revoked FROM api_keys"
       " ORDER BY id"},
  };
  for (const auto& entry : statements) {
    ES_TRY(*entry.statement, Statement::prepare(db, entry.sql));
  }
  ES_TRY(rows.nodes_, SqliteNodeRows::prepare(db));
  return rows;
}

Result<Contents, StoreError> SqliteRows::load() {
  Contents all;
  for (Statement& s = select_users_;;) {
    ES_TRY(const bool row, s.next());
    if (!row) break;
    all.users.push_back({.id = s.column_id(0),
                         .name = s.column_text(1),
                         .display_name = s.column_text(2),
                         .email = s.column_text(3),
                         .provider_identifier = s.column_text(4),
                         .provider = s.column_text(5),
                         .profile_pic_url = s.column_text(6),
                         .role = s.column_text(9),
                         .created_at = s.column_time(7),
                         .updated_at = s.column_time(8)});
  }
  for (Statement& s = select_pre_auth_keys_;;) {
    ES_TRY(const bool row, s.next());
    if (!row) break;
    ES_TRY(auto tags, text_list(s.column_text(7), "the tags of a pre-auth key"));
    all.pre_auth_keys.push_back({.id = s.column_id(0),
                                 .prefix = s.column_text(1),
                                 .hash = s.column_text(2),
                                 .user_id = s.column_optional_id(3),
                                 .reusable = s.column_int(4) != 0,
                                 .ephemeral = s.column_int(5) != 0,
                                 .used = s.column_int(6) != 0,
                                 .tags = std::move(tags),
                                 .expiration = s.column_optional_time(8),
                                 .revoked = s.column_int(10) != 0,
                                 .created_at = s.column_time(9)});
  }
  for (Statement& s = select_api_keys_;;) {
    ES_TRY(const bool row, s.next());
    if (!row) break;
    all.api_keys.push_back({.id = s.column_id(0),
                            .prefix = s.column_text(1),
                            .hash = s.column_text(2),
                            .expiration = s.column_optional_time(3),
                            .last_seen = s.column_optional_time(4),
                            .revoked = s.column_int(6) != 0,
                            .created_at = s.column_time(5)});
  }
  ES_TRY(all.nodes, nodes_.load());
  for (Statement& s = select_policy_;;) {
    ES_TRY(const bool row, s.next());
    if (!row) break;
    all.policy = Policy{s.column_id(0), s.column_text(1), s.column_time(2)};
  }
  return all;
}

DbStatus SqliteRows::apply(Change& change) {
  return std::visit([this](auto& c) { return apply(c); }, change);
}

DbStatus SqliteRows::insert(Statement& statement, uint64_t& id) {
  ES_CHECK(statement.run());
  id = static_cast<uint64_t>(sqlite3_last_insert_rowid(db_));
  return {};
}

DbStatus SqliteRows::change_row(Statement& statement, const char* noun) {
  ES_CHECK(statement.run());
  if (sqlite3_changes(db_) == 0) {
    return StoreError{StoreErrorKind::kMissing, std::string(noun) + " not found"};
  }
  return {};
}

DbStatus SqliteRows::revoke(Statement& statement, uint64_t id, WallTime at, const char* noun) {
  statement.bind_time(1, at);
  statement.bind_id(2, id);
  return change_row(statement, noun);
}

DbStatus SqliteRows::delete_row(Statement& statement, uint64_t id, const char* noun) {
  statement.bind_id(1, id);
  return change_row(statement, noun);
}

DbStatus SqliteRows::apply(InsertUser& c) {
  Statement& s = insert_user_;
  s.bind_text(1, c.user.name);
  s.bind_text(2, c.user.display_name);
  s.bind_text(3, c.user.email);
  if (const auto identifier = text_or_null(c.user.provider_identifier)) {
    s.bind_text(4, *identifier);
  } else {
    s.bind_null(4);
  }
  s.bind_text(5, c.user.provider);
  s.bind_text(6, c.user.profile_pic_url);
  s.bind_time(7, c.user.created_at);
  s.bind_time(8, c.user.updated_at);
  s.bind_text(9, c.user.role);
  return insert(s, c.user.id);
}

DbStatus SqliteRows::apply(RenameUser& c) {
  rename_user_.bind_text(1, c.name);
  rename_user_.bind_time(2, c.updated_at);
  rename_user_.bind_id(3, c.id);
  return change_row(rename_user_, "user");
}

DbStatus SqliteRows::apply(SetUserRole& c) {
  set_user_role_.bind_text(1, c.role);
  set_user_role_.bind_time(2, c.updated_at);
  set_user_role_.bind_id(3, c.id);
  return change_row(set_user_role_, "user");
}

DbStatus SqliteRows::apply(DeleteUser& c) { return delete_row(delete_user_, c.id, "user"); }

DbStatus SqliteRows::apply(InsertPreAuthKey& c) {
  const std::string tags = list_text(c.key.tags);
  Statement& s = insert_pre_auth_key_;
  s.bind_text(1, c.key.prefix);
  s.bind_blob(2, c.key.hash);
  s.bind_id(3, c.key.user_id);
  s.bind(4, c.key.reusable ? 1 : 0);
  s.bind(5, c.key.ephemeral ? 1 : 0);
  s.bind(6, c.key.used ? 1 : 0);
  s.bind_text(7, tags);
  s.bind_time(8, c.key.expiration);
  s.bind_time(9, c.key.created_at);
  return insert(s, c.key.id);
}

DbStatus SqliteRows::apply(RevokePreAuthKey& c) {
  return revoke(revoke_pre_auth_key_, c.id, c.at, "pre-auth key");
}

DbStatus SqliteRows::apply(DeletePreAuthKey& c) {
  return delete_row(delete_pre_auth_key_, c.id, "pre-auth key");
}

DbStatus SqliteRows::apply(UsePreAuthKey& c) {
  use_pre_auth_key_.bind_id(1, c.id);
  ES_CHECK(use_pre_auth_key_.run());
  if (sqlite3_changes(db_) == 0) {
    return StoreError{StoreErrorKind::kConflict, "the pre-auth key has already been used"};
  }
  return {};
}

DbStatus SqliteRows::apply(InsertApiKey& c) {
  Statement& s = insert_api_key_;
  s.bind_text(1, c.key.prefix);
  s.bind_blob(2, c.key.hash);
  s.bind_time(3, c.key.expiration);
  s.bind_time(4, c.key.last_seen);
  s.bind_time(5, c.key.created_at);
  return insert(s, c.key.id);
}

DbStatus SqliteRows::apply(RevokeApiKey& c) {
  return revoke(revoke_api_key_, c.id, c.at, "API key");
}

DbStatus SqliteRows::apply(DeleteApiKey& c) { return delete_row(delete_api_key_, c.id, "API key"); }

DbStatus SqliteRows::apply(InsertPolicy& c) {
  insert_policy_.bind_text(1, c.policy.text);
  insert_policy_.bind_time(2, c.policy.created_at);
  return insert(insert_policy_, c.policy.id);
}

DbStatus SqliteRows::apply(TouchApiKeys& c) {
  for (const auto& [id, at] : c.last_seen) {
    touch_api_key_.bind_time(1, at);
    touch_api_key_.bind_id(2, id);
    ES_CHECK(touch_api_key_.run());
  }
  return {};
}

}  // namespace es::store

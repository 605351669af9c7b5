#include "native/store/sqlite_schema.h"

#include <string>

namespace es::store {
namespace {

// STRICT: a text in an integer column is an error, not a surprise at the next start.
constexpr Migration kMigrations[] = {
    {"users and pre-auth keys", R"sql(
CREATE TABLE users(
  id integer PRIMARY KEY AUTOINCREMENT,
  name text NOT NULL,
  display_name text NOT NULL,
  email text NOT NULL,
  provider_identifier text,
  provider text NOT NULL,
  profile_pic_url text NOT NULL,
  created_at integer NOT NULL,
  updated_at integer NOT NULL
) STRICT;
CREATE UNIQUE INDEX idx_users_local_name ON users(name) WHERE provider_identifier IS NULL;
CREATE UNIQUE INDEX idx_users_provider_identifier ON users(provider_identifier)
  WHERE provider_identifier IS NOT NULL;

CREATE TABLE pre_auth_keys(
  id integer PRIMARY KEY AUTOINCREMENT,
  prefix text NOT NULL UNIQUE,
  hash blob NOT NULL,
  user_id integer REFERENCES users(id) ON DELETE CASCADE,
  reusable integer NOT NULL,
  ephemeral integer NOT NULL,
  used integer NOT NULL,
  tags text NOT NULL,
  expiration integer,
  created_at integer NOT NULL
) STRICT;
CREATE INDEX idx_pre_auth_keys_user ON pre_auth_keys(user_id);
)sql"},
    {"API keys", R"sql(
CREATE TABLE api_keys(
  id integer PRIMARY KEY AUTOINCREMENT,
  prefix text NOT NULL UNIQUE,
  hash blob NOT NULL,
  expiration integer,
  last_seen integer,
  created_at integer NOT NULL
) STRICT;
)sql"},
    {"nodes", R"sql(
CREATE TABLE nodes(
  id integer PRIMARY KEY AUTOINCREMENT,
  machine_key text NOT NULL,
  node_key text NOT NULL UNIQUE,
  disco_key text NOT NULL,
  ipv4 text UNIQUE,
  ipv6 text UNIQUE,
  hostname text NOT NULL,
  given_name text NOT NULL UNIQUE,
  name_is_chosen integer NOT NULL,
  user_id integer REFERENCES users(id) ON DELETE RESTRICT,
  tags text NOT NULL,
  pre_auth_key_id integer REFERENCES pre_auth_keys(id) ON DELETE SET NULL,
  register_method text NOT NULL,
  ephemeral integer NOT NULL,
  hostinfo text NOT NULL,
  endpoints text NOT NULL,
  home_derp integer NOT NULL,
  capability_version integer NOT NULL,
  approved_routes text NOT NULL,
  expiry integer,
  last_seen integer,
  created_at integer NOT NULL
) STRICT;
CREATE INDEX idx_nodes_user ON nodes(user_id);
CREATE INDEX idx_nodes_pre_auth_key ON nodes(pre_auth_key_id);
)sql"},
    {"policies", R"sql(
CREATE TABLE policies(
  id integer PRIMARY KEY AUTOINCREMENT,
  data text NOT NULL,
  created_at integer NOT NULL
) STRICT;
)sql"},
    {"roles of users", R"sql(
ALTER TABLE users ADD COLUMN role text NOT NULL DEFAULT 'member';
)sql"},
    // Until then to revoke a key was to let it expire: those keys go on by their time.
    {"revoked keys", R"sql(
ALTER TABLE pre_auth_keys ADD COLUMN revoked integer NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN revoked integer NOT NULL DEFAULT 0;
)sql"},
};

DbStatus run_migrations(sqlite3* db, std::span<const Migration> list) {
  ES_TRY(const auto version, query_int(db, "PRAGMA user_version"));
  for (size_t i = static_cast<size_t>(version.value_or(0)); i < list.size(); ++i) {
    const DbStatus status = execute(db, list[i].sql);
    if (!status.ok()) {
      return StoreError{status.error().kind, "migration " + std::to_string(i + 1) + " (" +
                                                 list[i].what + "): " + status.error().text};
    }
  }
  ES_CHECK(execute(db, ("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str()));
  return execute(db, ("PRAGMA user_version = " + std::to_string(list.size())).c_str());
}

}  // namespace

std::span<const Migration> migrations() { return kMigrations; }

DbStatus migrate(sqlite3* db, std::span<const Migration> list) {
  ES_CHECK(execute(db, "BEGIN IMMEDIATE"));
  DbStatus status = run_migrations(db, list);
  if (status.ok()) status = execute(db, "COMMIT");
  if (!status.ok() && sqlite3_get_autocommit(db) == 0) {
    sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  return status;
}

}  // namespace es::store

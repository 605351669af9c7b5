#include "native/store/sqlite_schema.h"
#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

namespace es::store {
namespace {

constexpr char kSchema[] =
    "SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
    " ORDER BY type, name)";

void make_version(const std::string& path, size_t version) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open(path.c_str(), &raw);
  const Connection connection(raw);
  REQUIRE(rc == SQLITE_OK);
  const auto status = migrate(raw, migrations().first(version));
  if (!status.ok()) FAIL(status.error().text);
}

TEST_CASE("every older schema is brought to the newest with its rows") {
  const TempDir fresh;
  open_started(options_for(fresh.file()))->close();
  const std::string newest = first_text(fresh.file(), kSchema);
  for (size_t version = 0; version <= migrations().size(); ++version) {
    INFO("from version " << version);
    const TempDir dir;
    make_version(dir.file(), version);
    if (version >= 1) {
      run_sql(dir.file(),
              "INSERT INTO users(name, display_name, email, provider, profile_pic_url, created_at,"
              " updated_at) VALUES('ann', '', '', '', '', 1, 2);"
              "INSERT INTO pre_auth_keys(prefix, hash, user_id, reusable, ephemeral, used, tags,"
              " created_at) VALUES('p', x'00ff', 1, 1, 0, 0, '[\"tag:a\"]', 3)");
    }
    Contents all;
    open_started(options_for(dir.file()), &all)->close();
    CHECK(first_text(dir.file(), kSchema) == newest);
    CHECK(first_text(dir.file(), "PRAGMA user_version") == std::to_string(sqlite_schema_version()));
    CHECK(first_text(dir.file(), "PRAGMA application_id") == std::to_string(kApplicationId));
    REQUIRE(all.users.size() == (version >= 1 ? 1 : 0));
    if (version >= 1) CHECK(all.users[0].role == "member");
    REQUIRE(all.pre_auth_keys.size() == (version >= 1 ? 1 : 0));
    if (version >= 1) CHECK(all.pre_auth_keys[0].hash == std::string("\x00\xff", 2));
  }
}

TEST_CASE("keys that an older version let expire stay expired") {
  const TempDir dir;
  make_version(dir.file(), 5);  // before keys were marked as revoked
  run_sql(
      dir.file(),
      "INSERT INTO pre_auth_keys(prefix, hash, reusable, ephemeral, used, tags, expiration,"
      " created_at) VALUES('old', x'01', 1, 0, 0, '[]', 1000, 3),"
      " ('good', x'02', 1, 0, 0, '[]', 5000, 3);"
      "INSERT INTO api_keys(prefix, hash, expiration, created_at) VALUES('old', x'01', 1000, 3),"
      " ('good', x'02', NULL, 3)");
  const Contents all = read_all(dir.file());
  REQUIRE(all.pre_auth_keys.size() == 2);
  REQUIRE(all.api_keys.size() == 2);
  const WallTime now = wall_time_ms(2000);
  CHECK(all.pre_auth_keys[0].expired(now));
  CHECK_FALSE(all.pre_auth_keys[1].expired(now));
  CHECK(all.api_keys[0].expired(now));
  CHECK_FALSE(all.api_keys[1].expired(now));
}

TEST_CASE("a migration that fails leaves the file as it was") {
  const TempDir dir;
  make_version(dir.file(), 1);
  const std::string before = first_text(dir.file(), kSchema);
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(dir.file().c_str(), &raw) == SQLITE_OK);
  {
    const Connection connection(raw);
    const Migration broken[] = {migrations()[0],
                                {"half good", "CREATE TABLE good(a); CREATE TABLE users(b);"}};
    const auto status = migrate(raw, broken);
    REQUIRE(!status.ok());
    CHECK(status.error().text.find("migration 2 (half good)") != std::string::npos);
  }
  CHECK(first_text(dir.file(), kSchema) == before);
  CHECK(first_text(dir.file(), "PRAGMA user_version") == "1");
}

}  // namespace
}  // namespace es::store

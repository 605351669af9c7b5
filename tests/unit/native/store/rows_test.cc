#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

namespace es::store {
namespace {

template <class T>
const T& only(const Result<Transaction, StoreError>& result) {
  if (!result.ok()) FAIL(result.error().text);
  REQUIRE(result->changes.size() == 1);
  return std::get<T>(result->changes[0]);
}

StoreErrorKind kind_of(const Result<Transaction, StoreError>& result) {
  REQUIRE(!result.ok());
  return result.error().kind;
}

TEST_CASE("every field of every record survives a restart") {
  const TempDir dir;
  User user = user_named("ann");
  user.display_name = "Ann \"A\" \xC3\x89";
  user.email = "ann@example.com";
  user.provider_identifier = "https://issuer/sub";
  user.provider = "oidc";
  user.profile_pic_url = "https://example.com/a.png";
  user.role = "it-admin";
  user.updated_at = wall_time_ms(1'800'000'000'456);
  PreAuthKey key = key_with_prefix("p1");
  key.user_id = 1;
  key.reusable = key.ephemeral = key.used = true;
  key.tags = {"tag:a", "tag:\"b\""};
  key.expiration = wall_time_ms(-62'135'596'800'000);  // Go's zero time
  ApiKey api_key = api_key_with_prefix("a1");
  api_key.expiration = wall_time_ms(1'900'000'000'001);
  api_key.last_seen = wall_time_ms(1'900'000'000'002);
  {
    const auto store = open_started(options_for(dir.file()));
    user.id = only<InsertUser>(write_and_wait(*store, InsertUser{user})).user.id;
    key.id = only<InsertPreAuthKey>(write_and_wait(*store, InsertPreAuthKey{key})).key.id;
    api_key.id = only<InsertApiKey>(write_and_wait(*store, InsertApiKey{api_key})).key.id;
  }
  const Contents all = read_all(dir.file());
  CHECK(user.id == 1);
  CHECK(all.users == std::vector{user});
  CHECK(all.pre_auth_keys == std::vector{key});
  CHECK(all.api_keys == std::vector{api_key});
}

TEST_CASE("unset optionals stay unset") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    only<InsertPreAuthKey>(write_and_wait(*store, InsertPreAuthKey{key_with_prefix("p1")}));
    only<InsertApiKey>(write_and_wait(*store, InsertApiKey{api_key_with_prefix("a1")}));
  }
  const Contents all = read_all(dir.file());
  REQUIRE(all.pre_auth_keys.size() == 1);
  CHECK(all.pre_auth_keys[0].user_id == std::nullopt);
  CHECK(all.pre_auth_keys[0].expiration == std::nullopt);
  CHECK(all.pre_auth_keys[0].tags.empty());
  REQUIRE(all.api_keys.size() == 1);
  CHECK(all.api_keys[0].expiration == std::nullopt);
  CHECK(all.api_keys[0].last_seen == std::nullopt);
}

TEST_CASE("a user's name is unique among local users only") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  only<InsertUser>(write_and_wait(*store, InsertUser{user_named("ann")}));
  CHECK(kind_of(write_and_wait(*store, InsertUser{user_named("ann")})) ==
        StoreErrorKind::kConflict);
  User other = user_named("ann");
  other.provider_identifier = "https://issuer/1";
  only<InsertUser>(write_and_wait(*store, InsertUser{other}));
  other.name = "somebody else";
  CHECK(kind_of(write_and_wait(*store, InsertUser{other})) == StoreErrorKind::kConflict);
  only<InsertUser>(write_and_wait(*store, InsertUser{user_named("bob")}));
  CHECK(kind_of(write_and_wait(*store, RenameUser{3, "ann", {}})) == StoreErrorKind::kConflict);
}

TEST_CASE("renaming, expiring and deleting what is not there is reported as missing") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  CHECK(kind_of(write_and_wait(*store, RenameUser{7, "x", {}})) == StoreErrorKind::kMissing);
  CHECK(kind_of(write_and_wait(*store, DeleteUser{7})) == StoreErrorKind::kMissing);
  CHECK(kind_of(write_and_wait(*store, RevokePreAuthKey{7, {}})) == StoreErrorKind::kMissing);
  CHECK(kind_of(write_and_wait(*store, DeletePreAuthKey{7})) == StoreErrorKind::kMissing);
  CHECK(kind_of(write_and_wait(*store, RevokeApiKey{7, {}})) == StoreErrorKind::kMissing);
  CHECK(kind_of(write_and_wait(*store, DeleteApiKey{7})) == StoreErrorKind::kMissing);
  PreAuthKey key = key_with_prefix("p");
  key.user_id = 7;
  CHECK(kind_of(write_and_wait(*store, InsertPreAuthKey{key})) == StoreErrorKind::kMissing);
}

TEST_CASE("deleting a user takes its keys along, and ids are never used again") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    only<InsertUser>(write_and_wait(*store, InsertUser{user_named("ann")}));
    PreAuthKey own = key_with_prefix("own");
    own.user_id = 1;
    only<InsertPreAuthKey>(write_and_wait(*store, InsertPreAuthKey{own}));
    only<InsertPreAuthKey>(write_and_wait(*store, InsertPreAuthKey{key_with_prefix("other")}));
    only<DeleteUser>(write_and_wait(*store, DeleteUser{1}));
    CHECK(only<InsertUser>(write_and_wait(*store, InsertUser{user_named("ann")})).user.id == 2);
  }
  const Contents all = read_all(dir.file());
  REQUIRE(all.pre_auth_keys.size() == 1);
  CHECK(all.pre_auth_keys[0].prefix == "other");
}

TEST_CASE("updates change one row and nothing else") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    for (const char* name : {"ann", "bob"}) {
      only<InsertUser>(write_and_wait(*store, InsertUser{user_named(name)}));
      only<InsertPreAuthKey>(write_and_wait(*store, InsertPreAuthKey{key_with_prefix(name)}));
      only<InsertApiKey>(write_and_wait(*store, InsertApiKey{api_key_with_prefix(name)}));
    }
    only<RenameUser>(write_and_wait(*store, RenameUser{2, "bert", wall_time_ms(5)}));
    only<RevokePreAuthKey>(write_and_wait(*store, RevokePreAuthKey{2, wall_time_ms(6)}));
    only<RevokeApiKey>(write_and_wait(*store, RevokeApiKey{2, wall_time_ms(7)}));
    only<TouchApiKeys>(
        write_and_wait(*store, TouchApiKeys{{{2, wall_time_ms(8)}, {99, wall_time_ms(9)}}}));
  }
  Contents all = read_all(dir.file());
  REQUIRE(all.users.size() == 2);
  CHECK(all.users[0] == [] {
    User u = user_named("ann");
    u.id = 1;
    return u;
  }());
  CHECK(all.users[1].name == "bert");
  CHECK(all.users[1].updated_at == wall_time_ms(5));
  CHECK(all.pre_auth_keys[0].expiration == std::nullopt);
  CHECK_FALSE(all.pre_auth_keys[0].revoked);
  CHECK(all.pre_auth_keys[1].expiration == wall_time_ms(6));
  CHECK(all.pre_auth_keys[1].revoked);
  CHECK(all.api_keys[0].expiration == std::nullopt);
  CHECK_FALSE(all.api_keys[0].revoked);
  CHECK(all.api_keys[1].expiration == wall_time_ms(7));
  CHECK(all.api_keys[1].revoked);
  CHECK(all.api_keys[0].last_seen == std::nullopt);
  CHECK(all.api_keys[1].last_seen == wall_time_ms(8));
  {
    const auto store = open_started(options_for(dir.file()));
    only<DeletePreAuthKey>(write_and_wait(*store, DeletePreAuthKey{1}));
    only<DeleteApiKey>(write_and_wait(*store, DeleteApiKey{1}));
  }
  all = read_all(dir.file());
  REQUIRE(all.pre_auth_keys.size() == 1);
  CHECK(all.pre_auth_keys[0].id == 2);
  REQUIRE(all.api_keys.size() == 1);
  CHECK(all.api_keys[0].id == 2);
}

TEST_CASE("a transaction is stored as a whole or not at all") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    const Transaction bad{{InsertUser{user_named("ann")}, DeleteApiKey{7}}};
    CHECK(kind_of(write_and_wait(*store, bad)) == StoreErrorKind::kMissing);
    const Transaction good{{InsertUser{user_named("bob")}, InsertUser{user_named("cid")}}};
    CHECK(write_and_wait(*store, good).ok());
  }
  const Contents all = read_all(dir.file());
  REQUIRE(all.users.size() == 2);
  CHECK(all.users[0].name == "bob");
}

}  // namespace
}  // namespace es::store

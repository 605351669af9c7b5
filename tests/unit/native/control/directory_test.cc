#include "native/control/directory.h"

#include "common/base/hex.h"
#include "tests/unit/native/control/control_fixture.h"

namespace es::control {
namespace {

using store::TempDir;

template <class T>
Reason reason_of(const Result<T, Refusal>& result) {
  REQUIRE(!result.ok());
  return result.error().reason;
}

NewPreAuthKey key_of(uint64_t user) {
  NewPreAuthKey key;
  key.user_id = user;
  return key;
}

TEST_CASE("a user has a role, at first that of a member, and a restart finds it so") {
  const TempDir dir;
  {
    const auto directory = open_directory(dir.file());
    CHECK(must(create_user(*directory, "ann")).role == "member");
    NewUser bob;
    bob.name = "bob";
    bob.role = "owner";
    CHECK(must(wait<User>([&](auto answer) { directory->create_user(bob, kNow, answer); })).role ==
          "owner");
    bob.name = "bill";
    bob.role = "king";
    CHECK(reason_of(wait<User>([&](auto answer) { directory->create_user(bob, kNow, answer); })) ==
          Reason::kInvalid);
    const auto set = [&](uint64_t id, std::string role) {
      return wait<User>(
          [&](auto answer) { directory->set_user_role(id, role, kNow + Millis(5), answer); });
    };
    const uint64_t before = directory->users_version();
    const User changed = must(set(1, "it-admin"));
    CHECK(changed.role == "it-admin");
    CHECK(changed.updated_at == kNow + Millis(5));
    CHECK(directory->users_version() != before);
    for (const char* wrong : {"", "Admin", "admins", "autogroup:admin"}) {
      CHECK(reason_of(set(1, wrong)) == Reason::kInvalid);
    }
    CHECK(reason_of(set(9, "admin")) == Reason::kNotFound);
    CHECK(*directory->user(1) == changed);
    directory->close();
  }
  const auto directory = open_directory(dir.file());
  CHECK(directory->user(1)->role == "it-admin");
  CHECK(directory->user(2)->role == "owner");
}

TEST_CASE("a user is created, renamed and deleted, and a restart finds it so") {
  const TempDir dir;
  {
    const auto directory = open_directory(dir.file());
    const User ann = must(create_user(*directory, "ann"));
    CHECK(ann.id == 1);
    CHECK(ann.created_at == kNow);
    must(create_user(*directory, "bob"));
    const User renamed = must(wait<User>(
        [&](auto answer) { directory->rename_user(1, "anna", kNow + Millis(5), answer); }));
    CHECK(renamed.name == "anna");
    CHECK(renamed.updated_at == kNow + Millis(5));
    must(wait<void>([&](auto answer) { directory->delete_user(2, answer); }));
    CHECK(directory->users().rows.size() == 1);
  }
  const auto directory = open_directory(dir.file());
  REQUIRE(directory->users().rows.size() == 1);
  CHECK(directory->users().rows[0]->name == "anna");
  CHECK(must(create_user(*directory, "bob")).id == 3);
}

TEST_CASE("a name is taken while its user has it, and free again afterwards") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  must(create_user(*directory, "ann"));
  must(create_user(*directory, "bob"));
  CHECK(reason_of(create_user(*directory, "ann")) == Reason::kConflict);
  const auto rename = [&](uint64_t id, std::string name) {
    return wait<User>([&](auto answer) { directory->rename_user(id, name, kNow, answer); });
  };
  CHECK(reason_of(rename(2, "ann")) == Reason::kConflict);
  must(rename(1, "ann"));  // to its own name
  must(rename(1, "anna"));
  must(rename(2, "ann"));
  CHECK(reason_of(create_user(*directory, "anna")) == Reason::kConflict);
  must(wait<void>([&](auto answer) { directory->delete_user(2, answer); }));
  must(create_user(*directory, "ann"));
}

TEST_CASE("what is wrong or unknown is refused without a write") {
  const auto shared = std::make_shared<FakeStore::Shared>();
  const auto directory = directory_over(std::make_unique<FakeStore>(shared));
  CHECK(reason_of(create_user(*directory, "1")) == Reason::kInvalid);
  CHECK(reason_of(create_key(*directory, {})) == Reason::kInvalid);
  CHECK(reason_of(create_key(*directory, key_of(9))) == Reason::kNotFound);
  NewPreAuthKey bad_tag;
  bad_tag.tags = {"tag:a", "badtag"};
  CHECK(reason_of(create_key(*directory, bad_tag)) == Reason::kInvalid);
  const auto no = [&](auto call) { return reason_of(wait<void>(call)); };
  CHECK(no([&](auto a) { directory->delete_user(9, a); }) == Reason::kNotFound);
  CHECK(no([&](auto a) { directory->expire_pre_auth_key(9, kNow, a); }) == Reason::kNotFound);
  CHECK(no([&](auto a) { directory->delete_pre_auth_key(9, a); }) == Reason::kNotFound);
  CHECK(no([&](auto a) { directory->expire_api_key({9, ""}, kNow, a); }) == Reason::kNotFound);
  CHECK(no([&](auto a) {
          directory->delete_api_key({std::nullopt, "x"}, a);
        }) == Reason::kNotFound);
  CHECK(reason_of(wait<User>([&](auto a) { directory->rename_user(9, "ab", kNow, a); })) ==
        Reason::kNotFound);
  CHECK(shared->pending.empty());
}

TEST_CASE("nothing is visible or answered before its commit") {
  const auto shared = std::make_shared<FakeStore::Shared>();
  const auto directory = directory_over(std::make_unique<FakeStore>(shared));
  int answers = 0;
  NewUser ann;
  ann.name = "ann";
  directory->create_user(ann, kNow, [&](auto result) { answers += result.ok() ? 1 : 100; });
  CHECK(answers == 0);
  CHECK(directory->users().rows.empty());
  const uint64_t version = directory->users_version();
  shared->commit();
  CHECK(answers == 1);
  CHECK(directory->users().rows.size() == 1);
  CHECK(directory->users_version() > version);
}

TEST_CASE("what the store says decides the answer, and its words stay with the operator") {
  std::vector<std::string> logged;
  Directory::Options options = test_options();
  options.on_store_error = [&](const store::StoreError& e) { logged.push_back(e.text); };
  const auto shared = std::make_shared<FakeStore::Shared>();
  const auto directory = directory_over(std::make_unique<FakeStore>(shared), options);
  const auto answer_to = [&](store::StoreErrorKind kind) {
    Refusal refusal;
    NewUser ann;
    ann.name = "ann";
    directory->create_user(ann, kNow, [&](auto result) { refusal = result.error(); });
    shared->fail(kind);
    return refusal;
  };
  CHECK(answer_to(store::StoreErrorKind::kConflict).reason == Reason::kConflict);
  CHECK(answer_to(store::StoreErrorKind::kMissing).reason == Reason::kNotFound);
  CHECK(logged.empty());
  const Refusal busy = answer_to(store::StoreErrorKind::kRetryLater);
  CHECK(busy.reason == Reason::kRetryLater);
  const Refusal broken = answer_to(store::StoreErrorKind::kBroken);
  CHECK(broken.reason == Reason::kBroken);
  CHECK(broken.text.find("as the test wants it") == std::string::npos);
  CHECK(logged == std::vector<std::string>(2, "as the test wants it"));
}

TEST_CASE("commits of another instance enter by the feed") {
  const auto shared = std::make_shared<FakeStore::Shared>();
  const auto directory = directory_over(std::make_unique<FakeStore>(shared));
  User remote;
  remote.id = 7;
  remote.name = "remote";
  const store::Transaction commit{{store::InsertUser{remote}}};
  shared->sink(std::span(&commit, 1));
  REQUIRE(directory->user(7) != nullptr);
  CHECK(reason_of(create_user(*directory, "remote")) == Reason::kConflict);
}

TEST_CASE("a pre-auth key is shown once, kept as a hash, and lists show it masked") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  must(create_user(*directory, "ann"));
  NewPreAuthKey request = key_of(1);
  request.reusable = true;
  request.tags = {"tag:b", "tag:a", "tag:b"};
  request.expiration = kNow + Millis(3'600'000);
  const MintedPreAuthKey minted = must(create_key(*directory, request));
  const auto parsed = token::parse_token(minted.text);
  REQUIRE(parsed.ok());
  CHECK(parsed->kind == token::TokenKind::kAuth);
  CHECK(parsed->id == minted.key.key->prefix);
  CHECK(minted.key.key->tags == std::vector<std::string>{"tag:a", "tag:b"});
  REQUIRE(minted.key.user != nullptr);
  CHECK(minted.key.user->name == "ann");
  const std::string file = [&] {
    directory->close();
    return store::first_text(dir.file(), "SELECT quote(hash) || prefix || tags FROM pre_auth_keys");
  }();
  CHECK(file.find(parsed->secret) == std::string::npos);
  const token::Sha256Digest hash = token::token_store_hash(minted.text);
  CHECK(minted.key.key->hash == as_text(hash));
}

TEST_CASE("pre-auth keys expire and go, alone or with their user") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  must(create_user(*directory, "ann"));
  must(create_key(*directory, key_of(1)));
  must(create_key(*directory, key_of(1)));
  NewPreAuthKey tagged;
  tagged.tags = {"tag:a"};
  must(create_key(*directory, tagged));
  must(wait<void>([&](auto a) { directory->expire_pre_auth_key(2, kNow, a); }));
  auto keys = directory->pre_auth_keys().rows;
  REQUIRE(keys.size() == 3);
  CHECK(directory->counts().users == 1);
  CHECK(directory->counts().pre_auth_keys == 3);
  CHECK(directory->counts().api_keys == 0);
  CHECK(keys[0].key->expiration == std::nullopt);
  CHECK(keys[1].key->expiration == kNow);
  CHECK(keys[2].user == nullptr);
  // Only what expired, and long enough ago.
  CHECK(directory->delete_pre_auth_keys_expired_by(kNow - Millis{1}) == 0);
  CHECK(directory->delete_pre_auth_keys_expired_by(kNow) == 1);
  must(wait<void>([&](auto a) { directory->ping(a); }));
  CHECK(directory->pre_auth_keys().rows.size() == 2);
  must(wait<void>([&](auto a) { directory->delete_pre_auth_key(1, a); }));
  must(wait<void>([&](auto a) { directory->delete_user(1, a); }));
  keys = directory->pre_auth_keys().rows;
  REQUIRE(keys.size() == 1);
  CHECK(keys[0].key->id == 3);
}

TEST_CASE("a key whose random id is taken gets another one") {
  const TempDir dir;
  Directory::Options options = test_options();
  int call = 0;
  // Calls alternate between id and secret; the first two ids are equal.
  options.random = [&](MutableBytes out) {
    const int id = call++;
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(id <= 3 ? id % 2 : id);
  };
  const auto directory = open_directory(dir.file(), options);
  const MintedApiKey first = must(create_api_key(*directory, std::nullopt));
  const MintedApiKey second = must(create_api_key(*directory, std::nullopt));
  CHECK(first.key.prefix == "000000000000");
  CHECK(second.key.prefix == "040404040404");
  CHECK(directory->verify_api_key(second.text, kNow) == ApiKeyVerdict::kValid);
}

TEST_CASE("a random source that repeats itself for ever ends in a refusal, not in a loop") {
  const TempDir dir;
  Directory::Options options = test_options();
  options.random = [](MutableBytes out) { std::fill(out.begin(), out.end(), uint8_t{7}); };
  const auto directory = open_directory(dir.file(), options);
  must(create_api_key(*directory, std::nullopt));
  CHECK(reason_of(create_api_key(*directory, std::nullopt)) == Reason::kConflict);
}

TEST_CASE("an API key is valid until the millisecond of its expiration") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  const MintedApiKey key = must(create_api_key(*directory, kNow + Millis(1000)));
  CHECK(directory->verify_api_key(key.text, kNow) == ApiKeyVerdict::kValid);
  CHECK(directory->verify_api_key(key.text, kNow + Millis(999)) == ApiKeyVerdict::kValid);
  CHECK(directory->verify_api_key(key.text, kNow + Millis(1000)) == ApiKeyVerdict::kExpired);
}

TEST_CASE("only the exact text of a stored API key is valid") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  const MintedApiKey key = must(create_api_key(*directory, std::nullopt));
  must(create_user(*directory, "ann"));
  const MintedPreAuthKey auth = must(create_key(*directory, key_of(1)));
  const auto verdict = [&](std::string_view text) { return directory->verify_api_key(text, kNow); };
  CHECK(verdict(key.text) == ApiKeyVerdict::kValid);
  for (size_t i = 0; i < key.text.size(); ++i) {
    std::string changed = key.text;
    changed[i] = changed[i] == '0' ? '1' : '0';
    CHECK(verdict(changed) == ApiKeyVerdict::kUnknown);
    CHECK(verdict(key.text.substr(0, i)) == ApiKeyVerdict::kUnknown);
  }
  CHECK(verdict(key.text + "0") == ApiKeyVerdict::kUnknown);
  CHECK(verdict(auth.text) == ApiKeyVerdict::kUnknown);
  CHECK(verdict("hskey-api-" + std::string(12, 'a') + "-" + std::string(64, 'b')) ==
        ApiKeyVerdict::kUnknown);
}

TEST_CASE("an expired or deleted API key is refused at once and after a restart") {
  const TempDir dir;
  std::string expired, deleted, good;
  {
    const auto directory = open_directory(dir.file());
    expired = must(create_api_key(*directory, std::nullopt)).text;
    const MintedApiKey second = must(create_api_key(*directory, std::nullopt));
    deleted = second.text;
    good = must(create_api_key(*directory, std::nullopt)).text;
    must(wait<void>([&](auto a) { directory->expire_api_key({1, ""}, kNow, a); }));
    must(wait<void>([&](auto a) {
      directory->delete_api_key({std::nullopt, "tskey-api-" + second.key.prefix + "-***"}, a);
    }));
    CHECK(directory->verify_api_key(expired, kNow) == ApiKeyVerdict::kExpired);
    CHECK(directory->verify_api_key(deleted, kNow) == ApiKeyVerdict::kUnknown);
  }
  const auto directory = open_directory(dir.file());
  CHECK(directory->verify_api_key(expired, kNow) == ApiKeyVerdict::kExpired);
  CHECK(directory->verify_api_key(deleted, kNow) == ApiKeyVerdict::kUnknown);
  CHECK(directory->verify_api_key(good, kNow) == ApiKeyVerdict::kValid);
}

TEST_CASE("a revoked key stays revoked when the clock is set back, also after a restart") {
  const TempDir dir;
  const WallTime before = kNow - std::chrono::hours(24);
  std::string api;
  std::string auth;
  const auto ended = [&](Directory& directory) {
    const auto key = directory.find_pre_auth_key(auth);
    return directory.verify_api_key(api, before) == ApiKeyVerdict::kExpired && key != nullptr &&
           key->expired(before);
  };
  {
    const auto directory = open_directory(dir.file());
    must(create_user(*directory, "ann"));
    api = must(create_api_key(*directory, std::nullopt)).text;
    auth = must(create_key(*directory, key_of(1))).text;
    CHECK_FALSE(ended(*directory));
    must(wait<void>([&](auto a) { directory->expire_api_key({1, ""}, kNow, a); }));
    must(wait<void>([&](auto a) { directory->expire_pre_auth_key(1, kNow, a); }));
    CHECK(ended(*directory));
    // Shown as Headscale shows it: expired when it was revoked.
    CHECK(directory->api_keys()[0].expiration == kNow);
    CHECK(directory->pre_auth_keys().rows[0].key->expiration == kNow);
  }
  CHECK(ended(*open_directory(dir.file())));
}

TEST_CASE("an API key is found by every form of its prefix that people paste") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  const auto forms = [](const MintedApiKey& key) {
    return std::vector<std::string>{key.key.prefix, "tskey-api-" + key.key.prefix,
                                    "tskey-api-" + key.key.prefix + "-***", key.text};
  };
  for (size_t i = 0; i < 4; ++i) {
    const MintedApiKey key = must(create_api_key(*directory, std::nullopt));
    const ApiKeySelector which{std::nullopt, forms(key)[i]};
    must(wait<void>([&](auto a) { directory->expire_api_key(which, kNow, a); }));
    must(wait<void>([&](auto a) { directory->delete_api_key(which, a); }));
  }
  CHECK(directory->api_keys().empty());
}

TEST_CASE("keys are sealed for the edge when there is a key to seal with") {
  const TempDir dir;
  const std::string secret(32, 'k');
  const token::HmacKey seal(as_bytes(secret));
  Directory::Options options = test_options();
  options.seal_key = seal;
  const auto directory = open_directory(dir.file(), options);
  const WallTime expiration = kNow + Millis(1500);
  const MintedApiKey key = must(create_api_key(*directory, expiration));
  const auto parsed = token::parse_token(key.text);
  REQUIRE(parsed.ok());
  CHECK(token::check_seal(*parsed, seal, kNow) == token::SealVerdict::kValid);
  // Whole seconds, rounded up: the edge never refuses what the origin still takes.
  CHECK(parsed->expiry == static_cast<uint64_t>(unix_seconds(kNow)) + 2);
  CHECK(directory->verify_api_key(key.text, kNow) == ApiKeyVerdict::kValid);
  const auto endless = token::parse_token(must(create_api_key(*directory, std::nullopt)).text);
  CHECK(endless->expiry == token::kNeverExpires);
  const MintedApiKey past = must(create_api_key(*directory, wall_time_ms(-5)));
  const auto past_token = token::parse_token(past.text);
  CHECK(token::check_seal(*past_token, seal, kNow) == token::SealVerdict::kExpired);
}

TEST_CASE("last_seen is shown at once but stored at most once an interval and at the end") {
  const auto shared = std::make_shared<FakeStore::Shared>();
  auto directory = directory_over(std::make_unique<FakeStore>(shared));
  std::string text;
  directory->create_api_key(std::nullopt, kNow, [&](auto result) { text = result->text; });
  shared->commit();
  CHECK(directory->api_keys()[0].last_seen == std::nullopt);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(directory->verify_api_key(text, kNow + Millis(i)) == ApiKeyVerdict::kValid);
  }
  CHECK(directory->api_keys()[0].last_seen == kNow + Millis(99));
  REQUIRE(shared->pending.size() == 1);
  shared->fail(store::StoreErrorKind::kRetryLater);
  directory->verify_api_key(text, kNow + Millis(59'999));
  CHECK(shared->pending.empty());
  directory->verify_api_key(text, kNow + Millis(60'000));
  REQUIRE(shared->pending.size() == 1);
  CHECK(std::get<store::TouchApiKeys>(shared->pending[0].transaction.changes[0]).last_seen ==
        std::vector<std::pair<uint64_t, WallTime>>{{1, kNow + Millis(60'000)}});
  shared->commit();
  directory->verify_api_key(text, kNow + Millis(60'001));
  CHECK(shared->pending.empty());
  // A clock that goes back must not silence it until it has caught up.
  directory->verify_api_key(text, kNow - Millis(3'600'000));
  REQUIRE(shared->pending.size() == 1);
  shared->commit();
  directory->verify_api_key(text, kNow - Millis(3'599'999));
  CHECK(shared->pending.empty());
  directory->close();
  CHECK(shared->pending.size() == 1);
}

TEST_CASE("last_seen survives a restart") {
  const TempDir dir;
  std::string text;
  {
    const auto directory = open_directory(dir.file());
    text = must(create_api_key(*directory, std::nullopt)).text;
    directory->verify_api_key(text, kNow + Millis(5));
  }
  const auto directory = open_directory(dir.file());
  CHECK(directory->api_keys().at(0).last_seen == kNow + Millis(5));
}

TEST_CASE("ping reports the database's answer") {
  const TempDir dir;
  const auto directory = open_directory(dir.file());
  must(wait<void>([&](auto a) { directory->ping(a); }));
  directory->close();
  CHECK(reason_of(wait<void>([&](auto a) { directory->ping(a); })) == Reason::kRetryLater);
}

}  // namespace
}  // namespace es::control

#include "native/control/directory.h"

#include "common/base/hex.h"
#include "native/control/names.h"
#include "native/control/tables.h"
#include "native/policy/alias.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace es::control {
namespace {

// Two keys with the same 48-bit id are unlikely, three in a row a broken random source.
constexpr int kMintAttempts = 3;

Refusal invalid(std::string_view text) { return {Reason::kInvalid, std::string(text)}; }
constexpr std::string_view kUserHasNodes =
    "user not empty: node(s) found; delete its nodes or tag them first";
Refusal user_not_found() { return {Reason::kNotFound, "user not found"}; }

// Unix seconds for a sealed key. Rounded up: the edge must not refuse what the origin still takes.
uint64_t sealed_expiry(const std::optional<WallTime>& expiration) {
  if (!expiration) return token::kNeverExpires;
  const int64_t seconds = std::chrono::ceil<Seconds>(*expiration).time_since_epoch().count();
  return std::clamp<uint64_t>(seconds < 1 ? 1 : static_cast<uint64_t>(seconds), 1,
                              token::kMaxExpiry);
}

std::optional<Refusal> check_role(std::string_view role) {
  if (policy::parse_role(role)) return std::nullopt;
  return invalid(
      "role: there are member, auditor, billing-admin, it-admin, network-admin, admin and owner");
}

std::optional<Refusal> check(const NewUser& request) {
  for (const Status& status :
       {check_user_name(request.name), check_display_name(request.display_name),
        check_email(request.email), check_picture_url(request.profile_pic_url)}) {
    if (!status.ok()) return invalid(status.error().what);
  }
  return request.role.empty() ? std::nullopt : check_role(request.role);
}

std::optional<Refusal> check_and_sort(std::vector<std::string>& tags) {
  if (tags.size() > kMaxTags) return invalid("a key can have at most 128 tags");
  for (const std::string& tag : tags) {
    const Status status = check_tag(tag);
    if (!status.ok()) return invalid(status.error().what);
  }
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  return std::nullopt;
}

}  // namespace

Directory::Directory(std::unique_ptr<store::Store> store, Options options)
    : options_(std::move(options)), tables_(std::make_unique<Tables>()), store_(std::move(store)) {}

Directory::~Directory() { close(); }

Result<std::unique_ptr<Directory>, store::StoreError> Directory::create(
    std::unique_ptr<store::Store> store, Options options) {
  std::unique_ptr<Directory> directory(new Directory(std::move(store), std::move(options)));
  Directory* self = directory.get();
  ES_CHECK(self->store_->start(
      [self](store::Contents contents) {
        self->loaded_nodes_ = std::move(contents.nodes);
        self->loaded_policy_ = std::move(contents.policy);
        self->tables_->load(std::move(contents));
      },
      [self](std::span<const store::Transaction> commits) { self->apply(commits); }));
  return directory;
}

void Directory::apply(std::span<const store::Transaction> commits) {
  tables_->apply(commits);
  const std::lock_guard lock(listener_mutex_);
  if (listener_) listener_(commits);
}

void Directory::listen(std::function<void(std::span<const store::Transaction>)> listener) {
  const std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

void Directory::submit(store::Transaction transaction, store::Store::Done done) {
  store_->write(std::move(transaction), std::move(done));
}

std::shared_ptr<const PreAuthKey> Directory::find_pre_auth_key(std::string_view text) const {
  const Result<token::Token> token = token::parse_token(text);
  if (!token || token->kind != token::TokenKind::kAuth) return nullptr;
  return tables_->pre_auth_key(token->id, token::token_store_hash(text));
}

uint64_t Directory::users_version() const { return tables_->users_version(); }
uint64_t Directory::pre_auth_keys_version() const { return tables_->pre_auth_keys_version(); }
Directory::Counts Directory::counts() const { return tables_->counts(); }
Snapshot<std::shared_ptr<const User>> Directory::users() const { return tables_->users(); }
std::shared_ptr<const User> Directory::user(uint64_t id) const { return tables_->user(id); }
Snapshot<OwnedPreAuthKey> Directory::pre_auth_keys() const { return tables_->pre_auth_keys(); }
OwnedPreAuthKey Directory::pre_auth_key(uint64_t id) const { return tables_->pre_auth_key(id); }
std::vector<ApiKey> Directory::api_keys() const { return tables_->api_keys(); }

Refusal Directory::refusal_of(const store::StoreError& error, std::string_view noun) const {
  using Kind = store::StoreErrorKind;
  if (error.kind == Kind::kConflict) {
    return {Reason::kConflict, std::string(noun) + " already exists"};
  }
  if (error.kind == Kind::kMissing) return {Reason::kNotFound, std::string(noun) + " not found"};
  if (options_.on_store_error) options_.on_store_error(error);
  if (error.kind == Kind::kRetryLater) {
    return {Reason::kRetryLater, "the database is busy, try again later"};
  }
  if (error.kind == Kind::kNoSpace) {
    return {Reason::kRetryLater, "the disk of the database is full"};
  }
  return {Reason::kBroken, "the database failed"};
}

template <class T, class F>
void Directory::write(store::Change change, std::string_view noun, Answer<T> answer, F result) {
  store_->write(
      {{std::move(change)}},
      [this, noun = std::string(noun), answer = std::move(answer),
       result = std::move(result)](Result<const store::Transaction*, store::StoreError> done) {
        if (!done.ok()) {
          answer(refusal_of(done.error(), noun));
        } else {
          answer(result((*done)->changes.front()));
        }
      });
}

namespace {
Result<void, Refusal> nothing(const store::Change&) { return {}; }
}  // namespace

void Directory::create_user(const NewUser& request, WallTime now, Answer<User> answer) {
  if (auto refusal = check(request)) return answer(*std::move(refusal));
  if (tables_->has_local_name(request.name)) {
    return answer(Refusal{Reason::kConflict, "user already exists"});
  }
  User user;
  user.name = request.name;
  user.display_name = request.display_name;
  user.email = request.email;
  user.profile_pic_url = request.profile_pic_url;
  if (!request.role.empty()) user.role = request.role;
  user.created_at = user.updated_at = now;
  write(store::InsertUser{std::move(user)}, "user", std::move(answer),
        [](const store::Change& change) { return std::get<store::InsertUser>(change).user; });
}

void Directory::rename_user(uint64_t id, std::string name, WallTime now, Answer<User> answer) {
  const std::shared_ptr<const User> before = tables_->user(id);
  if (before == nullptr) return answer(user_not_found());
  if (const Status status = check_user_name(name); !status.ok()) {
    return answer(invalid(status.error().what));
  }
  // Headscale marks users that an identity provider owns this way; their names are not ours.
  if (before->provider == "oidc") return answer(invalid("cannot edit OIDC user"));
  User after = *before;
  after.name = name;
  after.updated_at = now;
  change_user(store::RenameUser{id, std::move(name), now}, std::move(after), std::move(answer));
}

void Directory::set_user_role(uint64_t id, std::string role, WallTime now, Answer<User> answer) {
  const std::shared_ptr<const User> before = tables_->user(id);
  if (before == nullptr) return answer(user_not_found());
  if (auto refusal = check_role(role)) return answer(*std::move(refusal));
  User after = *before;
  after.role = role;
  after.updated_at = now;
  change_user(store::SetUserRole{id, std::move(role), now}, std::move(after), std::move(answer));
}

void Directory::change_user(store::Change change, User after, Answer<User> answer) {
  store_->write({{std::move(change)}},
                [this, after = std::move(after), answer = std::move(answer)](
                    Result<const store::Transaction*, store::StoreError> done) {
                  if (done.ok()) return answer(after);
                  answer(refusal_of(done.error(), "user"));
                });
}

void Directory::delete_user(uint64_t id, Answer<void> answer) {
  if (tables_->user(id) == nullptr) return answer(user_not_found());
  store_->write(
      {{store::DeleteUser{id}}}, [this, id, answer = std::move(answer)](
                                     Result<const store::Transaction*, store::StoreError> done) {
        if (done.ok()) return answer({});
        // The store has the last word, so that no registration slips in between.
        const bool in_use =
            done.error().kind == store::StoreErrorKind::kMissing && tables_->user(id) != nullptr;
        if (in_use) return answer(invalid(kUserHasNodes));
        answer(refusal_of(done.error(), "user"));
      });
}

Directory::Minted Directory::mint(token::TokenKind kind,
                                  const std::optional<WallTime>& expiration) const {
  std::array<uint8_t, token::kTokenIdBytes> id{};
  std::array<uint8_t, token::kTokenRandomBytes> random{};
  options_.random(id);
  options_.random(random);
  std::array<uint8_t, token::kMaxTokenLen> buffer{};
  ByteWriter out(buffer);
  const token::TokenRecipe recipe{
      .kind = kind,
      .expiry = sealed_expiry(expiration),
      .id = id,
      .random = random,
      .seal_key = options_.seal_key ? &*options_.seal_key : nullptr,
  };
  Minted minted;
  if (token::mint_token(recipe, out).ok()) {
    minted.text = as_text(out.written());
    minted.prefix = hex_encode(id);
    minted.hash = as_text(token::token_store_hash(minted.text));
  }
  wipe(random);
  wipe(buffer);
  return minted;
}

void Directory::create_pre_auth_key(NewPreAuthKey request, WallTime now,
                                    Answer<MintedPreAuthKey> answer) {
  if (auto refusal = check_and_sort(request.tags)) return answer(*std::move(refusal));
  std::shared_ptr<const User> owner;
  if (request.user_id) {
    owner = tables_->user(*request.user_id);
    if (owner == nullptr) return answer(user_not_found());
  } else if (request.tags.empty()) {
    return answer(invalid("auth-key must be either tagged or owned by user"));
  }
  PreAuthKey key;
  key.user_id = request.user_id;
  key.reusable = request.reusable;
  key.ephemeral = request.ephemeral;
  key.tags = std::move(request.tags);
  key.expiration = request.expiration;
  key.created_at = now;
  insert_pre_auth_key(std::move(key), std::move(owner), kMintAttempts, std::move(answer));
}

void Directory::insert_pre_auth_key(PreAuthKey key, std::shared_ptr<const User> owner,
                                    int attempts_left, Answer<MintedPreAuthKey> answer) {
  Minted minted = mint(token::TokenKind::kAuth, key.expiration);
  if (minted.text.empty()) return answer(Refusal{Reason::kBroken, "the key could not be made"});
  key.prefix = std::move(minted.prefix);
  key.hash = std::move(minted.hash);
  store::Transaction transaction{{store::InsertPreAuthKey{key}}};
  store_->write(std::move(transaction), [this, key = std::move(key), owner = std::move(owner),
                                         attempts_left, text = std::move(minted.text),
                                         answer = std::move(answer)](
                                            Result<const store::Transaction*, store::StoreError>
                                                done) {
    if (done.ok()) {
      const auto& stored = std::get<store::InsertPreAuthKey>((*done)->changes.front()).key;
      return answer(MintedPreAuthKey{{std::make_shared<const PreAuthKey>(stored), owner}, text});
    }
    if (done.error().kind == store::StoreErrorKind::kConflict && attempts_left > 1) {
      return insert_pre_auth_key(key, owner, attempts_left - 1, answer);
    }
    // What can be missing is the owner, deleted meanwhile.
    answer(refusal_of(done.error(),
                      done.error().kind == store::StoreErrorKind::kMissing ? "user" : "key"));
  });
}

void Directory::expire_pre_auth_key(uint64_t id, WallTime now, Answer<void> answer) {
  if (!tables_->has_pre_auth_key(id)) {
    return answer(Refusal{Reason::kNotFound, "auth-key not found"});
  }
  write(store::RevokePreAuthKey{id, now}, "auth-key", std::move(answer), nothing);
}

void Directory::delete_pre_auth_key(uint64_t id, Answer<void> answer) {
  if (!tables_->has_pre_auth_key(id)) {
    return answer(Refusal{Reason::kNotFound, "auth-key not found"});
  }
  write(store::DeletePreAuthKey{id}, "auth-key", std::move(answer), nothing);
}

size_t Directory::delete_pre_auth_keys_expired_by(WallTime time) {
  constexpr size_t kAtOnce = 1000;
  size_t count = 0;
  for (const OwnedPreAuthKey& owned : pre_auth_keys().rows) {
    if (!owned.key->expiration || *owned.key->expiration > time) continue;
    if (++count > kAtOnce) return kAtOnce;
    delete_pre_auth_key(owned.key->id, [](const auto&) {});
  }
  return count;
}

void Directory::create_api_key(std::optional<WallTime> expiration, WallTime now,
                               Answer<MintedApiKey> answer) {
  ApiKey key;
  key.expiration = expiration;
  key.created_at = now;
  insert_api_key(std::move(key), kMintAttempts, std::move(answer));
}

void Directory::insert_api_key(ApiKey key, int attempts_left, Answer<MintedApiKey> answer) {
  Minted minted = mint(token::TokenKind::kApi, key.expiration);
  if (minted.text.empty()) return answer(Refusal{Reason::kBroken, "the key could not be made"});
  key.prefix = std::move(minted.prefix);
  key.hash = std::move(minted.hash);
  store::Transaction transaction{{store::InsertApiKey{key}}};
  store_->write(
      std::move(transaction),
      [this, key = std::move(key), attempts_left, text = std::move(minted.text),
       answer = std::move(answer)](Result<const store::Transaction*, store::StoreError> done) {
        if (done.ok()) {
          const auto& change = (*done)->changes.front();
          return answer(MintedApiKey{std::get<store::InsertApiKey>(change).key, text});
        }
        if (done.error().kind == store::StoreErrorKind::kConflict && attempts_left > 1) {
          return insert_api_key(key, attempts_left - 1, answer);
        }
        answer(refusal_of(done.error(), "key"));
      });
}

void Directory::expire_api_key(const ApiKeySelector& which, WallTime now, Answer<void> answer) {
  const auto id = tables_->api_key_id(which);
  if (!id) return answer(Refusal{Reason::kNotFound, "API key not found"});
  write(store::RevokeApiKey{*id, now}, "API key", std::move(answer), nothing);
}

void Directory::delete_api_key(const ApiKeySelector& which, Answer<void> answer) {
  const auto id = tables_->api_key_id(which);
  if (!id) return answer(Refusal{Reason::kNotFound, "API key not found"});
  write(store::DeleteApiKey{*id}, "API key", std::move(answer), nothing);
}

ApiKeyVerdict Directory::verify_api_key(std::string_view text, WallTime now) {
  const auto parsed = token::parse_token(text);
  if (!parsed.ok() || parsed->kind != token::TokenKind::kApi) return ApiKeyVerdict::kUnknown;
  const token::Sha256Digest hash = token::token_store_hash(text);
  const ApiKeyVerdict verdict = tables_->verify_api_key(parsed->id, hash, now);
  // One write at a time: what is noted meanwhile goes with a later one.
  if (verdict == ApiKeyVerdict::kValid && last_seen_due(now) &&
      !storing_last_seen_.exchange(true)) {
    store_last_seen();
  }
  return verdict;
}

bool Directory::last_seen_due(WallTime now) {
  int64_t last = last_seen_stored_ms_.load(std::memory_order_relaxed);
  const int64_t age = unix_ms(now) - last;
  // A clock that went back must not silence it until it catches up.
  if (age >= 0 && age < options_.last_seen_interval.count()) return false;
  return last_seen_stored_ms_.compare_exchange_strong(last, unix_ms(now));
}

void Directory::store_last_seen() {
  auto seen = tables_->take_last_seen();
  if (seen.empty()) {
    storing_last_seen_ = false;
    return;
  }
  store::Transaction transaction{{store::TouchApiKeys{seen}}};
  store_->write(
      std::move(transaction),
      [this, seen = std::move(seen)](Result<const store::Transaction*, store::StoreError> done) {
        if (!done.ok()) tables_->note_again(seen);
        storing_last_seen_ = false;
      });
}

void Directory::ping(Answer<void> answer) {
  store_->ping([this, answer = std::move(answer)](Result<void, store::StoreError> done) {
    if (done.ok()) {
      answer(Result<void, Refusal>());
    } else {
      answer(refusal_of(done.error(), "database"));
    }
  });
}

void Directory::close() {
  store_last_seen();
  store_->close();
}

}  // namespace es::control

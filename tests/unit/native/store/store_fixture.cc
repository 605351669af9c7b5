#include "tests/unit/native/store/store_fixture.h"

#include "native/store/sqlite_db.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <future>

namespace es::store {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "es_store_XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::unique_ptr<Store> open_started(const SqliteOptions& options, Contents* contents) {
  auto store = open_sqlite(options);
  if (!store.ok()) FAIL(store.error().text);
  const auto started = (*store)->start(
      [&](Contents all) {
        if (contents != nullptr) *contents = std::move(all);
      },
      [](std::span<const Transaction>) {});
  if (!started.ok()) FAIL(started.error().text);
  return std::move(store).value();
}

std::string refusal_of(const SqliteOptions& options) {
  const auto store = open_sqlite(options);
  if (store.ok()) FAIL("it opened");
  INFO(store.error().text);
  REQUIRE(store.error().kind == StoreErrorKind::kRefused);
  return store.error().text;
}

Result<Transaction, StoreError> write_and_wait(Store& store, Transaction transaction) {
  std::promise<Result<Transaction, StoreError>> promise;
  auto future = promise.get_future();
  store.write(std::move(transaction), [&](Result<const Transaction*, StoreError> result) {
    if (result.ok()) {
      promise.set_value(**result);
    } else {
      promise.set_value(result.error());
    }
  });
  return future.get();
}

Result<Transaction, StoreError> write_and_wait(Store& store, Change change) {
  return write_and_wait(store, Transaction{{std::move(change)}});
}

Result<void, StoreError> ping_and_wait(Store& store) {
  std::promise<Result<void, StoreError>> promise;
  store.ping([&](Result<void, StoreError> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

Contents read_all(const std::string& path) {
  Contents contents;
  open_started(options_for(path), &contents);
  return contents;
}

User user_named(std::string name) {
  User user;
  user.name = std::move(name);
  user.created_at = wall_time_ms(1'700'000'000'123);
  user.updated_at = user.created_at;
  return user;
}

PreAuthKey key_with_prefix(std::string prefix) {
  PreAuthKey key;
  key.prefix = std::move(prefix);
  key.hash = std::string("\x00\x01\xff hash", 8);
  key.created_at = wall_time_ms(1'700'000'000'123);
  return key;
}

ApiKey api_key_with_prefix(std::string prefix) {
  ApiKey key;
  key.prefix = std::move(prefix);
  key.hash = std::string(32, '\x7f');
  key.created_at = wall_time_ms(1'700'000'000'123);
  return key;
}

namespace {
Connection plain_connection(const std::string& path) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open(path.c_str(), &raw);
  Connection connection(raw);
  REQUIRE(rc == SQLITE_OK);
  return connection;
}
}  // namespace

void run_sql(const std::string& path, const std::string& sql) {
  const auto connection = plain_connection(path);
  const auto status = execute(connection.get(), sql.c_str());
  if (!status.ok()) FAIL(status.error().text);
}

std::string first_text(const std::string& path, const std::string& sql) {
  const auto connection = plain_connection(path);
  const auto text = query_text(connection.get(), sql.c_str());
  if (!text.ok()) FAIL(text.error().text);
  return text->value_or("(no row)");
}

}  // namespace es::store

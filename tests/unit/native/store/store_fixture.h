// A database in a folder of its own, and the store's callbacks turned into waits.
#pragma once

#include "native/store/sqlite_store.h"

#include <memory>
#include <string>

namespace es::store {

// Removed with everything in it at the end of the scope.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string file(const std::string& name = "db.sqlite") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline SqliteOptions options_for(std::string path) {
  SqliteOptions options;
  options.path = std::move(path);
  options.busy_timeout = std::chrono::milliseconds(50);
  return options;
}

// Opens and starts with a sink that ignores; fails the test when refused.
std::unique_ptr<Store> open_started(const SqliteOptions& options, Contents* contents = nullptr);

// The text of the refusal; fails the test when it opens, or when the error is no refusal.
std::string refusal_of(const SqliteOptions& options);

// Waits for the commit.
Result<Transaction, StoreError> write_and_wait(Store& store, Transaction transaction);
Result<Transaction, StoreError> write_and_wait(Store& store, Change change);
Result<void, StoreError> ping_and_wait(Store& store);

// Everything in the file, by way of a store of its own; the other one must be closed.
Contents read_all(const std::string& path);

User user_named(std::string name);
PreAuthKey key_with_prefix(std::string prefix);
ApiKey api_key_with_prefix(std::string prefix);

// Runs SQL on the file with a plain connection.
void run_sql(const std::string& path, const std::string& sql);
std::string first_text(const std::string& path, const std::string& sql);

}  // namespace es::store

// Opening a database file safely: who may, what it must be, what it must not be. Internal to the
// room; the refusals are listed at open_sqlite().
#pragma once

#include "native/store/sqlite_db.h"
#include "native/store/sqlite_store.h"

#include <string>

namespace es::store {

// Holds an exclusive lock on a file until destroyed; the kernel drops it when the process dies.
class FileLock {
 public:
  static Result<FileLock, StoreError> take(const std::string& path);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

struct OpenedDatabase {
  FileLock lock;  // released after the connection is closed: members die in reverse order
  Connection connection;
  std::string path;  // absolute, symbolic links resolved
};

// Opened, checked, migrated, configured.
Result<OpenedDatabase, StoreError> open_database(const SqliteOptions& options);

}  // namespace es::store

// The embedded store: one SQLite file in WAL mode, one writer thread, group commit.
//
// While one commit waits for the disk, further writes queue up and become the next commit: no
// timer, no added delay for a single writer, one fsync for many concurrent ones. A transaction that
// violates a constraint is rolled back alone (SAVEPOINT); its neighbours in the group commit.
//
// An exclusive lock on `<path>.lock` keeps a second origin away; readers such as sqlite3 or a
// backup tool may open the database at any time.
#pragma once

#include "native/store/store.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace es::store {

enum class Synchronous : uint8_t {
  kFull,    // fsync on each commit: acknowledged writes survive power loss
  kNormal,  // fsync at checkpoints: survive kill -9, the last ones may be lost with the power
};

enum class StartCheck : uint8_t { kQuick, kFull, kNone };

struct CommitTiming {
  std::chrono::nanoseconds duration;  // from BEGIN to the end of COMMIT
  size_t transactions;                // that shared it
};

struct SqliteOptions {
  std::string path;
  Synchronous synchronous = Synchronous::kFull;
  StartCheck start_check = StartCheck::kQuick;
  // Writes waiting for a commit; one more fails with kRetryLater.
  size_t max_queued = 8192;
  // Transactions in one commit at most.
  size_t max_group = 1024;
  // How long SQLite waits for another process's lock (a backup, sqlite3 on the command line).
  std::chrono::milliseconds busy_timeout{5000};
  int wal_autocheckpoint_pages = 1000;
  // A monotonic clock and who wants to know; both may be empty. Called on the writer thread.
  std::function<std::chrono::nanoseconds()> clock;
  std::function<void(const CommitTiming&)> on_commit;
};

// The newest schema that this build reads and writes.
int sqlite_schema_version();

// Opens or creates the database and brings its schema up to date, in one transaction. Refuses, with
// a text that says what to do: a newer schema, a file locked by another process, a read-only file
// or directory, a corrupt file, a Headscale database (left untouched), any other program's
// database. A missing directory is created with permission 0700, the file with 0600.
Result<std::unique_ptr<Store>, StoreError> open_sqlite(SqliteOptions options);

}  // namespace es::store

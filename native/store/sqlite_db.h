// A thin owner of sqlite3 handles: connection, prepared statement, error text. Internal to the
// room.
//
// Threads: none of its own; the connection is opened without SQLite's mutexes and belongs to one
// caller at a time.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/store/store.h"

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace es::store {

using DbStatus = Result<void, StoreError>;

struct SqliteCloser {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Connection = std::unique_ptr<sqlite3, SqliteCloser>;

// What `rc` means for the caller, with SQLite's own words and `what` was being done.
StoreError sqlite_error(sqlite3* db, int rc, std::string_view what);

// Runs SQL text that yields no rows that matter.
DbStatus execute(sqlite3* db, const char* sql);

// The first column of the first row, or nothing when there is no row.
Result<std::optional<int64_t>, StoreError> query_int(sqlite3* db, const char* sql);
Result<std::optional<std::string>, StoreError> query_text(sqlite3* db, const char* sql);

// A prepared statement. Parameters and columns are numbered as SQLite does: parameters from 1,
// columns from 0. Errors of bind and step surface in run() or next().
class Statement {
 public:
  Statement() = default;
  static Result<Statement, StoreError> prepare(sqlite3* db, std::string_view sql);

  void bind(int index, int64_t v);
  void bind_id(int index, uint64_t v) { bind(index, static_cast<int64_t>(v)); }
  void bind_time(int index, WallTime v) { bind(index, unix_ms(v)); }
  void bind_time(int index, const std::optional<WallTime>& v);
  void bind_id(int index, const std::optional<uint64_t>& v);
  void bind_null(int index);
  // The bytes must live until run() returns.
  void bind_text(int index, std::string_view v);
  void bind_blob(int index, std::string_view v);

  // Executes a statement without rows and makes it ready for the next use.
  DbStatus run();
  // True: a row is there. False: no more; the statement is ready for the next use.
  Result<bool, StoreError> next();

  int64_t column_int(int index) const;
  uint64_t column_id(int index) const { return static_cast<uint64_t>(column_int(index)); }
  WallTime column_time(int index) const { return wall_time_ms(column_int(index)); }
  std::optional<WallTime> column_optional_time(int index) const;
  std::optional<uint64_t> column_optional_id(int index) const;
  std::string column_text(int index) const;  // also blobs; NULL reads as empty

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  void note(int rc) {
    if (bind_rc_ == SQLITE_OK) bind_rc_ = rc;
  }
  bool is_null(int index) const;
  void reset();

  std::unique_ptr<sqlite3_stmt, Finalizer> stmt_;
  int bind_rc_ = SQLITE_OK;
};

}  // namespace es::store

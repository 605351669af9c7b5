#include "native/store/sqlite_db.h"

#include <cerrno>

namespace es::store {
namespace {

StoreErrorKind kind_of(int extended) {
  switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
      return StoreErrorKind::kConflict;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
    case SQLITE_CONSTRAINT_TRIGGER:  // what ON DELETE RESTRICT is to SQLite
      return StoreErrorKind::kMissing;
    default:
      break;
  }
  switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
      return StoreErrorKind::kRetryLater;
    case SQLITE_FULL:
      return StoreErrorKind::kNoSpace;
    default:
      return StoreErrorKind::kBroken;
  }
}

}  // namespace

StoreError sqlite_error(sqlite3* db, int rc, std::string_view what) {
  const int extended = db != nullptr ? sqlite3_extended_errcode(db) : rc;
  // The connection may have moved on to another error; then rc is the better witness.
  const int code = (extended & 0xff) == (rc & 0xff) ? extended : rc;
  std::string text(what);
  text += ": ";
  text += db != nullptr && code == extended ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  text += " (SQLite code ";
  text += std::to_string(code);
  text += ')';
  // Where SQLite grows its shared memory or a journal, a full disk is an I/O error to it.
  const bool no_space =
      db != nullptr && (code & 0xff) == SQLITE_IOERR && sqlite3_system_errno(db) == ENOSPC;
  return {no_space ? StoreErrorKind::kNoSpace : kind_of(code), std::move(text)};
}

DbStatus execute(sqlite3* db, const char* sql) {
  const int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return sqlite_error(db, rc, sql);
  return {};
}

Result<std::optional<int64_t>, StoreError> query_int(sqlite3* db, const char* sql) {
  ES_TRY(Statement statement, Statement::prepare(db, sql));
  ES_TRY(const bool row, statement.next());
  if (!row) return std::optional<int64_t>();
  return std::optional<int64_t>(statement.column_int(0));
}

Result<std::optional<std::string>, StoreError> query_text(sqlite3* db, const char* sql) {
  ES_TRY(Statement statement, Statement::prepare(db, sql));
  ES_TRY(const bool row, statement.next());
  if (!row) return std::optional<std::string>();
  return std::optional<std::string>(statement.column_text(0));
}

Result<Statement, StoreError> Statement::prepare(sqlite3* db, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  Statement statement;
  statement.stmt_.reset(raw);
  if (rc != SQLITE_OK) return sqlite_error(db, rc, sql);
  return statement;
}

void Statement::bind(int index, int64_t v) { note(sqlite3_bind_int64(stmt_.get(), index, v)); }

void Statement::bind_time(int index, const std::optional<WallTime>& v) {
  if (v) {
    bind_time(index, *v);
  } else {
    bind_null(index);
  }
}

void Statement::bind_id(int index, const std::optional<uint64_t>& v) {
  if (v) {
    bind_id(index, *v);
  } else {
    bind_null(index);
  }
}

void Statement::bind_null(int index) { note(sqlite3_bind_null(stmt_.get(), index)); }

void Statement::bind_text(int index, std::string_view v) {
  // A view without memory would bind NULL.
  note(sqlite3_bind_text64(stmt_.get(), index, v.data() != nullptr ? v.data() : "", v.size(),
                           SQLITE_STATIC, SQLITE_UTF8));
}

void Statement::bind_blob(int index, std::string_view v) {
  note(sqlite3_bind_blob64(stmt_.get(), index, v.data() != nullptr ? v.data() : "", v.size(),
                           SQLITE_STATIC));
}

void Statement::reset() {
  sqlite3_reset(stmt_.get());
  // Bound bytes belong to the caller; no pointer to them may stay behind.
  sqlite3_clear_bindings(stmt_.get());
  bind_rc_ = SQLITE_OK;
}

DbStatus Statement::run() {
  ES_TRY(const bool row, next());
  if (row) reset();
  return {};
}

Result<bool, StoreError> Statement::next() {
  const int rc = bind_rc_ != SQLITE_OK ? bind_rc_ : sqlite3_step(stmt_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    reset();
    return false;
  }
  StoreError error = sqlite_error(sqlite3_db_handle(stmt_.get()), rc, sqlite3_sql(stmt_.get()));
  reset();
  return error;
}

bool Statement::is_null(int index) const {
  return sqlite3_column_type(stmt_.get(), index) == SQLITE_NULL;
}

int64_t Statement::column_int(int index) const { return sqlite3_column_int64(stmt_.get(), index); }

std::optional<WallTime> Statement::column_optional_time(int index) const {
  if (is_null(index)) return std::nullopt;
  return column_time(index);
}

std::optional<uint64_t> Statement::column_optional_id(int index) const {
  if (is_null(index)) return std::nullopt;
  return column_id(index);
}

std::string Statement::column_text(int index) const {
  const void* data = sqlite3_column_blob(stmt_.get(), index);
  const int len = sqlite3_column_bytes(stmt_.get(), index);
  if (data == nullptr || len <= 0) return {};
  return std::string(static_cast<const char*>(data), static_cast<size_t>(len));
}

}  // namespace es::store

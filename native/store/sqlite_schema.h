// The schema of the SQLite store and its migrations. Internal to the room.
//
// PRAGMA application_id marks a file as ours, PRAGMA user_version holds the number of migrations
// that it has seen. A migration that was released is never changed; a new one is added at the end.
#pragma once

#include "native/store/sqlite_db.h"

#include <cstdint>
#include <span>

namespace es::store {

inline constexpr int32_t kApplicationId = 0x45534b44;  // "ESKD"

struct Migration {
  const char* what;
  const char* sql;
};

// Migration i leads from version i to i + 1.
std::span<const Migration> migrations();

// Runs the migrations from the file's version on, all in one transaction: after a failure or a
// crash the file is as it was. Also with a shorter list than migrations(), for tests.
DbStatus migrate(sqlite3* db, std::span<const Migration> list);

}  // namespace es::store

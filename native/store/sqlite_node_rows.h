// The statements of the nodes table. Internal to the room.
#pragma once

#include "native/store/sqlite_db.h"

#include <vector>

namespace es::store {

class SqliteNodeRows {
 public:
  static Result<SqliteNodeRows, StoreError> prepare(sqlite3* db);

  Result<std::vector<Node>, StoreError> load();

  // As SqliteRows::apply.
  DbStatus apply(InsertNode& c);
  DbStatus apply(SetNodeIdentity& c);
  DbStatus apply(SetNodeInfo& c);
  DbStatus apply(RenameNode& c);
  DbStatus apply(SetNodeTags& c);
  DbStatus apply(SetNodeExpiry& c);
  DbStatus apply(SetNodeRoutes& c);
  DbStatus apply(AddNodeRoutes& c);
  DbStatus apply(SetNodeAddresses& c);
  DbStatus apply(DeleteNode& c);
  DbStatus apply(TouchNodes& c);

 private:
  // Runs a statement that must change one node.
  DbStatus change(Statement& statement);
  struct Lists {
    std::optional<uint64_t> user_id;
    std::vector<std::string> tags;
    std::vector<std::string> approved_routes;
  };
  Result<Lists, StoreError> lists_of(uint64_t id);

  sqlite3* db_ = nullptr;
  Statement insert_;
  Statement set_identity_;
  Statement set_info_;
  Statement rename_;
  Statement set_tags_;
  Statement set_expiry_;
  Statement set_routes_;
  Statement set_addresses_;
  Statement delete_;
  Statement touch_;
  Statement select_;
  Statement select_lists_;
};

}  // namespace es::store

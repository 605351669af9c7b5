// The statements of the SQLite store: records to rows and back, prepared once. Internal to the
// room.
#pragma once

#include "native/store/sqlite_db.h"
#include "native/store/sqlite_node_rows.h"

namespace es::store {

class SqliteRows {
 public:
  static Result<SqliteRows, StoreError> prepare(sqlite3* db);

  Result<Contents, StoreError> load();

  // Applies one change inside the caller's transaction and fills in assigned ids. After an error
  // the change may be half done: roll back.
  DbStatus apply(Change& change);

 private:
  DbStatus apply(InsertUser& c);
  DbStatus apply(RenameUser& c);
  DbStatus apply(SetUserRole& c);
  DbStatus apply(DeleteUser& c);
  DbStatus apply(InsertPreAuthKey& c);
  DbStatus apply(RevokePreAuthKey& c);
  DbStatus apply(DeletePreAuthKey& c);
  DbStatus apply(UsePreAuthKey& c);
  DbStatus apply(InsertApiKey& c);
  DbStatus apply(RevokeApiKey& c);
  DbStatus apply(DeleteApiKey& c);
  DbStatus apply(TouchApiKeys& c);
  DbStatus apply(InsertPolicy& c);
  // Changes of nodes.
  template <class C>
  DbStatus apply(C& c) {
    return nodes_.apply(c);
  }
  DbStatus insert(Statement& statement, uint64_t& id);
  DbStatus change_row(Statement& statement, const char* noun);
  DbStatus revoke(Statement& statement, uint64_t id, WallTime at, const char* noun);
  DbStatus delete_row(Statement& statement, uint64_t id, const char* noun);

  sqlite3* db_ = nullptr;
  Statement insert_user_;
  Statement rename_user_;
  Statement set_user_role_;
  Statement delete_user_;
  Statement insert_pre_auth_key_;
  Statement revoke_pre_auth_key_;
  Statement delete_pre_auth_key_;
  Statement use_pre_auth_key_;
  Statement insert_api_key_;
  Statement revoke_api_key_;
  Statement delete_api_key_;
  Statement touch_api_key_;
  Statement insert_policy_;
  Statement select_policy_;
  Statement select_users_;
  Statement select_pre_auth_keys_;
  Statement select_api_keys_;
  SqliteNodeRows nodes_;
};

}  // namespace es::store

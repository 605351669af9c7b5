#include "native/store/sqlite_node_rows.h"

#include "native/store/text_list.h"

#include <algorithm>
#include <utility>

namespace es::store {
namespace {

// Unique columns hold NULL, not "", for what is not there.
void bind_address(Statement& s, int index, const std::string& address) {
  if (address.empty()) {
    s.bind_null(index);
  } else {
    s.bind_text(index, address);
  }
}

Result<Node, StoreError> node_of(const Statement& s) {
  Node n;
  n.id = s.column_id(0);
  n.machine_key = s.column_text(1);
  n.node_key = s.column_text(2);
  n.disco_key = s.column_text(3);
  n.ipv4 = s.column_text(4);
  n.ipv6 = s.column_text(5);
  n.hostname = s.column_text(6);
  n.given_name = s.column_text(7);
  n.name_is_chosen = s.column_int(8) != 0;
  n.user_id = s.column_optional_id(9);
  ES_TRY(n.tags, text_list(s.column_text(10), "the tags of a node"));
  n.pre_auth_key_id = s.column_optional_id(11);
  n.register_method = s.column_text(12);
  n.ephemeral = s.column_int(13) != 0;
  n.hostinfo = s.column_text(14);
  ES_TRY(n.endpoints, text_list(s.column_text(15), "the endpoints of a node"));
  n.home_derp = static_cast<int32_t>(s.column_int(16));
  n.capability_version = static_cast<uint32_t>(s.column_int(17));
  ES_TRY(n.approved_routes, text_list(s.column_text(18), "the approved routes of a node"));
  n.expiry = s.column_optional_time(19);
  n.last_seen = s.column_optional_time(20);
  n.created_at = s.column_time(21);
  return n;
}

}  // namespace

Result<SqliteNodeRows, StoreError> SqliteNodeRows::prepare(sqlite3* db) {
  SqliteNodeRows rows;
  rows.db_ = db;
  const struct {
    Statement* statement;
    const char* sql;
  } statements[] = {
      {&rows.insert_,
       "INSERT INTO nodes(machine_key, node_key, disco_key, ipv4, ipv6, hostname, given_name,"
       " name_is_chosen, user_id, tags, pre_auth_key_id, register_method, ephemeral, hostinfo,"
       " endpoints, home_derp, capability_version, approved_routes, expiry, last_seen, created_at)"
       " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
      {&rows.set_identity_,
       "UPDATE nodes SET node_key = ?, user_id = ?, tags = ?, pre_auth_key_id = ?,"
       " register_method = ?, ephemeral = ?, expiry = ?, approved_routes = ? WHERE id = ?"},
      {&rows.set_info_,
       "UPDATE nodes SET disco_key = ?, hostname = ?, hostinfo = ?, endpoints = ?, home_derp = ?,"
       " capability_version = ? WHERE id = ?"},
      {&rows.rename_, "UPDATE nodes SET given_name = ?, name_is_chosen = ? WHERE id = ?"},
      {&rows.set_tags_, "UPDATE nodes SET tags = ?, user_id = NULL WHERE id = ?"},
      {&rows.set_expiry_, "UPDATE nodes SET expiry = ? WHERE id = ?"},
      {&rows.set_routes_, "UPDATE nodes SET approved_routes = ? WHERE id = ?"},
      {&rows.set_addresses_, "UPDATE nodes SET ipv4 = ?, ipv6 = ? WHERE id = ?"},
      {&rows.delete_, "DELETE FROM nodes WHERE id = ?"},
      {&rows.touch_, "UPDATE nodes SET last_seen = ? WHERE id = ?"},
      {&rows.select_,
       "SELECT id, machine_key, node_key, disco_key, ipv4, ipv6, hostname, given_name,"
       " name_is_chosen, user_id, tags, pre_auth_key_id, register_method, ephemeral, hostinfo,"
       " endpoints, home_derp, capability_version, approved_routes, expiry, last_seen, created_at"
       " FROM nodes ORDER BY id"},
      {&rows.select_lists_, "SELECT user_id, tags, approved_routes FROM nodes WHERE id = ?"},
  };
  for (const auto& entry : statements) {
    ES_TRY(*entry.statement, Statement::prepare(db, entry.sql));
  }
  return rows;
}

Result<std::vector<Node>, StoreError> SqliteNodeRows::load() {
  std::vector<Node> nodes;
  for (;;) {
    ES_TRY(const bool row, select_.next());
    if (!row) return nodes;
    ES_TRY(Node node, node_of(select_));
    nodes.push_back(std::move(node));
  }
}

DbStatus SqliteNodeRows::change(Statement& statement) {
  ES_CHECK(statement.run());
  if (sqlite3_changes(db_) == 0) return StoreError{StoreErrorKind::kMissing, "node not found"};
  return {};
}

Result<SqliteNodeRows::Lists, StoreError> SqliteNodeRows::lists_of(uint64_t id) {
  Statement& s = select_lists_;
  s.bind_id(1, id);
  ES_TRY(const bool row, s.next());
  if (!row) return StoreError{StoreErrorKind::kMissing, "node not found"};
  Lists lists;
  lists.user_id = s.column_optional_id(0);
  const std::string tags = s.column_text(1);
  const std::string routes = s.column_text(2);
  ES_TRY([[maybe_unused]] const bool more, s.next());  // makes it ready for the next use
  ES_TRY(lists.tags, text_list(tags, "the tags of a node"));
  ES_TRY(lists.approved_routes, text_list(routes, "the approved routes of a node"));
  return lists;
}

DbStatus SqliteNodeRows::apply(InsertNode& c) {
  const Node& n = c.node;
  const std::string tags = list_text(n.tags);
  const std::string endpoints = list_text(n.endpoints);
  const std::string routes = list_text(n.approved_routes);
  Statement& s = insert_;
  s.bind_text(1, n.machine_key);
  s.bind_text(2, n.node_key);
  s.bind_text(3, n.disco_key);
  bind_address(s, 4, n.ipv4);
  bind_address(s, 5, n.ipv6);
  s.bind_text(6, n.hostname);
  s.bind_text(7, n.given_name);
  s.bind(8, n.name_is_chosen ? 1 : 0);
  s.bind_id(9, n.user_id);
  s.bind_text(10, tags);
  s.bind_id(11, n.pre_auth_key_id);
  s.bind_text(12, n.register_method);
  s.bind(13, n.ephemeral ? 1 : 0);
  s.bind_text(14, n.hostinfo);
  s.bind_text(15, endpoints);
  s.bind(16, n.home_derp);
  s.bind(17, n.capability_version);
  s.bind_text(18, routes);
  s.bind_time(19, n.expiry);
  s.bind_time(20, n.last_seen);
  s.bind_time(21, n.created_at);
  ES_CHECK(s.run());
  c.node.id = static_cast<uint64_t>(sqlite3_last_insert_rowid(db_));
  return {};
}

DbStatus SqliteNodeRows::apply(SetNodeIdentity& c) {
  ES_TRY(Lists now, lists_of(c.id));
  if (c.keeps_owner) {
    c.user_id = now.user_id;
    c.tags = now.tags;
    if (!c.tags.empty()) c.expiry.reset();
  }
  const bool loses_tag = std::any_of(now.tags.begin(), now.tags.end(), [&](const auto& tag) {
    return std::find(c.tags.begin(), c.tags.end(), tag) == c.tags.end();
  });
  c.approved_routes = loses_tag ? std::vector<std::string>{} : std::move(now.approved_routes);
  const std::string tags = list_text(c.tags);
  const std::string routes = list_text(c.approved_routes);
  set_identity_.bind_text(1, c.node_key);
  set_identity_.bind_id(2, c.user_id);
  set_identity_.bind_text(3, tags);
  set_identity_.bind_id(4, c.pre_auth_key_id);
  set_identity_.bind_text(5, c.register_method);
  set_identity_.bind(6, c.ephemeral ? 1 : 0);
  set_identity_.bind_time(7, c.expiry);
  set_identity_.bind_text(8, routes);
  set_identity_.bind_id(9, c.id);
  return change(set_identity_);
}

DbStatus SqliteNodeRows::apply(SetNodeInfo& c) {
  const std::string endpoints = list_text(c.endpoints);
  set_info_.bind_text(1, c.disco_key);
  set_info_.bind_text(2, c.hostname);
  set_info_.bind_text(3, c.hostinfo);
  set_info_.bind_text(4, endpoints);
  set_info_.bind(5, c.home_derp);
  set_info_.bind(6, c.capability_version);
  set_info_.bind_id(7, c.id);
  return change(set_info_);
}

DbStatus SqliteNodeRows::apply(RenameNode& c) {
  rename_.bind_text(1, c.given_name);
  rename_.bind(2, c.name_is_chosen ? 1 : 0);
  rename_.bind_id(3, c.id);
  return change(rename_);
}

DbStatus SqliteNodeRows::apply(SetNodeTags& c) {
  const std::string tags = list_text(c.tags);
  set_tags_.bind_text(1, tags);
  set_tags_.bind_id(2, c.id);
  return change(set_tags_);
}

DbStatus SqliteNodeRows::apply(SetNodeExpiry& c) {
  set_expiry_.bind_time(1, c.expiry);
  set_expiry_.bind_id(2, c.id);
  return change(set_expiry_);
}

DbStatus SqliteNodeRows::apply(SetNodeRoutes& c) {
  const std::string routes = list_text(c.approved_routes);
  set_routes_.bind_text(1, routes);
  set_routes_.bind_id(2, c.id);
  return change(set_routes_);
}

DbStatus SqliteNodeRows::apply(AddNodeRoutes& c) {
  ES_TRY(Lists now, lists_of(c.id));
  c.approved_routes = std::move(now.approved_routes);
  c.approved_routes.insert(c.approved_routes.end(), c.routes.begin(), c.routes.end());
  std::sort(c.approved_routes.begin(), c.approved_routes.end());
  c.approved_routes.erase(std::unique(c.approved_routes.begin(), c.approved_routes.end()),
                          c.approved_routes.end());
  const std::string routes = list_text(c.approved_routes);
  set_routes_.bind_text(1, routes);
  set_routes_.bind_id(2, c.id);
  return change(set_routes_);
}

DbStatus SqliteNodeRows::apply(SetNodeAddresses& c) {
  bind_address(set_addresses_, 1, c.ipv4);
  bind_address(set_addresses_, 2, c.ipv6);
  set_addresses_.bind_id(3, c.id);
  return change(set_addresses_);
}

DbStatus SqliteNodeRows::apply(DeleteNode& c) {
  delete_.bind_id(1, c.id);
  return change(delete_);
}

DbStatus SqliteNodeRows::apply(TouchNodes& c) {
  for (const auto& [id, at] : c.last_seen) {
    touch_.bind_time(1, at);
    touch_.bind_id(2, id);
    ES_CHECK(touch_.run());
  }
  return {};
}

}  // namespace es::store

// The durable log of the control state: SQLite today, PostgreSQL behind the same interface later.
//
// State lives in memory (native/control). A write is a transaction of changes; the store assigns
// ids, enforces what must be unique across all instances that share it, and feeds every commit back
// in commit order. Memory changes only from that feed, so that the commits of other instances
// (LISTEN/NOTIFY on PostgreSQL) enter by the same door as one's own.
//
// Durability: `done` reports success only after the commit that holds the write is on disk; with
// the default options it survives kill -9 and power loss. Many writes may share one commit.
// Overload: the queue is bounded; a write that finds it full fails with kRetryLater at once.
// Threads: every method may be called from any thread. The sink and `done` run on the store's own
// thread, one at a time, or, for a write refused at once, inside write(); they must not block and
// not destroy the store.
#pragma once

#include "common/base/result.h"
#include "native/store/records.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace es::store {

// Grouped by what the caller should do next.
enum class StoreErrorKind : uint8_t {
  kConflict,    // something that must be unique is taken
  kMissing,     // the row that was to change, or one that it refers to, does not exist
  kRetryLater,  // overloaded or closing: nothing was written, try again
  kNoSpace,     // the disk is full: nothing was written, an operator has to make room
  kRefused,     // this database cannot be opened: an operator has to act
  kBroken,      // the database failed: an operator has to look
};

// `text` is for operators (logs, the command line); it names paths but never a secret.
struct StoreError {
  StoreErrorKind kind = StoreErrorKind::kBroken;
  std::string text;
};

struct InsertUser {
  User user;  // id is filled in the commit
};
struct RenameUser {
  uint64_t id = 0;
  std::string name;
  WallTime updated_at{};
};
struct SetUserRole {
  uint64_t id = 0;
  std::string role;
  WallTime updated_at{};
};
// Takes the user's pre-auth keys along.
struct DeleteUser {
  uint64_t id = 0;
};
struct InsertPreAuthKey {
  PreAuthKey key;  // id is filled in the commit
};
// Ends the key for good: a clock that is set back does not revive it.
struct RevokePreAuthKey {
  uint64_t id = 0;
  WallTime at{};
};
struct DeletePreAuthKey {
  uint64_t id = 0;
};
struct InsertApiKey {
  ApiKey key;  // id is filled in the commit
};
// Likewise.
struct RevokeApiKey {
  uint64_t id = 0;
  WallTime at{};
};
struct DeleteApiKey {
  uint64_t id = 0;
};
// Keys that are gone meanwhile are skipped.
struct TouchApiKeys {
  std::vector<std::pair<uint64_t, WallTime>> last_seen;
};

// Takes a key that may be used once; a conflict when it was used before.
struct UsePreAuthKey {
  uint64_t id = 0;
};
struct InsertNode {
  Node node;  // id is filled in the commit
};
// A registration of a node that is there: whose it is, under which key, for how long. A node that
// loses a tag loses the routes that were approved for it as that.
struct SetNodeIdentity {
  uint64_t id = 0;
  std::string node_key;
  std::optional<uint64_t> user_id;
  std::vector<std::string> tags;
  std::optional<uint64_t> pre_auth_key_id;
  std::string register_method;
  bool ephemeral = false;
  std::optional<WallTime> expiry;
  // User and tags stay as they are, and are filled in the commit; with tags nothing expires.
  bool keeps_owner = false;
  std::vector<std::string> approved_routes{};  // filled in the commit: those that it keeps
};
// What the node says of itself.
struct SetNodeInfo {
  uint64_t id = 0;
  std::string disco_key;
  std::string hostname;
  std::string hostinfo;
  std::vector<std::string> endpoints;
  int32_t home_derp = 0;
  uint32_t capability_version = 0;
};
struct RenameNode {
  uint64_t id = 0;
  std::string given_name;
  bool name_is_chosen = false;
};
// The node then belongs to its tags and to no user.
struct SetNodeTags {
  uint64_t id = 0;
  std::vector<std::string> tags;
};
struct SetNodeExpiry {
  uint64_t id = 0;
  std::optional<WallTime> expiry;
};
struct SetNodeRoutes {
  uint64_t id = 0;
  std::vector<std::string> approved_routes;
};
// Beside those that are approved when it is committed.
struct AddNodeRoutes {
  uint64_t id = 0;
  std::vector<std::string> routes;
  std::vector<std::string> approved_routes;  // filled in the commit: all of them, sorted
};
struct SetNodeAddresses {
  uint64_t id = 0;
  std::string ipv4;
  std::string ipv6;
};
struct DeleteNode {
  uint64_t id = 0;
};
// Nodes that are gone meanwhile are skipped.
struct TouchNodes {
  std::vector<std::pair<uint64_t, WallTime>> last_seen;
};

struct InsertPolicy {
  Policy policy;  // id is filled in the commit
};

using Change = std::variant<InsertUser, RenameUser, SetUserRole, DeleteUser, InsertPreAuthKey,
                            RevokePreAuthKey, DeletePreAuthKey, UsePreAuthKey, InsertApiKey,
                            RevokeApiKey, DeleteApiKey, TouchApiKeys, InsertNode, SetNodeIdentity,
                            SetNodeInfo, RenameNode, SetNodeTags, SetNodeExpiry, SetNodeRoutes,
                            AddNodeRoutes, SetNodeAddresses, DeleteNode, TouchNodes, InsertPolicy>;

// All of its changes are stored, or none. In a commit the ids are filled in.
struct Transaction {
  std::vector<Change> changes;
};

class Store {
 public:
  using Loader = std::function<void(Contents)>;
  // Commits in order; one call for each group that became durable together.
  using CommitSink = std::function<void(std::span<const Transaction>)>;
  // The transaction as it was committed; valid during the call.
  using Done = std::function<void(Result<const Transaction*, StoreError>)>;
  using PingDone = std::function<void(Result<void, StoreError>)>;

  virtual ~Store() = default;

  // Passes everything that is stored to `load`, then starts the feed to `sink`: no commit is lost
  // or seen twice in between, and none reaches `sink` before `load` returned. `load` runs inside
  // the call. Call once, before the first write.
  virtual Result<void, StoreError> start(const Loader& load, CommitSink sink) = 0;

  // The sink sees the commit before `done` does. `done` is called exactly once.
  virtual void write(Transaction transaction, Done done) = 0;

  // Does the database answer? Takes its turn in the write queue, so a stuck writer shows. After a
  // failed commit it writes, so that a full disk shows for as long as it is full.
  virtual void ping(PingDone done) = 0;

  // Finishes what was accepted, then closes; later writes fail with kRetryLater. May be repeated.
  virtual void close() = 0;
};

}  // namespace es::store

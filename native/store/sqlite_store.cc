#include "native/store/sqlite_store.h"

#include "native/store/sqlite_open.h"
#include "native/store/sqlite_rows.h"
#include "native/store/sqlite_schema.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <sys/stat.h>
#include <thread>

namespace es::store {
namespace {

StoreError overloaded() {
  return {StoreErrorKind::kRetryLater, "too many writes are waiting for the database"};
}
StoreError closing() { return {StoreErrorKind::kRetryLater, "the database is closing"}; }

// The statements around the rows', prepared like them.
struct Brackets {
  Statement begin, commit, savepoint, release, rollback_to;

  static Result<Brackets, StoreError> prepare(sqlite3* db) {
    Brackets b;
    ES_TRY(b.begin, Statement::prepare(db, "BEGIN IMMEDIATE"));
    ES_TRY(b.commit, Statement::prepare(db, "COMMIT"));
    ES_TRY(b.savepoint, Statement::prepare(db, "SAVEPOINT one"));
    ES_TRY(b.release, Statement::prepare(db, "RELEASE one"));
    ES_TRY(b.rollback_to, Statement::prepare(db, "ROLLBACK TO one"));
    return b;
  }
};

class SqliteStore final : public Store {
 public:
  SqliteStore(SqliteOptions options, OpenedDatabase database, SqliteRows rows, Brackets brackets)
      : options_(std::move(options)),
        database_(std::move(database)),
        rows_(std::move(rows)),
        brackets_(std::move(brackets)) {
    struct stat info {};
    if (::stat(database_.path.c_str(), &info) == 0) inode_ = info.st_ino;
  }
  ~SqliteStore() override { close(); }

  Result<void, StoreError> start(const Loader& load, CommitSink sink) override;
  void write(Transaction transaction, Done done) override;
  void ping(PingDone done) override;
  void close() override;

 private:
  struct Job {
    Transaction transaction;
    Done done;
    PingDone ping_done;  // a ping when set
  };
  struct Outcome {
    std::optional<StoreError> error;
  };

  void enqueue(Job job);
  static void fail(const Job& job, const StoreError& error);
  void run();
  void run_group(std::vector<Job>& jobs);
  DbStatus commit_group(std::vector<Job>& jobs, std::vector<Outcome>& outcomes);
  DbStatus apply_one(Transaction& transaction, Outcome& outcome);
  DbStatus execute_ping();
  DbStatus rewrite_version();
  std::chrono::nanoseconds now() const {
    return options_.clock ? options_.clock() : std::chrono::nanoseconds{0};
  }

  const SqliteOptions options_;
  OpenedDatabase database_;
  SqliteRows rows_;  // statements die before the connection does
  Brackets brackets_;
  ino_t inode_ = 0;
  CommitSink sink_;
  bool commits_fail_ = false;  // the writer thread's

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool closing_ = false;

  std::mutex thread_mutex_;  // start and close may meet
  std::thread writer_;
};

Result<void, StoreError> SqliteStore::start(const Loader& load, CommitSink sink) {
  const std::lock_guard guard(thread_mutex_);
  if (writer_.joinable()) return StoreError{StoreErrorKind::kBroken, "the store was started twice"};
  ES_TRY(Contents all, rows_.load());
  load(std::move(all));
  sink_ = std::move(sink);
  writer_ = std::thread([this] { run(); });
  return {};
}

void SqliteStore::fail(const Job& job, const StoreError& error) {
  if (job.ping_done) {
    job.ping_done(error);
  } else if (job.done) {
    job.done(error);
  }
}

void SqliteStore::enqueue(Job job) {
  std::unique_lock lock(mutex_);
  if (closing_ || queue_.size() >= options_.max_queued) {
    const StoreError error = closing_ ? closing() : overloaded();
    lock.unlock();
    fail(job, error);
    return;
  }
  queue_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_one();
}

void SqliteStore::write(Transaction transaction, Done done) {
  enqueue({std::move(transaction), std::move(done), {}});
}

void SqliteStore::ping(PingDone done) { enqueue({{}, {}, std::move(done)}); }

void SqliteStore::close() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  const std::lock_guard guard(thread_mutex_);
  if (!writer_.joinable()) {  // never started: nobody else will answer
    for (const Job& job : std::exchange(queue_, {})) fail(job, closing());
  } else {
    writer_.join();
    // Leaves a single file behind for a copy; a failure only leaves the log in place.
    sqlite3_wal_checkpoint_v2(database_.connection.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE,
                              nullptr, nullptr);
  }
}

void SqliteStore::run() {
  std::vector<Job> jobs;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      while (!queue_.empty() && jobs.size() < options_.max_group) {
        jobs.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    run_group(jobs);
    jobs.clear();
  }
}

// Everything inside one transaction; an error here is everybody's error.
DbStatus SqliteStore::commit_group(std::vector<Job>& jobs, std::vector<Outcome>& outcomes) {
  ES_CHECK(brackets_.begin.run());
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].ping_done) continue;
    ES_CHECK(apply_one(jobs[i].transaction, outcomes[i]));
  }
  return brackets_.commit.run();
}

DbStatus SqliteStore::apply_one(Transaction& transaction, Outcome& outcome) {
  ES_CHECK(brackets_.savepoint.run());
  DbStatus status;
  for (Change& change : transaction.changes) {
    status = rows_.apply(change);
    if (!status.ok()) break;
  }
  if (!status.ok()) {
    const StoreErrorKind kind = status.error().kind;
    // Only what the input caused is this transaction's own affair.
    if (kind != StoreErrorKind::kConflict && kind != StoreErrorKind::kMissing) return status;
    outcome.error = status.error();
    ES_CHECK(brackets_.rollback_to.run());
  }
  return brackets_.release.run();
}

// A write that changes nothing, and fails as any other would.
DbStatus SqliteStore::rewrite_version() {
  const std::string version = std::to_string(sqlite_schema_version());
  ES_CHECK(execute(database_.connection.get(), ("PRAGMA user_version = " + version).c_str()));
  commits_fail_ = false;
  return {};
}

DbStatus SqliteStore::execute_ping() {
  struct stat info {};
  if (::stat(database_.path.c_str(), &info) != 0 || info.st_ino != inode_) {
    return StoreError{StoreErrorKind::kBroken,
                      "the database " + database_.path + " was moved or deleted while in use"};
  }
  if (commits_fail_) ES_CHECK(rewrite_version());
  ES_TRY(const auto answer, query_int(database_.connection.get(), "PRAGMA user_version"));
  if (answer.value_or(0) == sqlite_schema_version()) return {};
  return StoreError{StoreErrorKind::kBroken, "the database changed its schema while in use"};
}

void SqliteStore::run_group(std::vector<Job>& jobs) {
  size_t writes = 0;
  for (const Job& job : jobs) writes += job.ping_done ? 0 : 1;
  std::vector<Outcome> outcomes(jobs.size());
  DbStatus group;
  if (writes > 0) {
    const auto begin = now();
    group = commit_group(jobs, outcomes);
    if (!group.ok() && sqlite3_get_autocommit(database_.connection.get()) == 0) {
      sqlite3_exec(database_.connection.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
    commits_fail_ = !group.ok();
    if (options_.on_commit) options_.on_commit({now() - begin, writes});
  }

  std::vector<Transaction> committed;
  std::vector<const Transaction*> of_job(jobs.size(), nullptr);
  if (group.ok()) {
    committed.reserve(writes);
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].ping_done || outcomes[i].error) continue;
      committed.push_back(std::move(jobs[i].transaction));
      of_job[i] = &committed.back();
    }
    if (!committed.empty() && sink_) sink_(committed);
  }

  DbStatus pinged = group;
  if (writes < jobs.size() && group.ok()) pinged = execute_ping();
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i].ping_done) {
      jobs[i].ping_done(pinged);
    } else if (!group.ok()) {
      fail(jobs[i], group.error());
    } else if (outcomes[i].error) {
      fail(jobs[i], *outcomes[i].error);
    } else if (jobs[i].done) {
      jobs[i].done(of_job[i]);
    }
  }
}

}  // namespace

int sqlite_schema_version() { return static_cast<int>(migrations().size()); }

Result<std::unique_ptr<Store>, StoreError> open_sqlite(SqliteOptions options) {
  ES_TRY(OpenedDatabase database, open_database(options));
  ES_TRY(SqliteRows rows, SqliteRows::prepare(database.connection.get()));
  ES_TRY(Brackets brackets, Brackets::prepare(database.connection.get()));
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(
      std::move(options), std::move(database), std::move(rows), std::move(brackets)));
}

}  // namespace es::store

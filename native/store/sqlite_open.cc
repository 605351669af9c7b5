#include "native/store/sqlite_open.h"

#include "native/store/sqlite_schema.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace es::store {
namespace {

namespace fs = std::filesystem;

StoreError refused(std::string text) { return {StoreErrorKind::kRefused, std::move(text)}; }

std::string reason(int error) { return std::generic_category().message(error); }

// An error on the way to an open database is a refusal, whatever it is later on.
StoreError as_refusal(StoreError error, const std::string& path) {
  return refused("database " + path + ": " + error.text);
}

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// mkdir -p with permission 0700 for what it makes.
DbStatus make_directories(const fs::path& dir) {
  std::error_code error;
  if (dir.empty() || fs::is_directory(dir, error)) return {};
  if (dir.has_parent_path() && dir.parent_path() != dir) {
    ES_CHECK(make_directories(dir.parent_path()));
  }
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return refused("cannot create the database directory " + dir.string() + ": " + reason(errno));
  }
  if (!fs::is_directory(dir, error)) {
    return refused("cannot create the database directory " + dir.string() +
                   ": something else has that name");
  }
  return {};
}

Result<std::string, StoreError> resolve(const std::string& path) {
  if (path.empty()) return refused("the database path is empty: set database.sqlite.path");
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (error) return refused("database " + path + ": " + error.message());
  ES_CHECK(make_directories(absolute.parent_path()));
  const fs::path real = fs::weakly_canonical(absolute, error);
  if (error) return refused("database " + path + ": " + error.message());
  return real.string();
}

// SQLite needs to write the file and, for its log and shared memory, the directory.
DbStatus check_writable(const std::string& path) {
  const std::string dir = fs::path(path).parent_path().string();
  if (::faccessat(AT_FDCWD, dir.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return refused("the database directory " + dir + " is not writable: " + reason(errno) +
                   "; SQLite keeps its log beside the database");
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return refused("database " + path + ": " + reason(errno));
  }
  if (!S_ISREG(info.st_mode)) return refused("database " + path + " is not a regular file");
  if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) != 0) {
    return refused("the database " + path + " is read-only for this user: " + reason(errno));
  }
  return {};
}

// Creates the file with 0600 and makes its name durable; afterwards checks the magic.
DbStatus create_or_check_magic(const std::string& path) {
  const OwnedFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.get() < 0) return refused("cannot open the database " + path + ": " + reason(errno));
  std::array<char, 16> magic{};
  const ssize_t got = ::pread(fd.get(), magic.data(), magic.size(), 0);
  if (got < 0) return refused("cannot read the database " + path + ": " + reason(errno));
  if (got == 0) {
    const OwnedFd dir(::open(fs::path(path).parent_path().c_str(), O_RDONLY | O_CLOEXEC));
    if (dir.get() < 0 || ::fsync(dir.get()) != 0) {
      return refused("cannot sync the directory of " + path + ": " + reason(errno));
    }
    return {};
  }
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  if (std::string_view(magic.data(), static_cast<size_t>(got)) != kMagic) {
    return refused("the database " + path + " is corrupt or not a SQLite file: wrong header");
  }
  return {};
}

Result<Connection, StoreError> connect(const std::string& target, int flags) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(target.c_str(), &raw,
                                 flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Connection connection(raw);
  if (rc != SQLITE_OK) return sqlite_error(raw, rc, "opening");
  return connection;
}

// Two tables of every schema that Headscale still upgrades; ours is marked by its application id.
constexpr char kCountHeadscaleTables[] =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('migrations', 'users')";

StoreError is_headscale(const std::string& path) {
  return refused("the database " + path +
                 " belongs to Headscale and was left untouched: this version cannot import it; "
                 "give database.sqlite.path a path of its own");
}

// A look that changes nothing on disk, not even a -shm file. It sees only what was checkpointed, so
// it can only recognise, never clear.
bool peek_is_headscale(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      constexpr char kDigits[] = "0123456789abcdef";
      uri += '%';
      uri += kDigits[static_cast<unsigned char>(c) >> 4];
      uri += kDigits[static_cast<unsigned char>(c) & 15];
    } else {
      uri += c;
    }
  }
  auto connection = connect(uri + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  if (!connection.ok()) return false;
  const auto id = query_int(connection->get(), "PRAGMA application_id");
  const auto tables = query_int(connection->get(), kCountHeadscaleTables);
  return id.ok() && tables.ok() && id->value_or(0) == 0 && tables->value_or(0) == 2;
}

DbStatus check_owner(sqlite3* db, const std::string& path) {
  ES_TRY(const auto id, query_int(db, "PRAGMA application_id"));
  ES_TRY(const auto version, query_int(db, "PRAGMA user_version"));
  ES_TRY(const auto tables, query_int(db, "SELECT count(*) FROM sqlite_schema"));
  if (id.value_or(0) == kApplicationId) {
    if (version.value_or(0) > sqlite_schema_version()) {
      return refused("the database " + path + " has schema version " + std::to_string(*version) +
                     ", this build knows " + std::to_string(sqlite_schema_version()) +
                     ": run the newer Edgescale that wrote it, or restore a backup");
    }
    return {};
  }
  if (id.value_or(0) == 0 && tables.value_or(0) == 0) return {};
  ES_TRY(const auto headscale, query_int(db, kCountHeadscaleTables));
  if (id.value_or(0) == 0 && headscale.value_or(0) == 2) return is_headscale(path);
  return refused("the database " + path + " belongs to another program and was left untouched");
}

DbStatus check_sound(sqlite3* db, StartCheck check, const std::string& path) {
  if (check == StartCheck::kNone) return {};
  ES_TRY(const auto answer, query_text(db, check == StartCheck::kFull ? "PRAGMA integrity_check(1)"
                                                                      : "PRAGMA quick_check(1)"));
  if (answer.value_or("") == "ok") return {};
  return refused("the database " + path + " is corrupt: " + answer.value_or("no answer") +
                 "; restore a backup (sqlite3's .recover may save what is left)");
}

DbStatus configure(sqlite3* db, const SqliteOptions& options) {
  ES_TRY(const auto mode, query_text(db, "PRAGMA journal_mode = WAL"));
  if (mode.value_or("") != "wal") {
    return refused("this file system does not support SQLite's WAL mode (journal mode " +
                   mode.value_or("unknown") + ")");
  }
  ES_CHECK(execute(db, options.synchronous == Synchronous::kFull ? "PRAGMA synchronous = FULL"
                                                                 : "PRAGMA synchronous = NORMAL"));
  const std::string checkpoint =
      "PRAGMA wal_autocheckpoint = " + std::to_string(options.wal_autocheckpoint_pages);
  ES_TRY(const auto pages, query_int(db, checkpoint.c_str()));
  (void)pages;
  // After a burst the log file shrinks again.
  ES_TRY(const auto limit, query_int(db, "PRAGMA journal_size_limit = 16777216"));
  (void)limit;
  return {};
}

DbStatus set_up(sqlite3* db, const SqliteOptions& options, const std::string& path) {
  sqlite3_busy_timeout(db, static_cast<int>(options.busy_timeout.count()));
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  ES_CHECK(execute(db, "PRAGMA foreign_keys = ON"));
  ES_CHECK(execute(db, "PRAGMA cell_size_check = ON"));
  ES_CHECK(check_owner(db, path));
  ES_CHECK(check_sound(db, options.start_check, path));
  // Before anything is written: nobody else may be writing.
  ES_CHECK(execute(db, "BEGIN IMMEDIATE"));
  ES_CHECK(execute(db, "COMMIT"));
  if (sqlite3_db_readonly(db, "main") != 0) {
    return refused("the database " + path + " can only be opened read-only");
  }
  ES_CHECK(configure(db, options));
  return migrate(db, migrations());
}

// The words of SQLite for the commonest refusals do not say what to do.
StoreError explain(StoreError error, const std::string& path) {
  if (error.kind == StoreErrorKind::kRefused) return error;
  if (error.kind == StoreErrorKind::kRetryLater) {
    return refused("the database " + path + " is locked by another process: stop it first (" +
                   error.text + ")");
  }
  if (error.kind == StoreErrorKind::kNoSpace) {
    return refused("the disk of the database " + path + " is full: make room (" + error.text + ")");
  }
  if (error.text.find("malformed") != std::string::npos ||
      error.text.find("not a database") != std::string::npos) {
    return refused("the database " + path + " is corrupt: " + error.text +
                   "; restore a backup (sqlite3's .recover may save what is left)");
  }
  return as_refusal(std::move(error), path);
}

}  // namespace

Result<FileLock, StoreError> FileLock::take(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return refused("cannot open the lock file " + path + ": " + reason(errno));
  FileLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return refused("cannot lock " + path + ": " + reason(errno));
    std::array<char, 24> owner{};
    const ssize_t got = ::pread(fd, owner.data(), owner.size() - 1, 0);
    std::string who(owner.data(), got > 0 ? static_cast<size_t>(got) : 0);
    while (!who.empty() && who.back() == '\n') who.pop_back();
    return refused("the database is locked by another Edgescale" +
                   (who.empty() ? std::string() : " (process " + who + ")") + ": stop it first (" +
                   path + ")");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // The number only helps the text above; the lock does not depend on it.
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  return lock;
}

FileLock::~FileLock() {
  // The file stays: removing it would let two processes lock two files of the same name.
  if (fd_ >= 0) ::close(fd_);
}

Result<OpenedDatabase, StoreError> open_database(const SqliteOptions& options) {
  ES_TRY(std::string path, resolve(options.path));
  ES_CHECK(check_writable(path));
  if (peek_is_headscale(path)) return is_headscale(path);
  ES_TRY(FileLock lock, FileLock::take(path + ".lock"));
  ES_CHECK(create_or_check_magic(path));
  auto connection = connect(path, SQLITE_OPEN_READWRITE);
  if (!connection.ok()) return explain(connection.error(), path);
  const DbStatus status = set_up(connection->get(), options, path);
  if (!status.ok()) return explain(status.error(), path);
  return OpenedDatabase{std::move(lock), std::move(connection).value(), std::move(path)};
}

}  // namespace es::store

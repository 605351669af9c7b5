#include "native/store/sqlite_db.h"
#include "native/store/sqlite_schema.h"
#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace es::store {
namespace {

using Catch::Contains;

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void overwrite(const std::string& path, size_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
}

mode_t mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

// Root may write anywhere: drop to an ordinary user for the length of the scope.
class Unprivileged {
 public:
  Unprivileged() : was_root_(::geteuid() == 0) {
    if (was_root_) REQUIRE(::seteuid(65534) == 0);
  }
  ~Unprivileged() {
    if (was_root_) CHECK(::seteuid(0) == 0);
  }

 private:
  bool was_root_;
};

TEST_CASE("a missing directory is made for the owner alone, and so is the file") {
  const TempDir dir;
  const std::string path = dir.path() + "/var/lib/db.sqlite";
  open_started(options_for(path))->close();
  CHECK(mode_of(dir.path() + "/var") == 0700);
  CHECK(mode_of(dir.path() + "/var/lib") == 0700);
  CHECK(mode_of(path) == 0600);
}

TEST_CASE("a path that cannot become a database is refused with its reason") {
  const TempDir dir;
  CHECK_THAT(refusal_of(options_for("")), Contains("path is empty"));
  std::ofstream(dir.file("plain")) << "x";
  CHECK_THAT(refusal_of(options_for(dir.file("plain") + "/db.sqlite")),
             Contains("cannot create the database directory"));
  CHECK_THAT(refusal_of(options_for(dir.path())), Contains("not a regular file"));
}

TEST_CASE("a second store on the same file is refused, also by way of a symbolic link") {
  const TempDir dir;
  const auto first = open_started(options_for(dir.file()));
  CHECK_THAT(refusal_of(options_for(dir.file())),
             Contains("locked by another Edgescale (process " + std::to_string(::getpid())));
  std::filesystem::create_symlink(dir.file(), dir.file("link"));
  CHECK_THAT(refusal_of(options_for(dir.file("link"))), Contains("locked by another Edgescale"));
  CHECK(write_and_wait(*first, InsertUser{user_named("ann")}).ok());
}

TEST_CASE("the lock ends with its store") {
  const TempDir dir;
  for (int i = 0; i < 3; ++i) open_started(options_for(dir.file()))->close();
}

TEST_CASE("a database that another program is writing to is refused as locked") {
  const TempDir dir;
  open_started(options_for(dir.file()))->close();
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(dir.file().c_str(), &raw) == SQLITE_OK);
  const Connection other(raw);
  REQUIRE(execute(raw, "BEGIN EXCLUSIVE").ok());
  CHECK_THAT(refusal_of(options_for(dir.file())), Contains("locked by another process"));
  REQUIRE(execute(raw, "ROLLBACK").ok());
  open_started(options_for(dir.file()))->close();
}

TEST_CASE("another program may read while the store is open") {
  const TempDir dir;
  const auto store = open_started(options_for(dir.file()));
  REQUIRE(write_and_wait(*store, InsertUser{user_named("ann")}).ok());
  CHECK(first_text(dir.file(), "SELECT name FROM users") == "ann");
}

TEST_CASE("a read-only file or directory is refused") {
  const TempDir dir;
  open_started(options_for(dir.file()))->close();
  REQUIRE(::chmod(dir.file().c_str(), 0444) == 0);
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  {
    const Unprivileged guard;
    CHECK_THAT(refusal_of(options_for(dir.file())), Contains("read-only for this user"));
  }
  REQUIRE(::chmod(dir.file().c_str(), 0666) == 0);
  REQUIRE(::chmod(dir.path().c_str(), 0555) == 0);
  {
    const Unprivileged guard;
    CHECK_THAT(refusal_of(options_for(dir.file())),
               Contains("directory") && Contains("is not writable"));
  }
  REQUIRE(::chmod(dir.path().c_str(), 0700) == 0);
}

TEST_CASE("a newer schema is refused and left untouched") {
  const TempDir dir;
  open_started(options_for(dir.file()))->close();
  const int newer = sqlite_schema_version() + 1;
  run_sql(dir.file(), "PRAGMA user_version = " + std::to_string(newer));
  const std::string before = bytes_of(dir.file());
  CHECK_THAT(refusal_of(options_for(dir.file())),
             Contains("schema version " + std::to_string(newer)) && Contains("newer Edgescale"));
  CHECK(bytes_of(dir.file()) == before);
}

TEST_CASE("a corrupt file is refused, whichever part of it is corrupt") {
  const TempDir dir;
  {
    const auto store = open_started(options_for(dir.file()));
    for (int i = 0; i < 400; ++i) {
      REQUIRE(write_and_wait(*store, InsertUser{user_named("user" + std::to_string(i))}).ok());
    }
  }
  const std::string good = bytes_of(dir.file());
  REQUIRE(good.size() > 8 * 4096);
  const auto restore = [&] {
    std::filesystem::remove(dir.file());
    std::ofstream(dir.file(), std::ios::binary) << good;
  };
  SECTION("no SQLite file at all") {
    std::ofstream(dir.file(), std::ios::binary) << "this is no database, it is a poem";
    CHECK_THAT(refusal_of(options_for(dir.file())), Contains("corrupt or not a SQLite file"));
  }
  SECTION("a file shorter than the magic") {
    std::ofstream(dir.file(), std::ios::binary) << "SQLite";
    CHECK_THAT(refusal_of(options_for(dir.file())), Contains("corrupt or not a SQLite file"));
  }
  SECTION("a header followed by noise") {
    overwrite(dir.file(), 16, std::string(84, '\x5a'));
    CHECK_THAT(refusal_of(options_for(dir.file())), Contains("corrupt"));
  }
  SECTION("a truncated file") {
    std::filesystem::resize_file(dir.file(), good.size() - 3 * 4096);
    CHECK_THAT(refusal_of(options_for(dir.file())), Contains("corrupt"));
  }
  SECTION("a page of noise anywhere") {
    for (size_t page = 1; page < good.size() / 4096; ++page) {
      restore();
      overwrite(dir.file(), page * 4096, std::string(256, '\x5a'));
      INFO("page " << page + 1);
      CHECK_THAT(refusal_of(options_for(dir.file())), Contains("corrupt"));
    }
  }
  SECTION("and the good one opens") {
    restore();
    CHECK(read_all(dir.file()).users.size() == 400);
  }
}

constexpr char kHeadscaleTables[] =
    "CREATE TABLE migrations(id text, PRIMARY KEY(id));"
    "CREATE TABLE users(id integer PRIMARY KEY AUTOINCREMENT, name text);"
    "INSERT INTO users(name) VALUES('ann');";

TEST_CASE("a Headscale database is refused and not a byte of its folder changes") {
  const TempDir dir;
  run_sql(dir.file(), kHeadscaleTables);
  const std::string before = bytes_of(dir.file());
  CHECK_THAT(refusal_of(options_for(dir.file())), Contains("Headscale") && Contains("import"));
  CHECK(bytes_of(dir.file()) == before);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    ++files;
    CHECK(entry.path().string() == dir.file());
  }
  CHECK(files == 1);
}

TEST_CASE("a Headscale database whose tables are still in its log is refused too") {
  const TempDir dir;
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(dir.file().c_str(), &raw) == SQLITE_OK);
  const Connection running(raw);
  REQUIRE(query_text(raw, "PRAGMA journal_mode = WAL").ok());
  REQUIRE(execute(raw, kHeadscaleTables).ok());
  CHECK_THAT(refusal_of(options_for(dir.file())), Contains("Headscale") && Contains("import"));
  CHECK(first_text(dir.file(), "SELECT name FROM users") == "ann");
}

TEST_CASE("another program's database is refused") {
  const TempDir dir;
  run_sql(dir.file(), "CREATE TABLE songs(title)");
  CHECK_THAT(refusal_of(options_for(dir.file())), Contains("belongs to another program"));
}

TEST_CASE("the deeper start checks open a sound database") {
  const TempDir dir;
  for (const StartCheck check : {StartCheck::kQuick, StartCheck::kFull, StartCheck::kNone}) {
    SqliteOptions options = options_for(dir.file());
    options.start_check = check;
    open_started(options)->close();
  }
}

}  // namespace
}  // namespace es::store

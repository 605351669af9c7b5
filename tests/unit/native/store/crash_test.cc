#include "tests/unit/native/store/store_fixture.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace es::store {
namespace {

// Reads the child's acknowledgements, kills it after `lines` of them, and returns all that it
// managed to print.
std::set<std::string> run_and_kill(const std::string& path, const std::string& round,
                                   size_t lines) {
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  posix_spawn_file_actions_t actions;
  REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
  posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
  posix_spawn_file_actions_addclose(&actions, fds[0]);
  std::string program = ES_STORE_CRASH_CHILD;
  std::string path_arg = path;
  std::string round_arg = round;
  char* argv[] = {program.data(), path_arg.data(), round_arg.data(), nullptr};
  pid_t pid = 0;
  REQUIRE(posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(fds[1]);
  std::string text;
  bool killed = false;
  std::array<char, 4096> buffer{};
  for (ssize_t got; (got = ::read(fds[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(got));
    if (!killed && static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) >= lines) {
      REQUIRE(::kill(pid, SIGKILL) == 0);
      killed = true;
    }
  }
  ::close(fds[0]);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(killed);
  REQUIRE(WIFSIGNALED(status));
  std::set<std::string> acknowledged;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    acknowledged.insert(text.substr(at, end - at));
    at = end + 1;
  }
  return acknowledged;
}

TEST_CASE("after kill -9 in the middle of writes every acknowledged row is there and sound") {
  const TempDir dir;
  std::set<std::string> acknowledged;
  for (int round = 0; round < 4; ++round) {
    // Killed at different depths: while the log is young, and around checkpoints.
    const auto more = run_and_kill(dir.file(), "r" + std::to_string(round) + "t",
                                   static_cast<size_t>(50 + round * 400));
    acknowledged.insert(more.begin(), more.end());
    SqliteOptions options = options_for(dir.file());
    options.start_check = StartCheck::kFull;
    Contents all;
    open_started(options, &all)->close();
    CHECK(first_text(dir.file(), "PRAGMA integrity_check") == "ok");
    std::set<std::string> stored;
    for (const PreAuthKey& key : all.pre_auth_keys) stored.insert(key.prefix);
    CHECK(std::includes(stored.begin(), stored.end(), acknowledged.begin(), acknowledged.end()));
  }
  CHECK(acknowledged.size() > 1000);
}

}  // namespace
}  // namespace es::store

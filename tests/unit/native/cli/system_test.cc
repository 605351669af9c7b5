#include "native/cli/system.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace es::cli {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

// A folder of its own, removed with what is in it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "es-system-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ / name; }
  size_t num_files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  fs::path path_;
};

TEST_CASE("a private key is made once, for its owner alone, and found again") {
  const Folder folder;
  const std::string path = folder.file("noise.key");
  const auto made = load_or_create_private_key(path, "noise.private_key_path");
  REQUIRE(made.ok());
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const auto found = load_or_create_private_key(path, "noise.private_key_path");
  REQUIRE(found.ok());
  CHECK(found->text() == made->text());
  CHECK(folder.num_files() == 1);
}

TEST_CASE("what a start that crashed left behind is not in the way of the next one's key") {
  const Folder folder;
  const std::string path = folder.file("noise.key");
  // In a container the process has the same number again.
  std::ofstream(path + ".new." + std::to_string(::getpid())) << "privkey:";
  CHECK(load_or_create_private_key(path, "noise.private_key_path").ok());
}

TEST_CASE("a wrong private key is refused under the name of its configuration key") {
  const Folder folder;
  const std::string path = folder.file("derp.key");
  std::ofstream(path) << "nonsense";
  CHECK_THAT(load_or_create_private_key(path, "derp.server.private_key_path").error(),
             Contains("derp.server.private_key_path: others may open"));
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  CHECK_THAT(load_or_create_private_key(path, "derp.server.private_key_path").error(),
             Contains("derp.server.private_key_path: " + path + " does not hold"));
}

}  // namespace
}  // namespace es::cli

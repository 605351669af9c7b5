#include "native/cli/system.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace es::cli {
namespace {

constexpr size_t kMaxSecretLen = 4096;

std::string why() { return std::system_category().message(errno); }

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// So that a name in it outlives a power failure.
bool sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool ok = ::fsync(fd) == 0;
  ::close(fd);
  return ok;
}

// Written beside `path` and linked to it: two starts at once agree on one key.
Result<void, std::string> write_new_file(const std::string& path, const std::string& text) {
  std::error_code failed;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, failed)) {
    ::chmod(folder.c_str(), 0700);
  }
  // Not by the process's number: in a container that is 1 each time, after a crash too.
  std::string temporary = path + ".new.XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // 0600
  if (fd < 0) return "cannot create " + path + ": " + why();
  errno = ENOSPC;  // what a write that ends early means
  const ssize_t written = ::write(fd, text.data(), text.size());
  const bool placed = written == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0 &&
                      (::link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST) &&
                      sync_folder(folder);
  const std::string problem = placed ? std::string() : why();
  ::close(fd);
  ::unlink(temporary.c_str());
  if (!placed) return "cannot create " + path + ": " + problem;
  return {};
}

}  // namespace

WallTime wall_now() { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }

int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void fill_random(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n > 0) {
      out = out.subspan(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      std::fputs("the kernel gives no random bytes\n", stderr);
      std::abort();
    }
  }
}

Result<tailcfg::PrivateKey, std::string> load_or_create_private_key(const std::string& path,
                                                                    std::string_view key_name) {
  const std::string prefix = std::string(key_name) + ": ";
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    tailcfg::RawKey raw{};
    fill_random(raw);
    // Clamped as RFC 7748 says, like the keys that Headscale writes.
    raw[0] &= 248;
    raw[31] = static_cast<uint8_t>((raw[31] & 127) | 64);
    const tailcfg::PrivateKey fresh(raw);
    wipe(raw);
    std::string text = fresh.text();
    Result<void, std::string> written = write_new_file(path, text);
    wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
    if (!written.ok()) return prefix + written.error();
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return prefix + "cannot read " + path + ": " + why();
  }
  if ((status.st_mode & 077) != 0) {
    return prefix + "others may open " + path + ": chmod 600 it";
  }
  auto read = read_secret_file(path);
  if (!read.ok()) return prefix + read.error();
  Secret& secret = *read;
  const auto key = tailcfg::PrivateKey::parse(secret.text);
  wipe({reinterpret_cast<uint8_t*>(secret.text.data()), secret.text.size()});
  if (!key) {
    return prefix + path + " does not hold \"privkey:\" and 64 hexadecimal digits";
  }
  return *key;
}

Result<Secret, std::string> read_secret_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot read " + path + ": " + why();
  std::string text;
  text.resize(kMaxSecretLen + 1);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxSecretLen) return path + " is too large for a secret";
  return Secret{trim(text)};
}

uint64_t raise_open_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  }
  return limit.rlim_cur;
}

}  // namespace es::cli

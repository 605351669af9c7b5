#include "native/net/listen_socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace es::net {
namespace {

constexpr int kBacklog = 4096;

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string why(int error) { return std::system_category().message(error); }

std::string hint(int error, const std::string& config_key) {
  const std::string key = config_key.empty() ? "the address" : config_key;
  if (error == EADDRINUSE) return "; another program listens there: stop it, or change " + key;
  if (error == EACCES) return "; not allowed for this user: change " + key + " or its permissions";
  if (error == EADDRNOTAVAIL) return "; no such address on this machine: change " + key;
  return "; see " + key;
}

struct Bound {
  sockaddr_storage address{};
  socklen_t len = 0;
};

std::string text_of(const sockaddr_storage& address, socklen_t len, uint16_t port) {
  char host[NI_MAXHOST] = "";
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), len, host, sizeof host, nullptr, 0,
                NI_NUMERICHOST);
  const std::string name = address.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return name + ":" + std::to_string(port);
}

void set_port(sockaddr_storage& address, uint16_t port) {
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port);
  }
}

uint16_t port_of(int fd) {
  sockaddr_storage bound{};
  socklen_t len = sizeof bound;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &len);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

// A listening descriptor, or errno.
Result<OwnedFd, int> open_listener(const sockaddr_storage& address, socklen_t len) {
  OwnedFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return errno;
  const int on = 1;
  if (address.ss_family != AF_UNIX) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const int only = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) ? 0 : 1;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), len) != 0) return errno;
  if (::listen(fd.get(), kBacklog) != 0) return errno;
  return fd;
}

// In the order of preference: one IPv6 socket takes IPv4 too, if there is IPv6.
std::vector<Bound> every_address() {
  std::vector<Bound> bounds(2);
  bounds[0].address.ss_family = AF_INET6;
  bounds[0].len = sizeof(sockaddr_in6);
  bounds[1].address.ss_family = AF_INET;
  bounds[1].len = sizeof(sockaddr_in);
  return bounds;
}

Result<std::vector<Bound>, std::string> resolve(const std::string& host,
                                                const std::string& config_key) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (code != 0) {
    return "cannot listen on " + host + ": " + ::gai_strerror(code) + "; see " + config_key;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<Bound> bounds;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Bound bound;
    std::memcpy(&bound.address, a->ai_addr, a->ai_addrlen);
    bound.len = a->ai_addrlen;
    bounds.push_back(bound);
  }
  return bounds;
}

// Whether a server accepts connections on this unix socket.
bool answers(const sockaddr_storage& address, socklen_t len) {
  const OwnedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return true;
  // EAGAIN: its backlog is full, so somebody is there.
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), len) == 0 ||
         errno == EAGAIN || errno == EACCES;
}

}  // namespace

ListenSockets listen_tcp(const std::string& host, uint16_t port, const std::string& config_key) {
  const bool everywhere = host.empty() || host == "0.0.0.0" || host == "::";
  std::vector<Bound> bounds;
  if (everywhere) {
    bounds = every_address();
  } else {
    ES_TRY(bounds, resolve(host, config_key));
  }
  std::vector<ListenSocket> sockets;
  std::vector<OwnedFd> owned;
  for (size_t i = 0; i < bounds.size(); ++i) {
    Bound& bound = bounds[i];
    set_port(bound.address, port);
    auto fd = open_listener(bound.address, bound.len);
    if (!fd.ok()) {
      const int error = fd.error();
      const bool unsupported = error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
      if (everywhere && unsupported && i + 1 < bounds.size()) continue;
      return "cannot listen on " + text_of(bound.address, bound.len, port) + ": " + why(error) +
             hint(error, config_key);
    }
    port = port_of(fd->get());
    sockets.push_back({fd->get(), text_of(bound.address, bound.len, port), port});
    owned.push_back(std::move(fd).value());
    if (everywhere) break;
  }
  for (OwnedFd& fd : owned) fd.release();
  return sockets;
}

ListenSockets listen_unix(const std::string& path, uint32_t mode, const std::string& config_key) {
  sockaddr_storage storage{};
  auto& address = reinterpret_cast<sockaddr_un&>(storage);
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return "cannot listen on " + path + ": the path is longer than " +
           std::to_string(sizeof address.sun_path - 1) + " characters; change " + config_key;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const socklen_t len = sizeof(sockaddr_un);

  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && std::filesystem::create_directories(folder, ignored)) {
    ::chmod(folder.c_str(), 0750);
  }

  struct stat existing {};
  if (::lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return "cannot listen on " + path +
             ": there is a file that is no socket; remove it, or change " + config_key;
    }
    if (answers(storage, len)) {
      return "cannot listen on " + path + ": another server answers there; stop it, or change " +
             config_key;
    }
    ::unlink(path.c_str());
  }
  // Nobody may connect between bind and chmod.
  const mode_t old_mask = ::umask(0777);
  auto fd = open_listener(storage, len);
  ::umask(old_mask);
  if (!fd.ok()) {
    return "cannot listen on " + path + ": " + why(fd.error()) + hint(fd.error(), config_key);
  }
  if (::chmod(path.c_str(), mode) != 0) {
    return "cannot set the mode of " + path + ": " + why(errno);
  }
  return std::vector<ListenSocket>{{fd->release(), path, 0}};
}

}  // namespace es::net

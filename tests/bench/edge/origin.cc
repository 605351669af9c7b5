// The origin behind the proxy benches: a keep-alive HTTP/1.1 server that answers every request with
// the same small JSON. It runs outside the measured process and costs it as little as possible.
//
// usage: edge_bench_origin    prints the port that the kernel gave it, serves until it is killed.
// Understands only what workerd sends it: requests without a body, headers ended by an empty line.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <unordered_map>

namespace {

constexpr char kResponse[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 52\r\n"
    "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
    "Server: bench\r\n"
    "X-Request-Id: 0123456789abcdef\r\n"
    "\r\n"
    "{\"users\":[{\"id\":\"1\",\"name\":\"admin\",\"provider\":\"\"}]}\n";

int listen_on_loopback() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 128) != 0) {
    return -1;
  }
  socklen_t len = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &len);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return fd;
}

// Answers each complete request in `pending` and keeps what is left of the next one.
bool answer_all(int fd, std::string& pending) {
  size_t end = 0;
  while ((end = pending.find("\r\n\r\n")) != std::string::npos) {
    pending.erase(0, end + 4);
    if (write(fd, kResponse, sizeof kResponse - 1) != ssize_t{sizeof kResponse - 1}) return false;
  }
  return true;
}

}  // namespace

int main() {
  const int listener = listen_on_loopback();
  if (listener < 0) return 1;
  const int poll_fd = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
  std::unordered_map<int, std::string> connections;
  epoll_event events[64];
  char buffer[16384];
  while (true) {
    const int num_events = epoll_wait(poll_fd, events, 64, -1);
    for (int i = 0; i < num_events; ++i) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        fd = accept(listener, nullptr, nullptr);
        if (fd < 0) continue;
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event.data.fd = fd;
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
        connections[fd];
        continue;
      }
      const ssize_t got = read(fd, buffer, sizeof buffer);
      std::string& pending = connections[fd];
      if (got > 0) pending.append(buffer, static_cast<size_t>(got));
      if (got <= 0 || !answer_all(fd, pending)) {
        close(fd);
        connections.erase(fd);
      }
    }
  }
}

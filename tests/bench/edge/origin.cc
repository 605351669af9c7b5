// The origin behind the proxy benches: a keep-alive HTTP/1.1 server that answers every request with
// the same small JSON. It runs outside the measured process and costs it as little as possible.
//
// usage: edge_bench_origin EDGE_TOKEN_KEY   answers field for field as the origin twin does: hardened,
//                                           and marked as such after a valid X-Edge-Signature
//        edge_bench_origin                  answers as somebody else's server does
// Prints the port that the kernel gave it and serves until it is killed. Understands only what workerd
// sends it: requests without a body, headers ended by an empty line.
#include "common/gate/hardened_mark.h"
#include "common/http/hardening.h"
#include "common/token/edge_keys.h"
#include "common/token/signature.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

constexpr std::string_view kHead =
    "HTTP/1.1 200 OK\r\n"
    "date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
    "content-length: 52\r\n"
    "Content-Type: application/json\r\n";
constexpr std::string_view kForeignFields =
    "Server: bench\r\n"
    "X-Request-Id: 0123456789abcdef\r\n";
constexpr std::string_view kBody = "{\"users\":[{\"id\":\"1\",\"name\":\"admin\",\"provider\":\"\"}]}\n";
static_assert(kBody.size() == 52);

std::optional<es::token::EdgeKeys> keys;
std::string common_head;

void make_head() {
  common_head = kHead;
  if (!keys) common_head += kForeignFields;
  if (!keys) return;
  for (const es::http::Field& f : es::http::response_headers(es::http::HeaderSet::kApi)) {
    common_head += std::string(f.name) + ": " + std::string(f.value) + "\r\n";
  }
}

std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const size_t at = text.find(before);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + before.size());
  return text.substr(0, text.find(after));
}

// X-Edge-Hardened for a request whose signature is valid, else nothing.
void append_mark(std::string_view head, std::string& out) {
  std::string_view signature = between(head, "\r\nx-edge-signature: ", "\r\n");
  if (signature.empty()) signature = between(head, "\r\nX-Edge-Signature: ", "\r\n");
  const std::string_view method = head.substr(0, head.find(' '));
  const std::string_view target = between(head, " ", " ");
  const auto now = std::chrono::floor<es::Millis>(std::chrono::system_clock::now());
  const auto check =
      es::token::verify_signature(keys->signature, {method, target}, signature, now, {});
  if (check.verdict != es::token::SignatureVerdict::kValid) return;
  std::array<uint8_t, es::gate::kHardenedMarkLen> mark{};
  es::ByteWriter writer(mark);
  es::gate::write_hardened_mark(check.proof, writer);
  out += "x-edge-hardened: ";
  out += es::as_text(writer.written());
  out += "\r\n";
}

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
    std::string answer = common_head;
    if (keys) append_mark(std::string_view(pending).substr(0, end + 2), answer);
    answer += "\r\n";
    answer += kBody;
    pending.erase(0, end + 4);
    if (write(fd, answer.data(), answer.size()) != static_cast<ssize_t>(answer.size())) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const auto derived = es::token::derive_edge_keys(argv[1]);
    if (!derived.ok()) return 2;
    keys = *derived;
  }
  make_head();
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

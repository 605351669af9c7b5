#include "native/net/listen_socket.h"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace es::net {
namespace {

void close_all(const std::vector<ListenSocket>& sockets) {
  for (const ListenSocket& socket : sockets) ::close(socket.fd);
}

bool connects(const char* address, uint16_t port) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (::inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
  } else {
    REQUIRE(::inet_pton(AF_INET6, address, &v6.sin6_addr) == 1);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(fd >= 0);
  const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&storage), sizeof v6) == 0;
  ::close(fd);
  return connected;
}

bool has_ipv6() {
  const auto sockets = listen_tcp("::1", 0, "listen_addr");
  if (sockets.ok()) close_all(*sockets);
  return sockets.ok();
}

TEST_CASE("every way to say 'all addresses' means IPv6 and IPv4") {
  for (const char* const host : {"", "0.0.0.0", "::"}) {
    CAPTURE(host);
    const auto sockets = listen_tcp(host, 0, "listen_addr");
    REQUIRE(sockets.ok());
    REQUIRE(sockets->size() == 1);
    const uint16_t port = sockets->front().port;
    CHECK(connects("127.0.0.1", port));
    if (has_ipv6()) {
      CHECK(sockets->front().address == "[::]:" + std::to_string(port));
      CHECK(connects("::1", port));
      // Taken in both families.
      const auto second = listen_tcp("127.0.0.1", port, "listen_addr");
      REQUIRE_FALSE(second.ok());
      CHECK(second.error().find("change listen_addr") != std::string::npos);
    }
    close_all(*sockets);
  }
}

TEST_CASE("an address means itself, and a name all that it has") {
  const auto v4 = listen_tcp("127.0.0.1", 0, "listen_addr");
  REQUIRE(v4.ok());
  CHECK(v4->front().address == "127.0.0.1:" + std::to_string(v4->front().port));
  CHECK(connects("127.0.0.1", v4->front().port));
  if (has_ipv6()) {
    CHECK_FALSE(connects("::1", v4->front().port));
    const auto v6 = listen_tcp("::1", v4->front().port, "listen_addr");
    REQUIRE(v6.ok());
    CHECK(v6->front().address == "[::1]:" + std::to_string(v4->front().port));
    close_all(*v6);
  }
  close_all(*v4);
  const auto name = listen_tcp("localhost", 0, "listen_addr");
  REQUIRE(name.ok());
  for (const ListenSocket& socket : *name) CHECK(socket.port == name->front().port);
  close_all(*name);
}

TEST_CASE("a host that is not there is an error that names the setting") {
  for (const char* const host : {"192.0.2.1", "no.such.host.invalid"}) {
    const auto sockets = listen_tcp(host, 0, "metrics_listen_addr");
    REQUIRE_FALSE(sockets.ok());
    CHECK(sockets.error().find("metrics_listen_addr") != std::string::npos);
  }
}

}  // namespace
}  // namespace es::net

#include "tests/unit/native/net/test_server.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace es::net {

TestServer::Options TestServer::options() {
  Options options;
  options.limits.header_timeout = Millis{5000};
  options.limits.body_timeout = Millis{5000};
  options.limits.idle_timeout = Millis{5000};
  options.limits.write_timeout = Millis{5000};
  options.limits.handler_timeout = Millis{5000};
  // As good as unlimited.
  options.gatekeeper.requests = {2900, Millis{10}, 50};
  options.gatekeeper.auth_failures = {100, Millis{60'000}, 0};
  options.gatekeeper.limiter_bytes = 256 * 1024;
  return options;
}

Clock TestServer::clock() {
  return {[this] {
            return WallTime(std::chrono::duration_cast<Millis>(
                       std::chrono::system_clock::now().time_since_epoch())) +
                   Millis(skew_ms);
          },
          [] {
            return std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
          }};
}

TestServer::TestServer(Options options) {
  log_ = std::make_unique<telemetry::Log>(
      clock().wall, [this](std::string_view lines) { log_text_ += lines; }, telemetry::Level::kInfo,
      telemetry::Format::kText);
  router_.add("GET", "/hello", [](const Request& request, Reply reply) {
    reply(text_response(200, "hello " + request.client_address));
  });
  router_.add("POST", "/echo",
              [](const Request& request, Reply reply) { reply(text_response(200, request.body)); });
  router_.add(
      "GET", "/api/v1/thing",
      [](const Request& request, Reply reply) {
        reply(json_response(200, "{\"client\":\"" + request.client_address + "\"}"));
      },
      Access::kApiKey);
  if (options.routes) options.routes(router_);

  auto gatekeeper = Gatekeeper::create(options.gatekeeper,
                                       [](std::string_view token, WallTime) {
                                         return token == kGoodKey ? gate::KeyVerdict::kValid
                                                                  : gate::KeyVerdict::kInvalid;
                                       },
                                       {1, 2});
  if (!gatekeeper.ok()) FAIL(gatekeeper.error());
  gatekeeper_ = std::move(gatekeeper).value();

  ServerOptions server;
  server.limits = options.limits;
  server.num_threads = options.num_threads;
  server.tick = Millis{10};
  server.tls = options.tls_files;
  if (!options.cap_loopback) server.is_proxy = [](std::string_view) { return true; };
  server.listeners.push_back({"127.0.0.1",
                              0,
                              "",
                              0,
                              options.tls,
                              {"http", &router_, gatekeeper_.get(), Trust::kNetwork},
                              "listen_addr"});
  if (!options.unix_path.empty()) {
    server.listeners.push_back({"",
                                0,
                                options.unix_path,
                                0770,
                                false,
                                {"unix", &router_, gatekeeper_.get(), Trust::kLocalSocket},
                                "unix_socket"});
  }
  auto created = Server::create(std::move(server), clock(), *log_, metrics_);
  if (!created.ok()) FAIL(created.error());
  server_ = std::move(created).value();
  server_->start();
}

TestServer::~TestServer() { server_.reset(); }

std::string TestServer::logged() {
  log_->flush();
  return log_text_;
}

double TestServer::metric_when(const std::string& series, double expected) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  double value = metric(series);
  while (value != expected && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    value = metric(series);
  }
  return value;
}

double TestServer::metric(const std::string& series) const {
  const std::string text = "\n" + metrics_.render();
  const size_t at = text.find("\n" + series + " ");
  if (at == std::string::npos) return -1;
  return std::strtod(text.c_str() + at + series.size() + 2, nullptr);
}

std::string RawResponse::field(std::string_view name) const {
  size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at + 2);
    const std::string_view line = std::string_view(head).substr(at + 2, end - at - 2);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && same_name(line.substr(0, colon), name)) {
      return std::string(line.substr(colon + 2));
    }
    at = end;
  }
  return "";
}

RawClient::RawClient(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(std::exchange(fd_, -1));
  }
}

RawClient::RawClient(const std::string& unix_path)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(std::exchange(fd_, -1));
  }
}

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}

RawClient::~RawClient() {
  if (fd_ >= 0) ::close(fd_);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool RawClient::fill(int timeout_ms) {
  pollfd poll{fd_, POLLIN, 0};
  if (::poll(&poll, 1, timeout_ms) <= 0) return false;
  char bytes[16384];
  const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

RawResponse RawClient::read_response(bool head_only) {
  RawResponse response;
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill(5000)) return response;
  }
  response.head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  const std::string length = response.field("content-length");
  const size_t len = head_only || length.empty() ? 0 : std::stoul(length);
  while (buffer_.size() < len) {
    if (!fill(5000)) return response;
  }
  response.body = buffer_.substr(0, len);
  buffer_.erase(0, len);
  response.status = std::atoi(response.head.c_str() + sizeof("HTTP/1.1"));
  return response;
}

std::string RawClient::read_to_end(int timeout_ms) {
  while (fill(timeout_ms)) {
  }
  return std::exchange(buffer_, {});
}

std::string RawClient::read_some(size_t n, int timeout_ms) {
  if (buffer_.empty()) (void)fill(timeout_ms);
  std::string some = buffer_.substr(0, n);
  buffer_.erase(0, some.size());
  return some;
}

bool RawClient::closed_within(int timeout_ms) {
  if (!buffer_.empty()) return false;
  pollfd poll{fd_, POLLIN, 0};
  if (::poll(&poll, 1, timeout_ms) <= 0) return false;
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_PEEK) <= 0;
}

void RawClient::shutdown_send() { ::shutdown(fd_, SHUT_WR); }

RawResponse RawClient::get(std::string_view path, std::string_view more_fields) {
  std::string request = "GET ";
  request += path;
  request += " HTTP/1.1\r\nHost: localhost\r\n";
  request += more_fields;
  request += "\r\n";
  if (!send(request)) return {};
  return read_response();
}

}  // namespace es::net

#include "native/stun/udp_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <utility>

namespace es::stun {

namespace asio = boost::asio;
using asio::ip::udp;

namespace {

constexpr int kMaxBatch = 64;
// Larger than any request that can be a good one and smaller than a page.
constexpr size_t kDatagramLen = 1500;

// The address that a datagram was sent to, as the control message that makes the answer leave from
// it. Empty when the kernel did not say.
struct ControlBuffer {
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))> bytes;
};

struct Datagram {
  std::array<uint8_t, kDatagramLen> data;
  sockaddr_storage peer;
  ControlBuffer control;
  iovec iov;
  msghdr header;
};

Endpoint endpoint_of(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &peer, sizeof v4);
    std::array<uint8_t, 4> address;
    std::memcpy(address.data(), &v4.sin_addr, address.size());
    return Endpoint::v4(address, ntohs(v4.sin_port));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &peer, sizeof v6);
  Endpoint out;
  std::memcpy(out.ip.data(), &v6.sin6_addr, out.ip.size());
  out.port = ntohs(v6.sin6_port);
  return out;
}

// Turns the received packet info into that of an answer, in place: the same local address, and
// routing free to pick the interface (but for link-local addresses, where it is part of the name).
void turn_control(msghdr& header) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      info.ipi_ifindex = 0;
      info.ipi_spec_dst = info.ipi_addr;
      std::memcpy(CMSG_DATA(c), &info, sizeof info);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      std::memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
      header.msg_control = nullptr;
      header.msg_controllen = 0;
      return;
    }
  }
}

bool set_flag(int fd, int level, int option) {
  const int on = 1;
  return ::setsockopt(fd, level, option, &on, sizeof on) == 0;
}

}  // namespace

class UdpServer::Impl : public std::enable_shared_from_this<UdpServer::Impl> {
 public:
  Impl(asio::io_context& io, const UdpConfig& config, MonotonicClock clock, uint64_t hash_key)
      : socket_(io), clock_(std::move(clock)), responder_(config.limits, hash_key) {}

  Status open(const UdpConfig& config) {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(config.address, error);
    if (error) return refuse("the STUN address is no IP literal");
    udp::endpoint local(address, config.port);
    // All addresses of the machine are meant, as by Headscale's listeners (Go's).
    if (address == asio::ip::address_v4::any()) local.address(asio::ip::address_v6::any());
    socket_.open(local.protocol(), error);
    if (error && address.is_v4()) {
      local.address(address);  // no IPv6 here
      socket_.open(local.protocol(), error);
    }
    if (error) return retry_later("no STUN socket");
    const int fd = socket_.native_handle();
    bool ok = true;
    if (local.address().is_v6()) {
      socket_.set_option(asio::ip::v6_only(!local.address().is_unspecified()), error);
      ok = set_flag(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    } else {
      ok = set_flag(fd, IPPROTO_IP, IP_PKTINFO);
    }
    if (!ok || error || socket_.non_blocking(true, error)) return retry_later("no STUN socket");
    if (socket_.bind(local, error)) return retry_later("the STUN address cannot be bound");
    port_ = socket_.local_endpoint(error).port();
    return {};
  }

  void wait() {
    socket_.async_wait(udp::socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (error || !self->socket_.is_open()) return;
                         self->drain();
                         self->wait();
                       });
  }

  void stop() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  uint16_t port() const { return port_; }
  Counters& counters() { return responder_.counters(); }

 private:
  void drain() {
    const Millis now = clock_();
    for (int i = 0; i < kMaxBatch; ++i) {
      Datagram& d = datagram_;
      d.iov = {d.data.data(), d.data.size()};
      d.header = {};
      d.header.msg_name = &d.peer;
      d.header.msg_namelen = sizeof d.peer;
      d.header.msg_iov = &d.iov;
      d.header.msg_iovlen = 1;
      d.header.msg_control = d.control.bytes.data();
      d.header.msg_controllen = d.control.bytes.size();
      const ssize_t len = ::recvmsg(socket_.native_handle(), &d.header, 0);
      if (len < 0) {
        // An ICMP error of an earlier answer is reported here; the next datagram may be fine.
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        continue;
      }
      if ((d.header.msg_flags & MSG_TRUNC) != 0) {
        counters().ignored.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      answer(Bytes(d.data).first(static_cast<size_t>(len)), now);
    }
  }

  void answer(Bytes datagram, Millis now) {
    Datagram& d = datagram_;
    std::array<uint8_t, kMaxResponseLen> reply;
    const auto reply_len = responder_.handle(datagram, endpoint_of(d.peer), now, reply);
    if (!reply_len) return;
    turn_control(d.header);
    d.iov = {reply.data(), *reply_len};
    d.header.msg_flags = 0;
    if (::sendmsg(socket_.native_handle(), &d.header, 0) < 0) {
      counters().send_failed.fetch_add(1, std::memory_order_relaxed);
    }
  }

  udp::socket socket_;
  MonotonicClock clock_;
  Responder responder_;
  uint16_t port_ = 0;
  Datagram datagram_{};
};

Result<UdpServer> UdpServer::open(asio::io_context& io, const UdpConfig& config,
                                  MonotonicClock clock, uint64_t hash_key) {
  auto impl = std::make_shared<Impl>(io, config, std::move(clock), hash_key);
  ES_CHECK(impl->open(config));
  impl->wait();
  return UdpServer(std::move(impl));
}

UdpServer::UdpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
UdpServer::UdpServer(UdpServer&&) noexcept = default;
UdpServer& UdpServer::operator=(UdpServer&& other) noexcept {
  if (this != &other) {
    stop();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
UdpServer::~UdpServer() { stop(); }

uint16_t UdpServer::port() const { return impl_->port(); }
const Counters& UdpServer::counters() const { return impl_->counters(); }
void UdpServer::stop() {
  if (impl_) impl_->stop();
}

}  // namespace es::stun

#include "tests/bench/storm/relay_load.h"

#include "native/derp/client.h"
#include "tests/bench/storm/process_cost.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <sys/random.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace es::storm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kReadLen = 256U << 10U;
constexpr size_t kBatch = 48;  // frames in one write of the sender

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("relay: " + what); }

template <size_t N>
std::array<uint8_t, N> random_bytes() {
  std::array<uint8_t, N> bytes;
  if (getrandom(bytes.data(), N, 0) != static_cast<ssize_t>(N)) fail("no randomness");
  return bytes;
}

// A blocking client.
class Peer : public derp::ClientEvents {
 public:
  explicit Peer(const RelayOptions& options)
      : client_(derp::Client::create(random_bytes<derp::kKeyLen>(), random_bytes<derp::kNonceLen>(),
                                     {.version = derp::kProtocolVersion, .can_ack_pings = true},
                                     *this)
                    .value()),
        input_(kReadLen) {
    connect(options);
    while (!client_.connected()) {
      write(client_.take_output());
      read();
    }
    write(client_.take_output());
  }
  ~Peer() override { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  const derp::Key& key() const { return client_.public_key(); }
  void end() const { ::shutdown(fd_, SHUT_RDWR); }

  // False when the connection has ended.
  bool read() {
    const ssize_t n = ::recv(fd_, input_.data(), input_.size(), 0);
    if (n <= 0) return false;
    Bytes bytes = Bytes(input_).first(static_cast<size_t>(n));
    if (!head_read_) bytes = skip_head(bytes);
    if (!client_.receive(bytes).ok()) fail("a client does not understand the relay");
    return true;
  }
  bool write(Bytes bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return true;
  }

  std::atomic<uint64_t> packets{0};
  std::atomic<uint64_t> altered{0};
  derp::Key expected_source{};
  std::vector<uint8_t> expected;

 private:
  void connect(const RelayOptions& options) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    if (::inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1 ||
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      fail("cannot connect");
    }
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::string request =
        "GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n";
    if (!write(as_bytes(request))) fail("cannot ask for the upgrade");
  }
  Bytes skip_head(Bytes bytes) {
    head_ += as_text(bytes);
    const size_t end = head_.find("\r\n\r\n");
    if (end == std::string::npos) return {};
    if (!head_.starts_with("HTTP/1.1 101")) fail("refused: " + head_.substr(0, head_.find('\r')));
    head_read_ = true;
    return bytes.last(head_.size() - end - 4);
  }
  void on_packet(const derp::Key& source, Bytes packet) override {
    // The first eight bytes are the sender's count.
    const bool sound = source == expected_source && packet.size() == expected.size() &&
                       std::memcmp(packet.data() + 8, expected.data() + 8, packet.size() - 8) == 0;
    if (!sound) altered.fetch_add(1, std::memory_order_relaxed);
    packets.fetch_add(1, std::memory_order_release);
    packets.notify_one();
  }

  int fd_ = -1;
  derp::Client client_;
  std::vector<uint8_t> input_;
  std::string head_;
  bool head_read_ = false;
};

class RelayLoad {
 public:
  explicit RelayLoad(const RelayOptions& options)
      : options_(options), sender_(options), receiver_(options) {
    if (options.packet_bytes < 64) fail("packets are too small to be told apart");
    // WireGuard's transport data: never taken for disco.
    std::vector<uint8_t> packet(options.packet_bytes);
    for (size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<uint8_t>(i * 7 + 4);
    receiver_.expected_source = sender_.key();
    receiver_.expected = packet;
    for (size_t i = 0; i < kBatch; ++i) {
      derp::append_packet(derp::FrameType::kSendPacket, receiver_.key(), packet, batch_);
    }
  }

  RelayReport run() {
    std::thread receive([this] { receive_all(); });
    std::thread send([this] { send_all(); });
    RelayReport report;
    std::string problem;
    try {
      report = measure();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    stop_ = true;
    sender_.end();
    receiver_.end();
    receiver_.packets.fetch_add(1);  // wakes a sender that waits for its window
    receiver_.packets.notify_all();
    send.join();
    receive.join();
    if (!problem.empty()) throw std::runtime_error(problem);
    if (receiver_.altered != 0) fail("packets were altered");
    return report;
  }

 private:
  RelayReport measure() {
    std::this_thread::sleep_for(options_.warm_up);
    const double cpu = cost_of(options_.server_pid).cpu_seconds;
    const uint64_t sent = sent_;
    const uint64_t got = receiver_.packets;
    const auto begun = Clock::now();
    std::this_thread::sleep_for(options_.time);
    const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    const auto packets = static_cast<double>(receiver_.packets - got);
    const auto all = static_cast<double>(sent_ - sent);
    const ProcessCost after = cost_of(options_.server_pid);
    if (packets == 0) fail("nothing arrived");
    return {.packets_per_second = packets / seconds,
            .packets_per_cpu_second = packets / (after.cpu_seconds - cpu),
            .lost = all > packets ? 1 - packets / all : 0,
            .rss_mb = static_cast<double>(after.rss_bytes) / 1e6};
  }

  void receive_all() {
    try {
      while (receiver_.read()) {
      }
    } catch (const std::exception&) {
      receiver_.altered = 1;
    }
  }
  void send_all() {
    const size_t frame = batch_.size() / kBatch;
    while (!stop_) {
      size_t count = kBatch;
      if (options_.window != 0) {
        const uint64_t got = receiver_.packets.load(std::memory_order_acquire);
        const uint64_t open = options_.window - std::min<uint64_t>(options_.window, sent_ - got);
        if (open == 0) {
          receiver_.packets.wait(got);
          continue;
        }
        count = std::min<size_t>(count, open);
      }
      if (!sender_.write(Bytes(batch_).first(count * frame))) return;
      sent_ += count;
    }
  }

  const RelayOptions options_;
  Peer sender_;
  Peer receiver_;
  std::vector<uint8_t> batch_;
  std::atomic<uint64_t> sent_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

RelayReport run_relay_load(const RelayOptions& options) { return RelayLoad(options).run(); }

}  // namespace es::storm

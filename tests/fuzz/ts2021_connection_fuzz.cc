// A hostile client that has finished the Noise handshake, which anybody may: whatever it sends
// inside, in time or late, known to the handler or a stranger, alone or pushed out by newcomers,
// stays within the limits of its standing, and in the end nothing of it is left.
#include "native/net/byte_stream.h"
#include "native/noise/handshake.h"
#include "native/noise/record.h"
#include "native/ts2021/connection.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace {

using es::Bytes;
using es::Millis;

constexpr es::h2::ServerLimits kStranger = {.max_concurrent_streams = 3,
                                            .max_header_bytes = 512,
                                            .max_body_bytes = 600,
                                            .max_unfinished_bytes = 1000,
                                            .max_response_buffer = 512,
                                            .max_session_buffer = 600,
                                            .request_timeout = Millis(50),
                                            .max_requests = 8};
constexpr es::h2::ServerLimits kKnown = {.max_concurrent_streams = 10,
                                         .max_header_bytes = 2048,
                                         .max_body_bytes = 2000,
                                         .max_unfinished_bytes = 4000,
                                         .max_response_buffer = 2048,
                                         .max_session_buffer = 3000,
                                         .request_timeout = Millis(50)};

struct Wire {
  std::deque<std::function<void()>> tasks;
  es::MutableBytes read_into;
  es::net::ByteStream::ReadDone read_done;
  es::net::ByteStream::WriteDone write_done;
  size_t written = 0;
  bool destroyed = false;

  void run() {
    while (!tasks.empty()) {
      const auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
  }
};

class Stream final : public es::net::ByteStream {
 public:
  explicit Stream(Wire& wire) : wire_(wire) {}
  ~Stream() override {
    wire_.destroyed = true;
    wire_.read_done = nullptr;
    wire_.write_done = nullptr;
  }
  void read_some(es::MutableBytes into, ReadDone done) override {
    if (wire_.read_done) std::abort();
    wire_.read_into = into;
    wire_.read_done = std::move(done);
  }
  void write(Bytes bytes, WriteDone done) override {
    if (wire_.write_done) std::abort();
    wire_.written += bytes.size();
    wire_.write_done = std::move(done);
  }
  void post(std::function<void()> task) override {
    wire_.tasks.push_back([&wire = wire_, task = std::move(task)] {
      if (!wire.destroyed) task();
    });
  }
  void set_timeouts(Millis, Millis) override {}
  void on_server_stop(std::function<void()>) override {}
  void close() override {
    wire_.tasks.push_back([&wire = wire_] {
      const es::Error closed = es::reconnect("closed");
      if (auto done = std::exchange(wire.read_done, nullptr)) done(closed);
      if (auto done = std::exchange(wire.write_done, nullptr)) done(es::Status(closed));
    });
  }

 private:
  Wire& wire_;
};

// The path's first letter says what is found out about the machine.
class App final : public es::h2::ServerHandler {
 public:
  explicit App(std::weak_ptr<es::ts2021::Connection> c) : connection_(std::move(c)) {}
  ~App() override {
    if (!open_.empty()) std::abort();
  }
  void on_request(es::h2::StreamId id, es::h2::Request request, es::h2::HasBody) override {
    Call& call = open_[id];
    call.what = request.path.size() > 1 ? request.path[1] : ' ';
    if (open_.size() > kKnown.max_concurrent_streams) std::abort();
  }
  void on_body(es::h2::StreamId id, Bytes piece) override {
    open_.at(id).body += piece.size();
    size_t all = 0;
    for (const auto& [any, call] : open_) all += call.ended ? 0 : call.body;
    const es::h2::ServerLimits& limits = known_ ? kKnown : kStranger;
    if (all > limits.max_unfinished_bytes || open_.at(id).body > limits.max_body_bytes) {
      std::abort();
    }
  }
  void on_request_end(es::h2::StreamId id) override {
    const auto c = connection_.lock();
    Call& call = open_.at(id);
    call.ended = true;
    if (call.what == 'k') c->set_standing(es::ts2021::Standing::kKnown);
    if (call.what == 'w') c->set_standing(es::ts2021::Standing::kWaiting);
    if (call.what == 's') c->set_standing(es::ts2021::Standing::kStranger);
    if (call.what == 'c') c->close();
    known_ = known_ || call.what == 'k';
    if (call.what == 'h') return;  // held open
    if (call.what == 'l') return answer_at_length(id);
    c->http().respond(id, {.status = 204, .headers = {}}, es::h2::HasBody::kNo);
  }
  void on_writable(es::h2::StreamId) override {}
  void on_closed(es::h2::StreamId id, es::h2::ErrorCode) override {
    if (open_.erase(id) != 1) std::abort();
  }

 private:
  void answer_at_length(es::h2::StreamId id) {
    es::h2::ServerSession& http = connection_.lock()->http();
    http.respond(id, {.status = 200, .headers = {}}, es::h2::HasBody::kYes);
    static const std::vector<uint8_t> piece(300, 'l');
    for (int i = 0; i < 10; ++i) {
      if (http.write(id, es::h2::Chunk::copy_of(piece)) != es::h2::Write::kTaken) break;
    }
    http.finish(id);
    const es::h2::ServerLimits& limits = known_ ? kKnown : kStranger;
    size_t all = 0;
    for (const auto& [any, call] : open_) {
      all += std::min(http.buffered(any), limits.max_response_buffer);
    }
    if (all > limits.max_session_buffer + piece.size()) std::abort();
  }

  struct Call {
    char what = ' ';
    size_t body = 0;
    bool ended = false;
  };
  std::weak_ptr<es::ts2021::Connection> connection_;
  std::map<es::h2::StreamId, Call> open_;
  bool known_ = false;
};

es::noise::Key filled(uint8_t with) {
  es::noise::Key key;
  key.fill(with);
  return key;
}

// The handshake is not what is tested here, and dear: its messages are always the same.
const es::noise::Initiator& initiator() {
  static const es::noise::Initiator one =
      es::noise::Initiator::create(filled(3), es::noise::x25519_public(filled(1)).value(),
                                   filled(4), 113)
          .value();
  return one;
}

const es::noise::Session& client_session() {
  static const es::noise::Session one = [] {
    const auto accepted =
        es::noise::respond(filled(1), filled(2), initiator().initiation()).value();
    return initiator().finish(accepted.response).value();
  }();
  return one;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Wire wire;
  Millis now{1000};
  es::ts2021::HalfOpen half_open(
      {.total = 1, .per_address = 1, .waiting_total = 1, .safe_for = Millis(30)}, {});
  es::ts2021::Deadlines deadlines;
  es::ts2021::Options options;
  options.limits = kKnown;
  options.stranger_limits = kStranger;
  options.preface_timeout = Millis(20);
  options.stranger_timeout = Millis(100);
  options.clock = [&now] { return now; };
  options.half_open = &half_open;
  options.deadlines = &deadlines;
  options.make_handler = [](const auto& connection) { return std::make_unique<App>(connection); };
  es::ts2021::Keys keys;
  keys.static_private = filled(1);
  keys.ephemeral_private = filled(2);
  auto place = half_open.take("192.0.2.1", now);
  if (!es::ts2021::Connection::serve(std::make_unique<Stream>(wire), keys, initiator().initiation(),
                                     options, std::move(place))
           .ok()) {
    std::abort();
  }
  auto sender = es::noise::RecordSender::create(client_session().send_key).value();
  std::vector<uint8_t> unread;

  // Each step: how long after the last one, whether the client reads, whether somebody else wants a
  // place, and what it sends.
  es::ByteReader input(Bytes(data, size));
  while (!wire.destroyed) {
    const auto step = input.u8();
    if (!step) break;
    now += Millis(*step & 0x1fU);
    if ((*step & 0x20U) != 0) {
      if (auto done = std::exchange(wire.write_done, nullptr)) done(es::Status());
    }
    if ((*step & 0xc0U) == 0x80U) (void)half_open.take("198.51.100.1", now);
    deadlines.tick(now);
    wire.run();
    const auto len = input.u8();
    const size_t most = input.remaining();
    const auto plain = input.bytes(std::min<size_t>(len ? *len : 0, most));
    if (plain && !plain->empty()) {
      if (!sender.seal(*plain, unread).ok()) std::abort();
      if ((*step & 0x40U) != 0 && (*step & 0x80U) != 0) unread.back() ^= 1;  // forged
    }
    while (wire.read_done && !unread.empty() && !wire.destroyed) {
      const size_t part = std::min(wire.read_into.size(), unread.size());
      std::copy_n(unread.begin(), part, wire.read_into.begin());
      unread.erase(unread.begin(), unread.begin() + static_cast<std::ptrdiff_t>(part));
      std::exchange(wire.read_done, nullptr)(part);
      wire.run();
    }
    if (half_open.taken() + half_open.waiting() > 1) std::abort();
  }
  // The client goes away, in a way or another.
  if (auto done = std::exchange(wire.write_done, nullptr)) done(es::Status(es::reconnect("gone")));
  wire.run();
  if (auto done = std::exchange(wire.read_done, nullptr)) done(size_t{0});
  wire.run();
  if (auto done = std::exchange(wire.write_done, nullptr)) done(es::Status());
  wire.run();
  if (!wire.destroyed || half_open.taken() != 0 || half_open.waiting() != 0) std::abort();
  return 0;
}

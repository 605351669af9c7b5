#include "native/api/machine.h"

#include "native/tailcfg/map_request.h"
#include "native/tailcfg/register.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace es::api {
namespace {

// Clients give a stream up after 120 s of silence.
constexpr Millis kKeepAlive{50'000};

constexpr std::string_view kTooOld =
    "this client is too old for this control server: update it to version 1.80 or newer";

// Served by other control servers, or later by this one.
constexpr std::array<std::string_view, 9> kNotServed = {
    "/machine/whoami",          "/machine/set-dns",       "/machine/audit-log",
    "/machine/id-token",        "/machine/feature/query", "/machine/update-health",
    "/machine/set-device-attr", "/machine/c2n",           "/machine/tka"};

// Runs `task` on the connection's strand, which also gives up this reference: a connection must not
// die on another thread.
template <class Task>
void post_to(std::shared_ptr<ts2021::Connection> connection, Task task) {
  if (!connection) return;
  ts2021::Connection* const target = connection.get();
  target->post([held = std::move(connection), task = std::move(task)]() mutable { task(); });
}

// A message of the map stream: 4 bytes of little-endian length, then the payload.
h2::Chunk map_frame(const std::string& payload) {
  std::vector<uint8_t> frame(4 + payload.size());
  ByteWriter out(frame);
  out.u32le(static_cast<uint32_t>(payload.size()));
  out.text(payload);
  auto owner = std::make_shared<const std::vector<uint8_t>>(std::move(frame));
  const Bytes view(*owner);
  return {std::move(owner), view};
}

}  // namespace

// The connections with a map stream, for keep-alives.
class Machine::Streams {
 public:
  void add(Handler* handler, std::weak_ptr<ts2021::Connection> connection) {
    const std::lock_guard lock(mutex_);
    connections_[handler] = std::move(connection);
  }
  void remove(Handler* handler) {
    const std::lock_guard lock(mutex_);
    connections_.erase(handler);
  }
  std::vector<std::pair<Handler*, std::weak_ptr<ts2021::Connection>>> all() const {
    const std::lock_guard lock(mutex_);
    return {connections_.begin(), connections_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<Handler*, std::weak_ptr<ts2021::Connection>> connections_;
};

class Machine::Handler final : public h2::ServerHandler {
 public:
  Handler(control::Tailnet& tailnet, Clock clock, std::shared_ptr<Streams> streams,
          const std::shared_ptr<ts2021::Connection>& connection)
      : tailnet_(tailnet),
        clock_(std::move(clock)),
        streams_(std::move(streams)),
        connection_(connection),
        machine_(tailcfg::MachineKey(connection->machine_key())),
        version_(connection->version()) {}
  ~Handler() override { streams_->remove(this); }

  void on_request(h2::StreamId id, h2::Request request, h2::HasBody) override {
    Stream& stream = open_[id];
    stream.method = std::move(request.method);
    stream.path = request.path.substr(0, request.path.find('?'));
  }
  void on_body(h2::StreamId id, Bytes piece) override { open_[id].body += as_text(piece); }
  void on_request_end(h2::StreamId id) override {
    Stream& stream = open_[id];
    if (stream.path == "/machine/register" && stream.method == "POST") return enlist(id, stream);
    if (stream.path == "/machine/map" && stream.method == "POST") return map(id, stream);
    const bool known = std::any_of(kNotServed.begin(), kNotServed.end(),
                                   [&](auto prefix) { return stream.path.starts_with(prefix); });
    answer(id, known ? 501 : 404, known ? "not served by this control server" : "not found");
  }
  void on_writable(h2::StreamId id) override { write_map(id); }
  void on_closed(h2::StreamId id, h2::ErrorCode) override {
    const auto it = open_.find(id);
    if (it == open_.end()) return;
    if (it->second.ticket) tailnet_.abandon(*it->second.ticket);
    if (it->second.session) it->second.session->close(clock_());
    open_.erase(it);
  }

  // On the strand.
  void keep_alive() {
    const WallTime now = clock_();
    for (auto& [id, stream] : open_) {
      if (!stream.session || stream.waiting || now - stream.last_sent < kKeepAlive) continue;
      send(id, stream, map_frame(stream.session->keep_alive(now)));
    }
    flush();
  }

 private:
  struct Stream {
    std::string method;
    std::string path;
    std::string body;
    std::optional<control::Tailnet::Ticket> ticket;  // a registration that may wait
    std::shared_ptr<control::MapSession> session;
    std::optional<h2::Chunk> waiting;  // the stream's buffer is full
    WallTime last_sent{};
  };

  h2::ServerSession* http() const {
    const auto connection = connection_.lock();
    return connection ? &connection->http() : nullptr;
  }
  void flush() const {
    if (const auto connection = connection_.lock()) connection->flush();
  }

  void answer(h2::StreamId id, int status, std::string_view body,
              std::string_view type = "text/plain; charset=utf-8") {
    h2::ServerSession* session = http();
    if (session == nullptr) return;
    const bool empty = body.empty();
    if (!session->respond(id, {status, {{"content-type", std::string(type)}}},
                          empty ? h2::HasBody::kNo : h2::HasBody::kYes) ||
        empty) {
      return;
    }
    (void)session->write(id, h2::Chunk::copy_of(as_bytes(body)));
    session->finish(id);
  }

  void enlist(h2::StreamId id, Stream& stream) {
    const auto request = tailcfg::parse_register_request(stream.body);
    stream.body.clear();
    if (!request.ok()) return answer(id, 400, request.error().what);
    if (version_ < control::kMinCapabilityVersion) {
      tailcfg::RegisterResponse response;
      response.error = kTooOld;
      return answer(id, 200, to_json(response), "application/json");
    }
    // The answer may come at once, later, or from another thread: always by way of the strand.
    const auto weak = connection_;
    stream.ticket = tailnet_.register_node(
        machine_, *request, clock_(), [this, weak, id](tailcfg::RegisterResponse response) {
          post_to(weak.lock(), [this, id, response = std::move(response)] {
            const auto it = open_.find(id);
            if (it == open_.end()) return;
            it->second.ticket.reset();
            answer(id, 200, to_json(response), "application/json");
            flush();
          });
        });
  }

  void map(h2::StreamId id, Stream& stream) {
    const auto request = tailcfg::parse_map_request(stream.body);
    stream.body.clear();
    if (!request.ok()) return answer(id, 400, request.error().what);
    if (version_ < control::kMinCapabilityVersion) return answer(id, 400, kTooOld);
    if (!request->stream && request->omit_peers) {
      const Status status = tailnet_.update(machine_, *request, clock_());
      return answer(id, status.ok() ? 200 : 404, status.ok() ? "" : status.error().what);
    }
    const auto weak = connection_;
    auto session = tailnet_.open_session(machine_, *request, clock_(), [this, weak, id] {
      post_to(weak.lock(), [this, id] {
        write_map(id);
        flush();
      });
    });
    if (!session.ok()) return answer(id, 404, session.error().what);
    h2::ServerSession* http_session = http();
    if (http_session == nullptr || !http_session->respond(id, {200, {}}, h2::HasBody::kYes)) return;
    stream.session = std::move(session).value();
    streams_->add(this, connection_);
    write_map(id);
    if (request->stream) return;
    // One whole message was asked for.
    stream.session.reset();
    if (!stream.waiting) http_session->finish(id);
  }

  void send(h2::StreamId id, Stream& stream, h2::Chunk chunk) {
    h2::ServerSession* session = http();
    if (session == nullptr) return;
    stream.last_sent = clock_();
    h2::Chunk kept = chunk;
    if (session->write(id, std::move(chunk)) == h2::Write::kFull) stream.waiting = std::move(kept);
  }

  // Everything that the session has, as long as the client reads.
  void write_map(h2::StreamId id) {
    const auto it = open_.find(id);
    if (it == open_.end()) return;
    Stream& stream = it->second;
    if (stream.waiting) send(id, stream, *std::exchange(stream.waiting, std::nullopt));
    while (!stream.waiting && stream.session) {
      const auto payload = stream.session->take(clock_());
      if (!payload) break;
      send(id, stream, map_frame(*payload));
    }
    const bool over = stream.session ? stream.session->ended() : true;
    if (stream.waiting || !over) return;
    if (h2::ServerSession* session = http()) session->finish(id);
  }

  control::Tailnet& tailnet_;
  const Clock clock_;
  const std::shared_ptr<Streams> streams_;
  const std::weak_ptr<ts2021::Connection> connection_;
  const tailcfg::MachineKey machine_;
  const uint16_t version_;
  std::map<h2::StreamId, Stream> open_;
};

Machine::Machine(control::Tailnet& tailnet, Clock clock)
    : tailnet_(tailnet), clock_(std::move(clock)), streams_(std::make_shared<Streams>()) {}
Machine::~Machine() = default;

std::unique_ptr<h2::ServerHandler> Machine::serve(
    const std::shared_ptr<ts2021::Connection>& connection) {
  return std::make_unique<Handler>(tailnet_, clock_, streams_, connection);
}

void Machine::tick() {
  for (const auto& [handler, weak] : streams_->all()) {
    // The handler lives as long as its connection takes tasks.
    post_to(weak.lock(), [h = handler] { h->keep_alive(); });
  }
}

}  // namespace es::api

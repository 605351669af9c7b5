#include "native/api/machine.h"

#include "native/api/body.h"
#include "native/api/form.h"
#include "native/control/map_session.h"
#include "native/tailcfg/json_input.h"
#include "native/tailcfg/map_request.h"
#include "native/tailcfg/register.h"

#include <nlohmann/json.hpp>

#include <array>
#include <atomic>
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

// What clients may ask for and this server does not offer, and what the person at the client is
// told. Refused at once: a client that waits looks broken. 501 is what ends a client's attempts.
struct NotOffered {
  std::string_view prefix;
  std::string_view why;
};
constexpr std::array<NotOffered, 6> kNotOffered = {
    {{"/machine/set-dns", "this control server cannot set DNS records: no HTTPS certificates"},
     {"/machine/id-token", "this control server issues no ID tokens"},
     {"/machine/set-device-attr", "this control server keeps no device attributes"},
     {"/machine/webclient/", "this control server has no check for the web client"},
     {"/machine/tka/", "this control server does not offer tailnet lock"},
     {"/machine/c2n", "not served by this control server"}}};

// `tailscale serve` and `funnel` print it and end.
constexpr std::string_view kNoSuchFeature =
    "{\"Complete\":false,\"Text\":\"This control server does not offer this feature.\","
    "\"URL\":\"\",\"ShouldWait\":false}";

// Then "<id of the source>/to/<id of the destination>", as native/policy/ssh.cc writes it.
constexpr std::string_view kSshActionPath = "/machine/ssh/action/";

// A client would repeat for half an hour what it cannot fetch, while a person waits.
constexpr std::string_view kNoSshCheck =
    "{\"reject\":true,\"message\":\"This control server knows no such SSH check.\\r\\n\"}";

constexpr size_t kMaxAuditText = 1024;

// Runs `task` on the connection's strand, which also gives up this reference: a connection must not
// die on another thread.
template <class Task>
void post_to(std::shared_ptr<ts2021::Connection> connection, Task task) {
  if (!connection) return;
  ts2021::Connection* const target = connection.get();
  target->post([held = std::move(connection), task = std::move(task)]() mutable { task(); });
}

// A message of the map stream: 4 bytes of little-endian length, then the payload, whose pieces
// other streams may be sending too.
using MapFrame = std::vector<h2::Chunk>;

MapFrame map_frame(const control::MapMessage& message) {
  std::array<uint8_t, 4> len;
  ByteWriter(len).u32le(static_cast<uint32_t>(message.size()));
  MapFrame frame{h2::Chunk::copy_of(len)};
  frame.reserve(1 + message.pieces.size());
  for (const auto& piece : message.pieces) frame.push_back(h2::Chunk::share(piece));
  return frame;
}

}  // namespace

class Machine::Handler final : public h2::ServerHandler {
 public:
  Handler(control::Tailnet& tailnet, Clock clock, std::shared_ptr<ts2021::Deadlines> keep_alives,
          std::shared_ptr<const MachineOptions> options,
          const std::shared_ptr<ts2021::Connection>& connection)
      : tailnet_(tailnet),
        clock_(std::move(clock)),
        options_(std::move(options)),
        connection_(connection),
        keep_alives_(std::move(keep_alives)),
        // The handler lives as long as its connection takes tasks.
        keep_alive_alarm_(keep_alives_->add([this, weak = std::weak_ptr(connection)] {
          post_to(weak.lock(), [this] { keep_alive(); });
        })),
        machine_(tailcfg::MachineKey(connection->machine_key())),
        version_(connection->version()) {
    if (tailnet_.knows(machine_)) connection->set_standing(ts2021::Standing::kKnown);
  }

  void on_request(h2::StreamId id, h2::Request request, h2::HasBody) override {
    Stream& stream = open_[id];
    stream.method = std::move(request.method);
    const size_t query = request.path.find('?');
    stream.path = request.path.substr(0, query);
    if (query != std::string::npos) stream.query = request.path.substr(query + 1);
  }
  void on_body(h2::StreamId id, Bytes piece) override { open_[id].body += as_text(piece); }
  void on_request_end(h2::StreamId id) override {
    Stream& stream = open_[id];
    if (stopping_) {
      if (h2::ServerSession* session = http()) session->reset(id, h2::ErrorCode::kRefusedStream);
      return;
    }
    if (stream.path == "/machine/register" && stream.method == "POST") return enlist(id, stream);
    if (stream.path == "/machine/map" && stream.method == "POST") return map(id, stream);
    other(id, stream);
  }
  void on_writable(h2::StreamId id) override { write_map(id); }
  void on_closed(h2::StreamId id, h2::ErrorCode) override {
    const auto it = open_.find(id);
    if (it == open_.end()) return;
    if (it->second.ticket) tailnet_.abandon(*it->second.ticket);
    if (it->second.ssh_ticket) options_->ssh_checks->abandon(*it->second.ssh_ticket);
    if (it->second.session) it->second.session->close(clock_());
    const bool waited = it->second.waits;
    open_.erase(it);
    if (waited) wait_no_more();
  }
  // Clients hold their streams for ever: without this a stop would last until its grace is over,
  // and nobody could come back meanwhile.
  void on_shutdown() override {
    stopping_ = true;
    h2::ServerSession* session = http();
    if (session == nullptr) return;
    for (auto& [id, stream] : open_) {
      if (stream.session && !stream.waiting) {
        session->finish(id);
      } else if (stream.session || stream.ticket || stream.ssh_ticket) {
        session->reset(id, h2::ErrorCode::kCancel);
      }
      if (stream.session) std::exchange(stream.session, nullptr)->close(clock_());
    }
  }

  // On the strand.
  void keep_alive() {
    const WallTime now = clock_();
    next_keep_alive_ = WallTime::max();
    for (auto& [id, stream] : open_) {
      if (!stream.session) continue;
      const bool silent = !stream.waiting && now - stream.last_sent >= kKeepAlive;
      if (silent) {
        send(id, stream, map_frame(stream.session->keep_alive(now)));
        if (options_->on_keep_alive) options_->on_keep_alive();
      }
      keep_alive_by(std::max(stream.last_sent, now - kKeepAlive / 2) + kKeepAlive);
    }
    flush();
  }

 private:
  // What is sent before then does not move it: a connection that is not silent is woken once in
  // kKeepAlive too.
  void keep_alive_by(WallTime at) {
    next_keep_alive_ = std::min(next_keep_alive_, at);
    keep_alive_alarm_->set(next_keep_alive_.time_since_epoch());
  }

  struct Stream {
    std::string method;
    std::string path;
    std::string query;
    std::string body;
    std::optional<control::Tailnet::Ticket> ticket;        // a registration that may wait
    bool waits = false;                                    // and does, for a person
    std::optional<control::SshChecks::Ticket> ssh_ticket;  // a log-in that may wait
    std::shared_ptr<control::MapSession> session;
    std::optional<MapFrame> waiting;  // the stream's buffer is full
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

  // Everything but registration and maps.
  void other(h2::StreamId id, Stream& stream) {
    const std::string_view path = stream.path;
    const bool post = stream.method == "POST";
    if (path == control::kPingAnswerPath) return ping_answer(id, stream);
    if (path == "/machine/audit-log" && post) return audit(id, stream);
    // Clients before 1.90 tell of their health; nothing here depends on it.
    if (path == "/machine/update-health" && post) return answer(id, 204, "");
    if (path == "/machine/feature/query" && post) {
      return answer(id, 200, kNoSuchFeature, "application/json");
    }
    if (path.starts_with(kSshActionPath) && stream.method == "GET") return ssh_action(id, stream);
    if (path == "/machine/whoami") {
      return answer(id, 200, "{\"machineKey\":\"" + machine_.text() + "\"}", "application/json");
    }
    for (const NotOffered& n : kNotOffered) {
      if (path.starts_with(n.prefix)) return answer(id, 501, n.why);
    }
    const bool wrong_method = path == "/machine/register" || path == "/machine/map" ||
                              path == "/machine/audit-log" || path == "/machine/update-health" ||
                              path == "/machine/feature/query";
    answer(id, wrong_method ? 405 : 404, wrong_method ? "method not allowed" : "not found");
  }

  void ping_answer(h2::StreamId id, Stream& stream) {
    std::string_view ping;
    if (stream.query.starts_with("id=")) ping = std::string_view(stream.query).substr(3);
    const bool asked = options_->pings != nullptr &&
                       options_->pings->answered(ping, machine_, std::move(stream.body));
    answer(id, asked ? 200 : 404, "");
  }

  void audit(h2::StreamId id, Stream& stream) {
    const auto object = tailcfg::parse_json_object(stream.body);
    stream.body.clear();
    const auto key =
        tailcfg::NodeKey::parse(object ? tailcfg::text_member(*object, "NodeKey") : "");
    if (!key) return answer(id, 400, "the audit record is malformed");
    const auto node = tailnet_.node_of(machine_, *key);
    if (node == nullptr) return answer(id, 404, "node not found");
    if (options_->on_audit) {
      options_->on_audit(node->row.id,
                         tailcfg::text_member(*object, "Action").substr(0, kMaxAuditText),
                         tailcfg::text_member(*object, "Details").substr(0, kMaxAuditText));
    }
    answer(id, 200, "");
  }

  // Whether somebody may log in to this machine.
  void ssh_action(h2::StreamId id, Stream& stream) {
    const std::string_view pair = std::string_view(stream.path).substr(kSshActionPath.size());
    constexpr std::string_view kTo = "/to/";
    const size_t to = pair.find(kTo);
    const auto source = parse_uint64(pair.substr(0, to));
    const auto destination =
        to == std::string_view::npos ? std::nullopt : parse_uint64(pair.substr(to + kTo.size()));
    if (options_->ssh_checks == nullptr || !source || !destination) {
      return answer(id, 200, kNoSshCheck, "application/json");
    }
    // The answer may come at once, later, or from another thread: always by way of the strand.
    const auto weak = connection_;
    stream.ssh_ticket = options_->ssh_checks->ask(
        machine_, {*source, *destination, form_value(stream.query, "local_user")},
        form_value(stream.query, "auth_id"), clock_(),
        [this, weak, id](const tailcfg::SshAction& action) {
          post_to(weak.lock(), [this, id, action] {
            const auto it = open_.find(id);
            if (it == open_.end()) return;
            it->second.ssh_ticket.reset();
            std::string body;
            append_json(body, action);
            answer(id, 200, body, "application/json");
            flush();
          });
        });
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
    const auto connection = connection_.lock();
    if (connection == nullptr) return;
    const auto answered = std::make_shared<std::atomic<bool>>(false);
    stream.ticket = tailnet_.register_node(
        machine_, *request, clock_(),
        [this, weak = connection_, answered, id](tailcfg::RegisterResponse response) {
          *answered = true;
          post_to(weak.lock(), [this, id, response = std::move(response)] {
            finish_registration(id, response);
          });
        },
        connection->network());
    if (request->followup.empty() || *answered) return;
    stream.waits = true;
    connection->set_standing(ts2021::Standing::kWaiting);
  }

  void finish_registration(h2::StreamId id, const tailcfg::RegisterResponse& response) {
    const auto it = open_.find(id);
    if (it == open_.end()) return;
    it->second.ticket.reset();
    const bool waited = std::exchange(it->second.waits, false);
    if (response.machine_authorized) {
      recognise();
    } else if (waited) {
      wait_no_more();
    }
    answer(id, 200, to_json(response), "application/json");
    flush();
  }

  // The machine has a node here.
  void recognise() const {
    if (const auto c = connection_.lock()) c->set_standing(ts2021::Standing::kKnown);
  }
  void wait_no_more() const {
    for (const auto& [id, stream] : open_) {
      if (stream.waits) return;
    }
    if (const auto c = connection_.lock()) c->set_standing(ts2021::Standing::kStranger);
  }

  void map(h2::StreamId id, Stream& stream) {
    const auto request = tailcfg::parse_map_request(stream.body);
    stream.body.clear();
    if (!request.ok()) return answer(id, 400, request.error().what);
    if (version_ < control::kMinCapabilityVersion) return answer(id, 400, kTooOld);
    if (!request->stream && request->omit_peers) {
      const Status status = tailnet_.update(machine_, *request, clock_());
      if (status.ok()) recognise();
      return answer(id, status.ok() ? 200 : 404, status.ok() ? "" : status.error().what);
    }
    const auto weak = connection_;
    auto session = tailnet_.open_session(machine_, *request, clock_(), [this, weak, id] {
      auto connection = weak.lock();
      if (!connection) return;  // and this handler may be gone
      const int64_t woken_at = options_->monotonic_us ? options_->monotonic_us() : 0;
      post_to(std::move(connection), [this, id, woken_at] {
        const size_t written = write_map(id);
        flush();
        if (written > 0 && options_->on_fan_out && options_->monotonic_us) {
          options_->on_fan_out(options_->monotonic_us() - woken_at);
        }
      });
    });
    if (!session.ok()) return answer(id, 404, session.error().what);
    recognise();
    h2::ServerSession* http_session = http();
    if (http_session == nullptr || !http_session->respond(id, {200, {}}, h2::HasBody::kYes)) return;
    stream.session = std::move(session).value();
    keep_alive_by(clock_() + kKeepAlive);
    write_map(id);
    if (request->stream) return;
    // One whole message was asked for.
    stream.session.reset();
    if (!stream.waiting) http_session->finish(id);
  }

  void send(h2::StreamId id, Stream& stream, MapFrame frame) {
    h2::ServerSession* session = http();
    if (session == nullptr) return;
    stream.last_sent = clock_();
    if (session->write(id, frame) == h2::Write::kFull) stream.waiting = std::move(frame);
  }

  // Everything that the session has, as long as the client reads; returns how many messages.
  size_t write_map(h2::StreamId id) {
    const auto it = open_.find(id);
    if (it == open_.end()) return 0;
    Stream& stream = it->second;
    size_t written = 0;
    if (stream.waiting) send(id, stream, *std::exchange(stream.waiting, std::nullopt));
    while (!stream.waiting && stream.session) {
      const auto payload = stream.session->take(clock_());
      if (!payload) break;
      send(id, stream, map_frame(*payload));
      ++written;
    }
    const bool over = stream.session ? stream.session->ended() : true;
    if (stream.waiting || !over) return written;
    if (h2::ServerSession* session = http()) session->finish(id);
    return written;
  }

  control::Tailnet& tailnet_;
  const Clock clock_;
  const std::shared_ptr<const MachineOptions> options_;
  const std::weak_ptr<ts2021::Connection> connection_;
  const std::shared_ptr<ts2021::Deadlines> keep_alives_;
  const std::shared_ptr<ts2021::Deadlines::Alarm> keep_alive_alarm_;
  const tailcfg::MachineKey machine_;
  const uint16_t version_;
  std::map<h2::StreamId, Stream> open_;
  bool stopping_ = false;
  WallTime next_keep_alive_ = WallTime::max();
};

Machine::Machine(control::Tailnet& tailnet, Clock clock, MachineOptions options)
    : tailnet_(tailnet),
      clock_(std::move(clock)),
      options_(std::make_shared<const MachineOptions>(std::move(options))),
      keep_alives_(std::make_shared<ts2021::Deadlines>()) {}
Machine::~Machine() = default;

std::unique_ptr<h2::ServerHandler> Machine::serve(
    const std::shared_ptr<ts2021::Connection>& connection) {
  return std::make_unique<Handler>(tailnet_, clock_, keep_alives_, options_, connection);
}

void Machine::tick() { keep_alives_->tick(clock_().time_since_epoch()); }

}  // namespace es::api

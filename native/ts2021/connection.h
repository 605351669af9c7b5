// One control connection of a client: a stream that left HTTP, Noise records on it, HTTP/2 inside.
//
// Flow: serve() answers the initiation (response, optional early payload and HTTP/2 settings leave
// in one write), then HTTP/2 requests come to the handler that `Options::make_handler` made for
// this connection. A malformed initiation gets an error frame, one that does not decrypt only a
// closed connection. The machine key is proven by the handshake, which anybody may finish with a
// key of their own: what it may do is the handler's business, and the handler says what it found
// out.
//
// Bounds: the client must send its HTTP/2 preface within preface_timeout, and its machine must be
// known within stranger_timeout of the handshake, or wait for a person (Standing); until then it
// has stranger_limits, and may have to give way to newcomers (HalfOpen). A write that takes longer
// than write_timeout ends the connection; HTTP/2's bounds are h2::ServerLimits. Plaintext is pulled
// from HTTP/2 only when the last write is through, so a client that does not read holds at most one
// batch besides its streams' bounded buffers. Threads: everything on the stream's strand, but for
// post() and the reference count. Lifetime: lives as long as its stream; others hold a weak_ptr and
// reach it with post().
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/h2/server_session.h"
#include "native/noise/handshake.h"
#include "native/noise/record.h"
#include "native/ts2021/deadlines.h"
#include "native/ts2021/half_open.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace es::net {
class ByteStream;
}

namespace es::ts2021 {

class Connection;

// Made for each connection that passed the handshake; destroyed after the last on_closed().
// Called on the connection's strand. A handler keeps a reference or a weak_ptr: the connection owns
// it.
using MakeHandler =
    std::function<std::unique_ptr<h2::ServerHandler>(const std::shared_ptr<Connection>&)>;

// Of the machine at the other end.
enum class Standing : uint8_t {
  kStranger,
  kWaiting,  // a person is to decide: it has time, as far as there are places for that
  kKnown,    // for as long as the connection lives
};

// What a registration needs; a description of a machine is a few kilobytes.
inline constexpr h2::ServerLimits kStrangerLimits = {.max_concurrent_streams = 8,
                                                     .max_header_bytes = 8U << 10U,
                                                     .max_body_bytes = 128U << 10U,
                                                     .max_unfinished_bytes = 128U << 10U,
                                                     .max_response_buffer = 64U << 10U,
                                                     .max_session_buffer = 128U << 10U,
                                                     .max_requests = 100};

struct Options {
  h2::ServerLimits limits{};  // of a machine that is known
  h2::ServerLimits stranger_limits = kStrangerLimits;
  Millis preface_timeout{10000};
  Millis stranger_timeout{30000};
  Millis write_timeout{30000};
  std::function<Millis()> clock{};  // monotonic
  HalfOpen* half_open = nullptr;    // outlives the server; null: no limit
  Deadlines* deadlines = nullptr;   // the same; null: nobody is late but in writing
  MakeHandler make_handler{};
};

// What the handshake needs. Ephemeral and challenge are fresh random bytes for each connection.
struct Keys {
  noise::Key static_private{};
  noise::Key ephemeral_private{};
  std::optional<noise::Key> challenge_public;  // without it no early payload is sent
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // The error says why the handshake failed, for a log; the stream is taken care of either way.
  // `place`, of Options::half_open, is given back when the machine is known, or with the
  // connection.
  static Status serve(std::unique_ptr<net::ByteStream> stream, const Keys& keys, Bytes initiation,
                      const Options& options, HalfOpen::Place place = {});
  ~Connection();

  const noise::Key& machine_key() const { return session_.peer_static; }
  // The client's capability version.
  uint16_t version() const { return session_.version; }
  // Whom the client counts against.
  const Network& network() const { return network_; }

  // What the handler has found out about the machine; a machine that is known stays so. Already in
  // make_handler, or on the strand; outside of the handler's events call flush() after.
  void set_standing(Standing standing);

  // The HTTP/2 session: answer requests here. Outside of the handler's events call flush() after.
  h2::ServerSession& http() { return *http_; }
  void flush();

  // Runs `task` on the strand, unless the connection has ended; from any thread.
  void post(std::function<void()> task);
  // Takes no new streams, lets the open ones end, and asks the handler to end those that wait.
  void shutdown();
  // Ends the connection now.
  void close();

 private:
  Connection(std::unique_ptr<net::ByteStream> stream, const noise::Session& session,
             const Options& options);
  Status start(Bytes response, const std::optional<noise::Key>& challenge_public);
  void read();
  void on_read(const Result<size_t>& len);
  void pump();
  void on_written(const Status& status);
  void trust();
  // Runs it on the strand.
  std::function<void()> from_any_thread(void (Connection::*task)());
  void give_way();
  // Says good-bye as far as the client reads.
  void leave();
  void check_deadlines();
  void set_alarm();
  void end();

  noise::Session session_;
  Options options_;
  std::optional<noise::RecordSender> sender_;
  std::optional<noise::RecordReceiver> receiver_;
  std::unique_ptr<h2::ServerHandler> handler_;
  std::optional<h2::ServerSession> http_;
  std::vector<uint8_t> input_;
  std::vector<uint8_t> output_;
  bool in_event_ = false;  // inside a call of http_: what the handler asks for comes behind it
  bool closing_ = false;   // close() was asked for meanwhile
  bool writing_ = false;
  bool broken_ = false;  // HTTP/2 or records failed: what is left is written, then it ends
  bool ended_ = false;
  bool leaving_ = false;  // broken_, and nothing more is read
  bool greeted_ = false;  // the client's first record came
  Standing standing_ = Standing::kStranger;
  HalfOpen::Place place_;  // until the machine is known and has greeted
  Network network_;
  Millis known_by_ = Millis::max();  // the connection ends then
  std::shared_ptr<Deadlines::Alarm> alarm_;
  std::unique_ptr<net::ByteStream> stream_;  // last: dies before the buffers that it uses
};

}  // namespace es::ts2021

// The server's half of one HTTP/2 connection (prior knowledge), over whatever carries its bytes.
//
// Bytes go in with receive() and come out with take_output(); nothing is written until it is asked
// for, so a peer that does not read costs only what is bounded here. Requests and their bodies are
// events of the Handler; responses may stream for as long as the connection lives.
//
// Bounds: concurrent streams, header count and size (431), body size (413), all unfinished request
// bodies together, the time for one request to come in whole (408), bytes that wait in a response
// (Write::kFull) and in all of them (what would exceed that is reset), and the rate of frames that
// cost us more than the peer: resets, pings, settings, priorities, empty data. Whoever exceeds the
// rate gets GOAWAY(ENHANCE_YOUR_CALM). The limits may be others once more is known of the peer.
// Errors: receive() fails with kReconnect; flush what take_output() still has (a GOAWAY), then
// close. Smaller offences of the peer end a stream or the connection by nghttp2's own answers.
// Threads: one caller. The Handler is called inside receive(), take_output() and abort(), and may
// call respond(), write(), finish(), reset() and shutdown() from there, nothing else.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/h2/types.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace es::h2 {

struct ServerLimits {
  uint32_t max_concurrent_streams = 250;
  uint32_t stream_window = 256U << 10U;    // that a client may send ahead, a stream
  uint32_t connection_window = 1U << 20U;  // and in all
  size_t max_headers = 100;
  size_t max_header_bytes = 32U << 10U;     // names and values of one request
  size_t max_body_bytes = 1U << 20U;        // of one request
  size_t max_unfinished_bytes = 4U << 20U;  // bodies of requests that have not ended
  size_t max_response_buffer = 1U << 20U;   // waiting in one response
  size_t max_session_buffer = 4U << 20U;    // and in all; a response counts up to its own limit
  Millis request_timeout{30000};            // from the head's first byte to the end of the body
  uint32_t max_requests = 0;                // then GOAWAY, and the open ones may end; 0: no limit
  uint32_t resets_per_second = 20, resets_burst = 200;
  uint32_t control_per_second = 20, control_burst = 500;  // ping, settings, priority, empty data
};

class ServerHandler {
 public:
  virtual ~ServerHandler() = default;
  // Every stream that is announced here ends with exactly one on_closed().
  virtual void on_request(StreamId id, Request request, HasBody has_body) = 0;
  virtual void on_body(StreamId id, Bytes piece) = 0;
  // The request is complete; also called when it has no body.
  virtual void on_request_end(StreamId id) = 0;
  // After Write::kFull: half of the buffer is free again.
  virtual void on_writable(StreamId id) = 0;
  // The stream is over: answered, reset by either side, or the connection ended. A body above its
  // limit is answered with 413 and ends here, or is reset with kEnhanceYourCalm when the response
  // had begun.
  virtual void on_closed(StreamId id, ErrorCode code) = 0;
  // From the owner of the session when it calls shutdown(): end what would wait for long.
  virtual void on_shutdown() {}
};

class ServerSession {
 public:
  static Result<ServerSession> create(const ServerLimits& limits, ServerHandler& handler);
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;
  // Calls no handler; abort() does.
  ~ServerSession();

  // `now` is any monotonic time.
  Status receive(Bytes stream, Millis now);

  // When expire() has something to do; Millis::max() while every request has come in whole.
  Millis next_deadline() const;
  // Refuses what should have come by now. take_output() afterwards.
  void expire(Millis now);

  // For requests that begin from now on; windows and rates stay as they were. take_output()
  // afterwards.
  void set_limits(const ServerLimits& limits);

  // Appends frames until `out` holds at least `enough` bytes or there is nothing to send.
  // False when nothing was appended.
  bool take_output(size_t enough, std::vector<uint8_t>& out);

  // True when both sides are done (after GOAWAY, or a connection error was answered): once
  // take_output() yields nothing, close.
  bool wants_close() const;

  // Once for each request. HasBody::kYes: write() and finish() follow. False when the stream is
  // gone or was answered already.
  bool respond(StreamId id, const Response& response, HasBody has_body);
  Write write(StreamId id, const Chunk& chunk);
  // All of them or none.
  Write write(StreamId id, const std::vector<Chunk>& chunks);
  void finish(StreamId id);
  // Bytes that wait in the response.
  size_t buffered(StreamId id) const;
  void reset(StreamId id, ErrorCode code);

  // Takes no new streams and lets the open ones end.
  void shutdown();
  // The carrier is gone: ends every stream with kCancel.
  void abort();

  size_t num_streams() const;

 private:
  class Impl;
  explicit ServerSession(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace es::h2

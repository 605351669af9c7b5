// The client's half of one HTTP/2 connection: for tests and for the load tool.
//
// As server_session.h: bytes in, bytes out, events. It announces the windows that Go's client
// announces (4 MiB a stream, 1 GiB a connection), so a server's flow control meets real values.
// Bounds: response bodies are not kept here; `manual_windows` leaves it to consume() to open the
// windows again, so that a test can be a slow reader.
// Threads: one caller. Events come inside receive() and take_output(); request() and reset() may
// be called from there.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/h2/types.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace es::h2 {

class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  virtual void on_response(StreamId /*id*/, Response /*response*/) {}
  virtual void on_body(StreamId /*id*/, Bytes /*piece*/) {}
  // The response is complete, or the stream was reset.
  virtual void on_closed(StreamId /*id*/, ErrorCode /*code*/) {}
  // The server takes no new streams.
  virtual void on_goaway(ErrorCode /*code*/) {}
};

enum class Windows : uint8_t { kAutomatic, kManual };

class ClientSession {
 public:
  static Result<ClientSession> create(ClientEvents& events, Windows windows = Windows::kAutomatic);
  ClientSession(ClientSession&&) noexcept;
  ClientSession& operator=(ClientSession&&) noexcept;
  ~ClientSession();

  Status receive(Bytes stream);
  bool take_output(size_t enough, std::vector<uint8_t>& out);
  bool wants_close() const;

  // Sends a request with a body (which may be empty: then there is none). kRetryLater when the
  // server takes no more streams.
  Result<StreamId> request(const Request& request, Chunk body);
  void reset(StreamId id, ErrorCode code);
  // Only with Windows::kManual: `len` bytes of the stream's body were used.
  void consume(StreamId id, size_t len);
  void ping();

 private:
  class Impl;
  explicit ClientSession(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace es::h2

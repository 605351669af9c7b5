// A connection that a handler has taken over after an Upgrade: bytes in, bytes out, deadlines.
//
// Flow: a route added with Router::add_upgrade gets an `Upgrade` for each request that passed the
// gate and asks for one (RFC 9110 7.8). The handler either refuses it (an ordinary answer; the
// connection goes on speaking HTTP/1.1) or takes the stream: take() sends the 101, and the first
// bytes read are those that the client sent behind its head.
//
// Threads: a stream belongs to one strand. The upgrade handler and all callbacks run on it, and
// every method but post() must be called on it. Callbacks never run inside the call that they
// belong to. At most one read and one write may be pending. Errors: Action::kReconnect; the
// stream is of no more use then. Destroying the stream closes it and drops pending callbacks.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/net/http.h"

#include <functional>
#include <memory>
#include <vector>

namespace es::net {

class ByteStream {
 public:
  using ReadDone = std::function<void(Result<size_t>)>;
  using WriteDone = std::function<void(Status)>;

  virtual ~ByteStream() = default;

  // Reads at least one byte; 0 means that the peer has finished sending. `into` stays the
  // caller's and must live until `done` has run or the stream is destroyed.
  virtual void read_some(MutableBytes into, ReadDone done) = 0;
  // Writes all of `bytes`, which must live until `done` has run or the stream is destroyed.
  virtual void write(Bytes bytes, WriteDone done) = 0;
  // Runs `task` on the stream's strand; from any thread. Not run any more once the stream is
  // destroyed.
  virtual void post(std::function<void()> task) = 0;

  // A read (write) that takes longer than this ends the stream. Zero: for ever. Coarse: the
  // server's tick (100 ms by default) late at most.
  virtual void set_timeouts(Millis read, Millis write) = 0;
  // Runs once when the server begins to stop; the stream is closed by force after the grace time.
  virtual void on_server_stop(std::function<void()> task) = 0;
  // Ends the connection; pending callbacks get an error.
  virtual void close() = 0;
};

// One request that asks to leave HTTP. Move-only; destroyed unanswered it is a 500.
class Upgrade {
 public:
  class Impl;
  explicit Upgrade(std::unique_ptr<Impl> impl);
  Upgrade(Upgrade &&) noexcept;
  Upgrade &operator=(Upgrade &&) noexcept;
  ~Upgrade();

  const Request &request() const;

  // Answers as HTTP; the connection is kept.
  void refuse(Response response) &&;
  // Sends `101 Switching Protocols` with these fields (`Upgrade` among them; `Connection: Upgrade`
  // is added) and hands over the connection. Null when the connection has ended meanwhile.
  std::unique_ptr<ByteStream> take(std::vector<Field> fields) &&;
  // Hands over the connection with nothing sent (DERP fast start). Null as above.
  std::unique_ptr<ByteStream> take_silently() &&;

 private:
  friend class WebSocket;
  std::unique_ptr<Impl> impl_;
};

using UpgradeHandler = std::function<void(Upgrade)>;

}  // namespace es::net

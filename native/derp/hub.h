// Drives the relay's state over real connections: streams that a handler took over after
// `Upgrade: DERP` (or a WebSocket made into a stream).
//
// A connection that is idle costs a read buffer of 4 KiB; one that carries traffic reads up to
// 64 KiB at once, and everything that waits for it leaves in one write. A write that takes longer
// than write_timeout ends the connection.
//
// Threads: all methods from any thread, serve() on the stream's own strand. Streams may live on
// many strands; the relay's state is behind one mutex that is never held while waiting. The
// environment's functions are called from any of these threads with that mutex held: they are quick
// and do not call the hub.
// Lifetime: outlives every stream given to it (destroy it after the net server has stopped).
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/derp/server.h"

#include <functional>
#include <memory>
#include <vector>

namespace es::net {
class ByteStream;
}

namespace es::derp {

struct HubEnvironment {
  std::function<Millis()> clock;             // monotonic, from any start
  std::function<void(MutableBytes)> random;  // cryptographic
  // kLater: call Hub::admission_decided(id, ...) from anywhere, later.
  std::function<Admission(ConnId, const Key& client, const Endpoint& source)> admit;
  // A connection that the relay itself ended, and why; may be empty.
  std::function<void(const Endpoint& source, CloseReason)> on_close;
};

struct HubConfig {
  ServerConfig server;
  Millis write_timeout{2000};
};

class Hub {
 public:
  static Result<std::unique_ptr<Hub>> create(const HubConfig& config, HubEnvironment environment);
  ~Hub();

  const Key& public_key() const;

  // Serves the stream until it ends; closes it at once at a limit.
  void serve(std::unique_ptr<net::ByteStream> stream, const Endpoint& source);

  // Keep-alives, deadlines, clients over their rate: call it every 100 ms to 1 s.
  void tick();

  void admission_decided(ConnId id, Admission decision);
  // Ends every connection of a key; returns how many.
  size_t disconnect(const Key& client);
  void announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms);

  ServerStats stats() const;
  std::vector<ClientView> clients() const;

 private:
  class Impl;
  explicit Hub(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace es::derp

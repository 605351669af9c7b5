// The client's half of a DERP connection: for tests, for our own health check of the relay, and
// for the load tool.
//
// Pure: receive() takes the server's bytes, take_output() yields ours; keys and nonce are given.
// Pings of the server are answered by themselves. Errors end the connection (kReconnect).
// Threads: one caller; Events are called inside receive() and must not call back into it.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/derp/frames.h"
#include "native/derp/info.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace es::derp {

class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  virtual void on_connected(const ServerInfo&) {}
  virtual void on_packet(const Key& /*source*/, Bytes /*packet*/) {}
  virtual void on_peer_gone(const Key& /*peer*/, uint8_t /*reason*/) {}
  virtual void on_keep_alive() {}
  virtual void on_pong(const PingData&) {}
  virtual void on_health(std::string_view /*text*/) {}
  virtual void on_restarting(uint32_t /*reconnect_in_ms*/, uint32_t /*try_for_ms*/) {}
};

class Client {
 public:
  // `nonce` is fresh random bytes.
  static Result<Client> create(const Key& private_key, const Nonce& nonce, const ClientInfo& info,
                               ClientEvents& events);

  const Key& public_key() const { return public_key_; }
  bool connected() const { return connected_; }
  const std::optional<Key>& server_key() const { return server_key_; }

  Status receive(Bytes stream);

  // Refuses a packet above kMaxPacketLen.
  Status send(const Key& destination, Bytes packet);
  void note_preferred(Preferred preferred) { append_note_preferred(preferred, output_); }
  void ping(const PingData& data) { append_ping(FrameType::kPing, data, output_); }

  // What is to be sent; the caller may hold it back, it is not bounded here.
  std::vector<uint8_t> take_output() { return std::exchange(output_, {}); }

 private:
  Client(const Key& private_key, const Nonce& nonce, const ClientInfo& info, ClientEvents& events)
      : private_key_(private_key), nonce_(nonce), info_(info), events_(&events) {}

  Status handle(const Frame& frame);
  Status greet(Bytes payload);

  Key private_key_;
  Key public_key_{};
  Nonce nonce_;
  ClientInfo info_;
  ClientEvents* events_;
  FrameReader reader_{Side::kClient};
  std::optional<Key> server_key_;
  std::optional<SharedBox> box_;
  bool connected_ = false;
  std::vector<uint8_t> output_;
};

}  // namespace es::derp

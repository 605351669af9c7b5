// A WebSocket as a byte stream: what browsers' and WASM clients' ts2021 and DERP run over.
//
// Source: tailscale net/wsconn. Messages are binary and their boundaries mean nothing; a text
// message ends the stream. Ours are at most 32768 bytes, which is what Go's library accepts.
// Differences from a socket's stream: the WebSocket's idle timeout (with pings) stands in for
// set_timeouts(), and when the server stops the WebSocket is closed by itself, so on_server_stop()
// does not call back.
// Threads: as ByteStream.
#pragma once

#include "native/net/byte_stream.h"
#include "native/net/websocket.h"

#include <memory>

namespace es::net {

inline constexpr size_t kMaxStreamMessage = 32768;

std::unique_ptr<ByteStream> stream_over(std::unique_ptr<WebSocket> socket);

// Accepts the handshake and hands over the stream; a client that did not offer `protocol` is
// closed with 1008, as the reference does.
void accept_stream(Upgrade upgrade, std::string_view protocol,
                   std::function<void(std::unique_ptr<ByteStream>)> done);

}  // namespace es::net

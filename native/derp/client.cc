#include "native/derp/client.h"

#include <algorithm>

namespace es::derp {

Result<Client> Client::create(const Key& private_key, const Nonce& nonce, const ClientInfo& info,
                              ClientEvents& events) {
  Client client(private_key, nonce, info, events);
  ES_TRY(client.public_key_, derp::public_key(private_key));
  return client;
}

Status Client::receive(Bytes stream) {
  reader_.begin(stream);
  for (;;) {
    ES_TRY(const std::optional<Frame> frame, reader_.next());
    if (!frame) break;
    ES_CHECK(handle(*frame));
  }
  reader_.end();
  return {};
}

Status Client::send(const Key& destination, Bytes packet) {
  if (packet.size() > kMaxPacketLen) return refuse("the packet is too long");
  append_packet(FrameType::kSendPacket, destination, packet, output_);
  return {};
}

Status Client::greet(Bytes payload) {
  if (server_key_) return reconnect("a second server key");
  ES_TRY(server_key_, parse_server_key(payload));
  ES_TRY(box_, SharedBox::create(private_key_, *server_key_));
  append_client_info(public_key_, *box_, nonce_, info_, output_);
  return {};
}

Status Client::handle(const Frame& frame) {
  const Bytes payload = frame.payload;
  if (frame.type == FrameType::kServerKey) return greet(payload);
  if (!box_) return reconnect("the server did not send its key first");
  switch (frame.type) {
    case FrameType::kServerInfo: {
      ES_TRY(const std::vector<uint8_t> json, box_->open(payload));
      ES_TRY(const ServerInfo info, parse_server_info(as_text(json)));
      connected_ = true;
      events_->on_connected(info);
      break;
    }
    case FrameType::kRecvPacket:
      events_->on_packet(key_in(payload), payload.subspan(kKeyLen));
      break;
    case FrameType::kPeerGone: {
      const PeerGone gone = parse_peer_gone(payload);
      events_->on_peer_gone(gone.peer, gone.reason);
      break;
    }
    case FrameType::kKeepAlive:
      events_->on_keep_alive();
      break;
    case FrameType::kPing:
    case FrameType::kPong: {
      PingData data;
      std::copy_n(payload.begin(), data.size(), data.begin());
      if (frame.type == FrameType::kPong) {
        events_->on_pong(data);
      } else {
        append_ping(FrameType::kPong, data, output_);
      }
      break;
    }
    case FrameType::kHealth:
      events_->on_health(as_text(payload));
      break;
    case FrameType::kRestarting: {
      ByteReader reader(payload);
      const uint32_t reconnect_in_ms = reader.u32be().value();
      events_->on_restarting(reconnect_in_ms, reader.u32be().value());
      break;
    }
    default:
      break;
  }
  return {};
}

}  // namespace es::derp

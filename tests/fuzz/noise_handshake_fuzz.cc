// Both sides of the handshake on hostile bytes; the first byte picks the side. A refusal by the
// server says so exactly when the message was malformed, and what either side accepts has the one
// right length.
#include "native/noise/handshake.h"
#include "native/noise/record.h"

#include <cstdlib>

namespace {

es::noise::Key filled(uint8_t with) {
  es::noise::Key key;
  key.fill(with);
  return key;
}

void server(es::Bytes data) {
  const auto accepted = es::noise::respond(filled(1), filled(2), data);
  if (accepted.ok()) {
    if (data.size() != es::noise::kInitiationLen) std::abort();
    if (!es::noise::RecordSender::create(accepted->session.send_key).ok()) std::abort();
  } else if ((accepted.error().reply == es::noise::HandshakeError::Reply::kErrorFrame) !=
             (data.size() != es::noise::kInitiationLen || data[2] != 1 || data[3] != 0 ||
              data[4] != 96)) {
    std::abort();
  }
}

void client(es::Bytes data) {
  static const auto initiator = es::noise::Initiator::create(
      filled(3), es::noise::x25519_public(filled(1)).value(), filled(4), 113);
  const auto len = es::noise::Initiator::frame_len(data);
  const auto session = initiator->finish(data);
  if (session.ok() && (!len.ok() || *len != data.size())) std::abort();
  (void)es::noise::Initiator::error_text(data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const es::Bytes rest = es::Bytes(data, size).subspan(1);
  if (data[0] % 2 == 0) {
    server(rest);
  } else {
    client(rest);
  }
  return 0;
}

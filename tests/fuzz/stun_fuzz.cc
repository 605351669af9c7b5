// A datagram that is accepted is answered, and the answer names its source.
#include "native/stun/responder.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static es::stun::Responder responder({.per_second = 0, .burst = UINT32_MAX, .table_sets = 1}, 1);
  const es::Bytes datagram(data, size);
  const auto tx_id = es::stun::parse_request(datagram);
  const auto source = es::stun::Endpoint::v4({192, 0, 2, 1}, 4711);
  std::array<uint8_t, es::stun::kMaxResponseLen> reply;
  const auto len = responder.handle(datagram, source, es::Millis(0), reply);
  if (tx_id.has_value() != len.has_value()) std::abort();
  if (len && es::stun::parse_response(*tx_id, es::Bytes(reply).first(*len)) != source) std::abort();
  (void)es::stun::parse_response(es::stun::TxId{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, datagram);
  return 0;
}

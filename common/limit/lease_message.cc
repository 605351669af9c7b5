#include "common/limit/lease_message.h"

namespace es::limit {

LeaseRequestBytes encode(const LeaseRequest& request) {
  LeaseRequestBytes bytes{};
  ByteWriter out(bytes);
  out.u8(kLeaseVersion);
  out.u8(0);
  out.u16be(request.previous_used);
  out.u32be(request.nonce);
  out.u64be(request.previous_id);
  out.u32be(request.last_use_age_ms);
  out.u32be(request.wanted);
  out.u32be(request.unleased_age_ms);
  out.u16be(request.unleased);
  out.u16be(0);
  return bytes;
}

LeaseReplyBytes encode(const LeaseReply& reply) {
  LeaseReplyBytes bytes{};
  ByteWriter out(bytes);
  out.u8(kLeaseVersion);
  out.u8(reply.granted() ? 1 : 0);
  out.u16be(reply.permits);
  out.u32be(reply.nonce);
  out.u64be(reply.lease_id);
  out.u32be(reply.duration_ms);
  out.u32be(reply.retry_after_ms);
  out.u32be(reply.remaining);
  out.u32be(reply.reset_after_ms);
  return bytes;
}

Result<LeaseRequest> decode_lease_request(Bytes data) {
  if (data.size() != kLeaseRequestLen) return refuse("lease request: wrong length");
  ByteReader in(data);
  if (*in.u8() != kLeaseVersion) return refuse("lease request: unknown version");
  if (*in.u8() != 0) return refuse("lease request: reserved byte set");
  LeaseRequest request;
  request.previous_used = *in.u16be();
  request.nonce = *in.u32be();
  request.previous_id = *in.u64be();
  request.last_use_age_ms = *in.u32be();
  request.wanted = *in.u32be();
  request.unleased_age_ms = *in.u32be();
  request.unleased = *in.u16be();
  if (*in.u16be() != 0) return refuse("lease request: reserved bytes set");
  if (request.wanted == 0) return refuse("lease request: wants nothing");
  if (request.previous_id == 0 && request.previous_used != 0) {
    return refuse("lease request: use of no lease");
  }
  if (request.previous_used == 0 && request.last_use_age_ms != 0) {
    return refuse("lease request: age of no use");
  }
  if (request.unleased == 0 && request.unleased_age_ms != 0) {
    return refuse("lease request: age of no grant");
  }
  return request;
}

Result<LeaseReply> decode_lease_reply(Bytes data) {
  if (data.size() != kLeaseReplyLen) return refuse("lease reply: wrong length");
  ByteReader in(data);
  if (*in.u8() != kLeaseVersion) return refuse("lease reply: unknown version");
  const uint8_t outcome = *in.u8();
  LeaseReply reply;
  reply.permits = *in.u16be();
  reply.nonce = *in.u32be();
  reply.lease_id = *in.u64be();
  reply.duration_ms = *in.u32be();
  reply.retry_after_ms = *in.u32be();
  reply.remaining = *in.u32be();
  reply.reset_after_ms = *in.u32be();
  if (outcome > 1) return refuse("lease reply: unknown outcome");
  const bool granted = outcome == 1;
  if (granted != (reply.permits > 0) || granted != (reply.lease_id != 0) ||
      granted != (reply.duration_ms > 0) || (granted && reply.retry_after_ms != 0)) {
    return refuse("lease reply: fields contradict each other");
  }
  return reply;
}

}  // namespace es::limit

// The two messages between an isolate that spends permits and the authority that counts them.
//
// Request (32 bytes), big-endian:
//   0  u8   version, kLeaseVersion
//   1  u8   zero
//   2  u16  permits of the previous lease that were used
//   4  u32  nonce, echoed in the reply
//   8  u64  id of the previous lease, 0 for none
//  16  u32  ms since the last use of the previous lease, as this message leaves; 0 if none was used
//  20  u32  permits wanted at once, at least 1
//  24  u32  ms since the last grant without a lease, as this message leaves; 0 if there was none
//  28  u16  grants without a lease that were not reported yet
//  30  u16  zero
// Reply (32 bytes), big-endian:
//   0  u8   version, kLeaseVersion
//   1  u8   outcome: 0 refused, 1 granted
//   2  u16  permits; 0 exactly when refused
//   4  u32  nonce of the request
//   8  u64  id of this lease; 0 exactly when refused
//  16  u32  ms for which the lease may be used, counted from the request's departure; 0 when
//  refused 20  u32  ms until asking again makes sense; 0 when granted 24  u32  permits left at the
//  authority 28  u32  ms until nothing that the client used counts any more
// Strict: any other length, version, outcome or a contradiction between fields is refused.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"

#include <array>
#include <cstdint>

namespace es::limit {

inline constexpr uint8_t kLeaseVersion = 2;
inline constexpr size_t kLeaseRequestLen = 32;
inline constexpr size_t kLeaseReplyLen = 32;

struct LeaseRequest {
  uint32_t nonce = 0;
  uint64_t previous_id = 0;
  uint16_t previous_used = 0;
  uint32_t last_use_age_ms = 0;
  uint32_t wanted = 1;
  uint32_t unleased_age_ms = 0;
  uint16_t unleased = 0;

  friend bool operator==(const LeaseRequest&, const LeaseRequest&) = default;
};

struct LeaseReply {
  uint32_t nonce = 0;
  uint64_t lease_id = 0;
  uint16_t permits = 0;
  uint32_t duration_ms = 0;
  uint32_t retry_after_ms = 0;
  uint32_t remaining = 0;
  uint32_t reset_after_ms = 0;

  bool granted() const { return permits > 0; }
  friend bool operator==(const LeaseReply&, const LeaseReply&) = default;
};

using LeaseRequestBytes = std::array<uint8_t, kLeaseRequestLen>;
using LeaseReplyBytes = std::array<uint8_t, kLeaseReplyLen>;

LeaseRequestBytes encode(const LeaseRequest& request);
LeaseReplyBytes encode(const LeaseReply& reply);
Result<LeaseRequest> decode_lease_request(Bytes data);
Result<LeaseReply> decode_lease_reply(Bytes data);

}  // namespace es::limit

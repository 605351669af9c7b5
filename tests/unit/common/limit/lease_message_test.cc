#include "common/limit/lease_message.h"

#include "common/base/hex.h"

#include <catch2/catch.hpp>

#include <vector>

namespace es::limit {

TEST_CASE("lease messages have the documented layout, both ways") {
  const LeaseRequest request{0x01020304, 0x1112131415161718, 7, 0x21222324,
                             0x31323334, 0x41424344,         9};
  const auto request_bytes = encode(request);
  CHECK(hex_encode(request_bytes) ==
        "02000007010203041112131415161718"
        "21222324313233344142434400090000");
  CHECK(*decode_lease_request(request_bytes) == request);

  const LeaseReply granted{1, 2, 11, 15'000, 0, 109, 60'000};
  CHECK(hex_encode(encode(granted)) ==
        "0201000b000000010000000000000002"
        "00003a98000000000000006d0000ea60");
  CHECK(*decode_lease_reply(encode(granted)) == granted);

  const LeaseReply refused{1, 0, 0, 0, 30'000, 0, 60'000};
  CHECK(hex_encode(encode(refused)) ==
        "02000000000000010000000000000000"
        "00000000000075300000000000"
        "00ea60");
  CHECK(*decode_lease_reply(encode(refused)) == refused);
}

TEST_CASE("lease messages of any other length are refused") {
  std::vector<uint8_t> request(kLeaseRequestLen + 1);
  std::vector<uint8_t> reply(kLeaseReplyLen + 1);
  const auto request_bytes = encode(LeaseRequest{1, 0, 0, 0, 1});
  const auto reply_bytes = encode(LeaseReply{1, 2, 3, 4, 0, 5, 6});
  std::copy(request_bytes.begin(), request_bytes.end(), request.begin());
  std::copy(reply_bytes.begin(), reply_bytes.end(), reply.begin());
  for (size_t len = 0; len <= kLeaseRequestLen + 1; ++len) {
    CHECK(decode_lease_request(Bytes(request).first(len)).ok() == (len == kLeaseRequestLen));
  }
  for (size_t len = 0; len <= kLeaseReplyLen + 1; ++len) {
    CHECK(decode_lease_reply(Bytes(reply).first(len)).ok() == (len == kLeaseReplyLen));
  }
}

TEST_CASE("lease messages that contradict themselves are refused") {
  const auto request_ok = [](const LeaseRequest& r) {
    return decode_lease_request(encode(r)).ok();
  };
  CHECK(request_ok({1, 5, 3, 9, 1}));
  CHECK_FALSE(request_ok({1, 5, 3, 9, 0}));  // wants nothing
  CHECK_FALSE(request_ok({1, 0, 3, 0, 1}));  // used no lease
  CHECK_FALSE(request_ok({1, 5, 0, 9, 1}));  // age of no use
  CHECK(request_ok({1, 0, 0, 0, 1, 7, 2}));
  CHECK_FALSE(request_ok({1, 0, 0, 0, 1, 7, 0}));  // age of no grant
  const auto reply_ok = [](const LeaseReply& r) { return decode_lease_reply(encode(r)).ok(); };
  CHECK(reply_ok({1, 5, 3, 9, 0, 0, 0}));
  CHECK_FALSE(reply_ok({1, 0, 3, 9, 0, 0, 0}));
  CHECK_FALSE(reply_ok({1, 5, 0, 9, 0, 0, 0}));
  CHECK_FALSE(reply_ok({1, 5, 3, 0, 0, 0, 0}));
  CHECK_FALSE(reply_ok({1, 5, 3, 9, 1, 0, 0}));
  auto other_version = encode(LeaseReply{1, 5, 3, 9, 0, 0, 0});
  other_version[0] = 3;
  CHECK_FALSE(decode_lease_reply(other_version).ok());
  auto other_outcome = encode(LeaseReply{1, 5, 3, 9, 0, 0, 0});
  other_outcome[1] = 2;
  CHECK_FALSE(decode_lease_reply(other_outcome).ok());
  auto reserved = encode(LeaseRequest{1, 5, 3, 9, 1});
  reserved[1] = 1;
  CHECK_FALSE(decode_lease_request(reserved).ok());
}

}  // namespace es::limit

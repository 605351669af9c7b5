// STUN binding requests as Tailscale clients send them, and the answer to them.
//
// Source: RFC 8489 for the format; tailscale net/stun for what is required before an answer.
// Request:
//   offset len  field
//   0      2    00 01, binding request
//   2      2    length behind the header (not compared with the datagram's)
//   4      4    magic cookie 21 12 a4 42
//   8      12   transaction ID
//   20     ...  attributes: type 2, length 2, value padded to 4; one SOFTWARE (80 22) that is
//               "tailnode"; last of all FINGERPRINT (80 28), CRC-32 of all before it XOR "STUN"
// Response, 32 bytes for IPv4 and 44 for IPv6:
//   0      2    01 01, binding success
//   2      2    length behind the header, 12 or 24
//   4      4    magic cookie
//   8      12   transaction ID, copied
//   20     2    00 20, XOR-MAPPED-ADDRESS
//   22     2    its length, 8 or 20
//   24     2    family 00 01 (IPv4) or 00 02 (IPv6)
//   26     2    port XOR 21 12
//   28     4/16 address XOR cookie (and transaction ID)
//
// Limits: an answer is at most 4 bytes longer than the smallest request, so it amplifies nothing.
// Threads: free functions from any thread.
#pragma once

#include "common/base/bytes.h"

#include <array>
#include <cstdint>
#include <optional>

namespace es::stun {

constexpr size_t kHeaderLen = 20;
constexpr size_t kRequestLen = 40;
constexpr size_t kResponseLenV4 = 32;
constexpr size_t kResponseLenV6 = 44;
constexpr size_t kMaxResponseLen = kResponseLenV6;
static_assert(kMaxResponseLen <= kRequestLen + 4);

using TxId = std::array<uint8_t, 12>;

// An IP address and port. IPv4 stands as ::ffff:a.b.c.d, which is also how a dual-stack socket
// shows it, so that both forms are one.
struct Endpoint {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;

  static Endpoint v4(const std::array<uint8_t, 4>& address, uint16_t port);
  bool is_v4() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// The transaction ID of a request that deserves an answer; nullopt for everything else, which is
// to be ignored without a word.
std::optional<TxId> parse_request(Bytes datagram);

// Writes the answer: the sender's address as the server sees it.
void write_response(const TxId& tx_id, const Endpoint& source, ByteWriter& out);

// The client's half, for tests and health checks: a request, and the address in an answer to it.
void write_request(const TxId& tx_id, ByteWriter& out);
std::optional<Endpoint> parse_response(const TxId& tx_id, Bytes datagram);

// CRC-32 (IEEE 802.3, reflected), as FINGERPRINT uses it.
uint32_t crc32(Bytes data);

}  // namespace es::stun

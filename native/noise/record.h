// Transport records of ts2021: what both directions carry after the handshake.
//
//   offset len  field
//   0      1    type 4
//   1      2    length of the sealed part, big-endian: plaintext + 16
//   3      n    ChaCha20-Poly1305 ciphertext, then tag; no associated data
//
// Source: tailscale control/controlbase. Nonce: 4 zero bytes, then the direction's 64-bit counter,
// BIG-endian (the Noise specification says little-endian), from 0, +1 a record.
// Limits: 4096 bytes a frame, so 4077 of plaintext. An empty record is legal and yields nothing.
// Errors: all are fatal for the connection (kReconnect) and sticky: a frame that is too long or of
// another type, a record that does not authenticate (changed, replayed, reordered), a counter that
// ran out. There is no close record: at_boundary() tells a clean end from a cut one.
// Threads: a sender and a receiver belong to one caller each.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/noise/crypto.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace es::noise {

constexpr size_t kRecordHeaderLen = 3;
constexpr size_t kMaxRecordLen = 4096;
constexpr size_t kMaxSealedLen = kMaxRecordLen - kRecordHeaderLen;
constexpr size_t kMaxRecordPlaintext = kMaxSealedLen - kTagLen;
static_assert(kMaxRecordPlaintext == 4077);

class RecordSender {
 public:
  // `counter` is for tests; a connection begins at 0.
  static Result<RecordSender> create(const Key& key, uint64_t counter = 0);

  // Appends `plaintext` to `out` as full records and a last shorter one; nothing for nothing.
  Status seal(Bytes plaintext, std::vector<uint8_t>& out);
  // Appends exactly one record of at most kMaxRecordPlaintext bytes, which may be empty.
  Status seal_one(Bytes plaintext, std::vector<uint8_t>& out);

  uint64_t counter() const { return counter_; }

 private:
  RecordSender(Aead aead, uint64_t counter) : aead_(std::move(aead)), counter_(counter) {}

  Aead aead_;
  uint64_t counter_;
};

class RecordReceiver {
 public:
  static Result<RecordReceiver> create(const Key& key, uint64_t counter = 0);

  // Takes any piece of the stream and appends the plaintext of every record that it completes.
  // What was appended before an error is authentic.
  Status open(Bytes stream, std::vector<uint8_t>& out);

  // False inside a record: an end of the stream here means that it was cut.
  bool at_boundary() const { return partial_len_ == 0; }
  uint64_t counter() const { return counter_; }

 private:
  RecordReceiver(Aead aead, uint64_t counter) : aead_(std::move(aead)), counter_(counter) {}

  Status open_one(Bytes frame, std::vector<uint8_t>& out);
  Status fail(std::string_view what);

  Aead aead_;
  uint64_t counter_;
  std::optional<Error> failed_;
  size_t partial_len_ = 0;
  std::vector<uint8_t> partial_;  // allocated by the first record that arrives in pieces
};

}  // namespace es::noise

// SHA-256 (FIPS 180-4). Uses the x86 SHA instructions where the processor has them; every other
// target, WebAssembly included, runs the portable code. Both give the same digests.
#pragma once

#include "common/base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace es::token {

inline constexpr size_t kSha256Len = 32;
inline constexpr size_t kSha256BlockLen = 64;
using Sha256Digest = std::array<uint8_t, kSha256Len>;
using Sha256State = std::array<uint32_t, 8>;

// Copying a Sha256 in the middle of a message forks it.
class Sha256 {
 public:
  Sha256();
  // Goes on behind a first block that is hashed already: HMAC keys are kept as such states.
  explicit Sha256(const Sha256State& after_block) : state_(after_block), len_(kSha256BlockLen) {}

  // The state after one block of exactly this text.
  static Sha256State after(std::span<const uint8_t, kSha256BlockLen> block);

  void update(Bytes data);
  // The digest of all that was added; the object is spent afterwards.
  Sha256Digest finish();

 private:
  Sha256State state_;
  std::array<uint8_t, kSha256BlockLen> block_;  // the first len_ % kSha256BlockLen count
  uint64_t len_ = 0;                            // bytes so far
};

Sha256Digest sha256(Bytes data);

// For tests and benchmarks: processes whole blocks by the portable code only.
void sha256_blocks_portable(Sha256State& state, const uint8_t* data, size_t num_blocks);

}  // namespace es::token

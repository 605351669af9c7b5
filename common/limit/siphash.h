// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash for tables whose keys an attacker
// chooses. Not a MAC for anything that leaves the process.
#pragma once

#include "common/base/bytes.h"

#include <cstdint>

namespace es::limit {

// 128 bits from the host's random source, once for each table.
struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

uint64_t siphash(const SipKey& key, Bytes data);

// The same as siphash() of the two words as little-endian bytes.
uint64_t siphash(const SipKey& key, uint64_t first, uint64_t second);

}  // namespace es::limit

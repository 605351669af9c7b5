#include "common/limit/siphash.h"

#include <catch2/catch.hpp>

#include <array>

namespace es::limit {
namespace {

constexpr SipKey kPaperKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

}  // namespace

TEST_CASE("SipHash-2-4 gives the digests of its paper") {
  std::array<uint8_t, 63> input;
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(i);
  const Bytes bytes(input);
  // Appendix A of the paper, and the first of the reference implementation's vectors.
  CHECK(siphash(kPaperKey, bytes.first(15)) == 0xa129ca6149be45e5);
  CHECK(siphash(kPaperKey, bytes.first(0)) == 0x726fdb47dd0e0e31);
  CHECK(siphash(kPaperKey, bytes.first(1)) == 0x74f839c593dc67fd);
  CHECK(siphash(kPaperKey, bytes.first(8)) == 0x93f5f5799a932462);
}

TEST_CASE("the two-word form equals the general one") {
  std::array<uint8_t, 16> bytes;
  ByteWriter out(bytes);
  out.u64le(0x1122334455667788);
  out.u64le(3);
  CHECK(siphash(kPaperKey, bytes) == siphash(kPaperKey, 0x1122334455667788, 3));
}

}  // namespace es::limit

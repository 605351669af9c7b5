#include "common/token/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define ES_SHA_X86 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace es::token {
namespace {

using State = Sha256State;

constexpr State kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(16) constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The edge module is compiled for size, which would make each of these a call: an HMAC would take
// five times as long for a few hundred bytes less.
#define ES_ALWAYS_INLINE inline __attribute__((always_inline))
#ifdef __clang__
#define ES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ES_UNROLL _Pragma("GCC unroll 16")
#endif

ES_ALWAYS_INLINE uint32_t rotr(uint32_t v, int n) { return v >> n | v << (32 - n); }

// Whole words: single bytes would be stored and loaded one by one at -Os, and what is stored in
// pieces cannot be forwarded to a wider load.
static_assert(std::endian::native == std::endian::little);

ES_ALWAYS_INLINE void store_be(uint8_t* p, uint32_t v) {
  const uint32_t swapped = __builtin_bswap32(v);
  std::memcpy(p, &swapped, sizeof swapped);
}

// Four words of the schedule as the compiler's own vector: SSE2, NEON or WebAssembly's simd128.
using Words = uint32_t __attribute__((vector_size(16)));

ES_ALWAYS_INLINE Words rotr(Words v, int n) { return v >> n | v << (32 - n); }

ES_ALWAYS_INLINE Words load_words(const void* p) {
  Words v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

ES_ALWAYS_INLINE Words load_words_be(const uint8_t* p) {
  using Block = uint8_t __attribute__((vector_size(16)));
  Block v;
  std::memcpy(&v, p, sizeof v);
  return reinterpret_cast<Words>(
      __builtin_shufflevector(v, v, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

ES_ALWAYS_INLINE Words sigma1(Words v) { return rotr(v, 17) ^ rotr(v, 19) ^ v >> 10; }

// The four words sixteen behind `w0`; the last two of them depend on the first two.
ES_ALWAYS_INLINE Words expand(Words w0, Words w1, Words w2, Words w3) {
  const Words w15 = __builtin_shufflevector(w0, w1, 1, 2, 3, 4);
  const Words w7 = __builtin_shufflevector(w2, w3, 1, 2, 3, 4);
  Words sum = w0 + (rotr(w15, 7) ^ rotr(w15, 18) ^ w15 >> 3) + w7;
  sum += sigma1(__builtin_shufflevector(w3, Words{}, 2, 3, 4, 5));
  return sum + sigma1(__builtin_shufflevector(Words{}, sum, 0, 1, 4, 5));
}

ES_ALWAYS_INLINE void round(uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f,
                            uint32_t g, uint32_t& h, uint32_t kw) {
  const uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + kw;
  // The rotations by 2, 13 and 22, one out of the other: a copy less where one destroys its source.
  const uint32_t t2 = rotr(rotr(rotr(a, 9) ^ a, 11) ^ a, 2) + ((a & b) | (c & (a | b)));
  d += t1;
  h = t1 + t2;
}

// Four rounds rename the variables instead of moving them; behind them e has the place of a.
ES_ALWAYS_INLINE void four_rounds(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d, uint32_t& e,
                                  uint32_t& f, uint32_t& g, uint32_t& h, Words kw) {
  round(a, b, c, d, e, f, g, h, kw[0]);
  round(h, a, b, c, d, e, f, g, kw[1]);
  round(g, h, a, b, c, d, e, f, kw[2]);
  round(f, g, h, a, b, c, d, e, kw[3]);
}

#ifdef ES_SHA_X86

bool processor_has_sha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & bit_SHA) == 0) return false;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSSE3) != 0 && (c & bit_SSE4_1) != 0;
}

// The SHA instructions keep the state as two registers, ABEF and CDGH, and do two rounds each.
__attribute__((target("sha,ssse3,sse4.1"))) void blocks_x86(State& state, const uint8_t* data,
                                                            size_t num_blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state.data()));
  __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state.data() + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);

  for (; num_blocks > 0; --num_blocks, data += kSha256BlockLen) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; ++i) {
      w[i] =
          _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i)), swap);
    }
    ES_UNROLL
    for (int i = 0; i < 16; ++i) {
      __m128i& now = w[i & 3];
      const __m128i kw = _mm_add_epi32(
          now,
          _mm_load_si128(reinterpret_cast<const __m128i*>(&kRound[4 * static_cast<size_t>(i)])));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, kw);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(kw, 0x0E));
      if (i < 12) {
        // The four words sixteen further on replace these.
        const __m128i w1 = w[(i + 1) & 3], w2 = w[(i + 2) & 3], w3 = w[(i + 3) & 3];
        const __m128i sum =
            _mm_add_epi32(_mm_sha256msg1_epu32(now, w1), _mm_alignr_epi8(w3, w2, 4));
        now = _mm_sha256msg2_epu32(sum, w3);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  dcba = _mm_blend_epi16(feba, dchg, 0xF0);
  hgfe = _mm_alignr_epi8(dchg, feba, 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data()), dcba);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data() + 4), hgfe);
}

#endif

void blocks(State& state, const uint8_t* data, size_t num_blocks) {
#ifdef ES_SHA_X86
  static const bool has_sha = processor_has_sha();
  if (has_sha) return blocks_x86(state, data, num_blocks);
#endif
  sha256_blocks_portable(state, data, num_blocks);
}

}  // namespace

void sha256_blocks_portable(State& state, const uint8_t* data, size_t num_blocks) {
  auto [a, b, c, d, e, f, g, h] = state;
  for (; num_blocks > 0; --num_blocks, data += kSha256BlockLen) {
    Words w0 = load_words_be(data);
    Words w1 = load_words_be(data + 16);
    Words w2 = load_words_be(data + 32);
    Words w3 = load_words_be(data + 48);
    // What comes after the next sixteen words is made between the rounds, which leave the vector
    // units idle.
    for (const uint32_t* k = kRound.data(); k < kRound.data() + kRound.size(); k += 16) {
      const Words kw0 = w0 + load_words(k);
      w0 = expand(w0, w1, w2, w3);
      four_rounds(a, b, c, d, e, f, g, h, kw0);
      const Words kw1 = w1 + load_words(k + 4);
      w1 = expand(w1, w2, w3, w0);
      four_rounds(e, f, g, h, a, b, c, d, kw1);
      const Words kw2 = w2 + load_words(k + 8);
      w2 = expand(w2, w3, w0, w1);
      four_rounds(a, b, c, d, e, f, g, h, kw2);
      const Words kw3 = w3 + load_words(k + 12);
      w3 = expand(w3, w0, w1, w2);
      four_rounds(e, f, g, h, a, b, c, d, kw3);
    }
    a = state[0] += a;
    b = state[1] += b;
    c = state[2] += c;
    d = state[3] += d;
    e = state[4] += e;
    f = state[5] += f;
    g = state[6] += g;
    h = state[7] += h;
  }
}

Sha256::Sha256() : state_(kInitial) {}

Sha256State Sha256::after(std::span<const uint8_t, kSha256BlockLen> block) {
  Sha256State state = kInitial;
  blocks(state, block.data(), 1);
  return state;
}

void Sha256::update(Bytes data) {
  if (data.empty()) return;
  const size_t have = len_ % kSha256BlockLen;
  len_ += data.size();
  if (have > 0) {
    const size_t take = std::min(data.size(), kSha256BlockLen - have);
    copy_bytes(block_.data() + have, data.data(), take);
    data = data.subspan(take);
    if (have + take < kSha256BlockLen) return;
    blocks(state_, block_.data(), 1);
  }
  const size_t whole = data.size() / kSha256BlockLen;
  if (whole > 0) blocks(state_, data.data(), whole);
  const Bytes rest = data.subspan(whole * kSha256BlockLen);
  copy_bytes(block_.data(), rest.data(), rest.size());
}

Sha256Digest Sha256::finish() {
  constexpr size_t kLenAt = kSha256BlockLen - 8;
  size_t have = len_ % kSha256BlockLen;
  block_[have++] = 0x80;
  if (have > kLenAt) {
    std::memset(block_.data() + have, 0, kSha256BlockLen - have);
    blocks(state_, block_.data(), 1);
    have = 0;
  }
  std::memset(block_.data() + have, 0, kLenAt - have);
  store_be(block_.data() + kLenAt, static_cast<uint32_t>(len_ >> 29));
  store_be(block_.data() + kLenAt + 4, static_cast<uint32_t>(len_ << 3));
  blocks(state_, block_.data(), 1);
  Sha256Digest digest;
  for (size_t i = 0; i < state_.size(); ++i) store_be(digest.data() + 4 * i, state_[i]);
  return digest;
}

Sha256Digest sha256(Bytes data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

}  // namespace es::token

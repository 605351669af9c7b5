#include "common/limit/siphash.h"

namespace es::limit {
namespace {

constexpr uint64_t rotl(uint64_t v, int n) { return v << n | v >> (64 - n); }

struct State {
  explicit State(const SipKey& key)
      : v0(key.k0 ^ 0x736f6d6570736575U),
        v1(key.k1 ^ 0x646f72616e646f6dU),
        v2(key.k0 ^ 0x6c7967656e657261U),
        v3(key.k1 ^ 0x7465646279746573U) {}

  void round() {
    v0 += v1;
    v1 = rotl(v1, 13) ^ v0;
    v0 = rotl(v0, 32);
    v2 += v3;
    v3 = rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotl(v1, 17) ^ v2;
    v2 = rotl(v2, 32);
  }

  void word(uint64_t m) {
    v3 ^= m;
    round();
    round();
    v0 ^= m;
  }

  uint64_t finish() {
    v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }

  uint64_t v0, v1, v2, v3;
};

}  // namespace

uint64_t siphash(const SipKey& key, Bytes data) {
  State state(key);
  size_t i = 0;
  for (; i + 8 <= data.size(); i += 8) {
    uint64_t m = 0;
    for (size_t b = 0; b < 8; ++b) m |= uint64_t{data[i + b]} << 8 * b;
    state.word(m);
  }
  uint64_t last = static_cast<uint64_t>(data.size()) << 56;
  for (size_t b = 0; i + b < data.size(); ++b) last |= uint64_t{data[i + b]} << 8 * b;
  state.word(last);
  return state.finish();
}

uint64_t siphash(const SipKey& key, uint64_t first, uint64_t second) {
  State state(key);
  state.word(first);
  state.word(second);
  state.word(uint64_t{16} << 56);
  return state.finish();
}

}  // namespace es::limit

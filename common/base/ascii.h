// Looks at text sixteen bytes at a time: the gate's checks of keys and header fields, where most of
// what comes is sound and a look at each byte would be most of their cost.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace es::ascii {

// Sixteen bytes as the compiler's own vector: SSE2, NEON or WebAssembly's simd128.
using Block = uint8_t __attribute__((vector_size(16)));

// The first of `len` bytes, at most eight, is the lowest: fewer are put together by shifts.
static_assert(std::endian::native == std::endian::little);
inline uint64_t load(const char* at, size_t len) {
  uint64_t word = 0;
  std::memcpy(&word, at, len);
  return word;
}

inline Block load_block(const char* at) {
  Block block;
  std::memcpy(&block, at, sizeof block);
  return block;
}

inline bool is_zero(Block block) {
  uint64_t halves[2];
  std::memcpy(halves, &block, sizeof block);
  return (halves[0] | halves[1]) == 0;
}

// The last sixteen bytes; of a text with one to fifteen all of them, some more than once.
inline Block last_block(std::string_view text) {
  const char* const data = text.data();
  const size_t len = text.size();
  if (len >= sizeof(Block)) return load_block(data + len - sizeof(Block));
  uint64_t halves[2];
  if (len >= 8) {
    halves[0] = load(data, 8);
    halves[1] = load(data + len - 8, 8);
  } else if (len >= 4) {
    halves[0] = halves[1] = load(data, 4) | load(data + len - 4, 4) << 32;
  } else {
    constexpr uint64_t kOnes = 0x0101010101010101;
    const uint64_t first = load(data, 1);
    halves[0] = halves[1] = first * kOnes ^ (first ^ load(data + len / 2, 1)) << 8 ^
                            (first ^ load(data + len - 1, 1)) << 16;
  }
  Block block;
  std::memcpy(&block, halves, sizeof block);
  return block;
}

// Whether find(block), a mask, has a bit set for some sixteen bytes of `text`.
template <class Find>
bool any_of(std::string_view text, Find find) {
  if (text.empty()) return false;
  auto found = reinterpret_cast<Block>(find(last_block(text)));
  for (size_t at = 0; at + sizeof(Block) < text.size(); at += sizeof(Block)) {
    found |= reinterpret_cast<Block>(find(load_block(text.data() + at)));
  }
  return !is_zero(found);
}

// Letters, digits and '-' only.
inline bool is_alnum_or_dash(std::string_view text) {
  return !any_of(text, [](Block block) {
    const Block letter = (block | 0x20) - 'a';
    return (letter > 'z' - 'a') & (block - '0' > 9) & (block != '-');
  });
}

// Whether one of the bytes is below 0x20 or 0x7f.
inline bool has_control(std::string_view text) {
  return any_of(text, [](Block block) { return (block < 0x20) | (block == 0x7f); });
}

// Whether a byte is one of "@A..Z[\]^_": among the digits of a hexadecimal text, A to F alone are.
inline bool has_upper_case(std::string_view text) {
  return any_of(text, [](Block block) { return (block & 0x60) == 0x40; });
}

// Whether two texts of one length, 1 to 32, are equal but for bit 0x20 of some bytes.
inline bool equal_but_case_bits(std::string_view a, std::string_view b) {
  const auto differ = [](Block x, Block y) {
    return reinterpret_cast<Block>((x | 0x20) != (y | 0x20));
  };
  Block found = differ(last_block(a), last_block(b));
  if (a.size() > sizeof(Block)) found |= differ(load_block(a.data()), load_block(b.data()));
  return is_zero(found);
}

}  // namespace es::ascii

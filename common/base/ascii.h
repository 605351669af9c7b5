// Looks at text eight bytes at a time: the gate's checks of keys and header fields, where most of
// what comes is sound and a look at each byte would be most of their cost.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace es::ascii {

inline constexpr uint64_t kOnes = 0x0101010101010101;
inline constexpr uint64_t kHigh = 0x8080808080808080;

// The first of `len` bytes is the lowest: words of less than eight are put together by shifts.
static_assert(std::endian::native == std::endian::little);
inline uint64_t load(const char* at, size_t len) {
  uint64_t word = 0;
  std::memcpy(&word, at, len);
  return word;
}

// Calls look(word) with every byte of `text`, eight at a time, some of them twice.
template <class Look>
void for_each_word(std::string_view text, Look look) {
  const char* const data = text.data();
  const size_t len = text.size();
  if (len >= 8) {
    for (size_t at = 0; at + 8 < len; at += 8) look(load(data + at, 8));
    look(load(data + len - 8, 8));
  } else if (len >= 4) {
    look(load(data, 4) | load(data + len - 4, 4) << 32);
  } else if (len > 0) {
    const uint64_t first = load(data, 1);
    look(first * kOnes ^ (first ^ load(data + len / 2, 1)) << 8 ^
         (first ^ load(data + len - 1, 1)) << 16);
  }
}

// High bits of the bytes that are at least `low`; all bytes are ASCII.
constexpr uint64_t at_least(uint64_t word, unsigned char low) {
  return (word + (0x80U - low) * kOnes) & kHigh;
}

// Letters, digits and '-' only.
inline bool is_alnum_or_dash(std::string_view text) {
  uint64_t good = kHigh;
  uint64_t not_ascii = 0;
  for_each_word(text, [&](uint64_t word) {
    const uint64_t lower_case = word | 0x20 * kOnes;
    const uint64_t letter = at_least(lower_case, 'a') & ~at_least(lower_case, 'z' + 1);
    const uint64_t digit = at_least(word, '0') & ~at_least(word, '9' + 1);
    const uint64_t dash = ~at_least(word ^ ('-' * kOnes), 1);
    good &= letter | digit | dash;
    not_ascii |= word & kHigh;
  });
  return good == kHigh && not_ascii == 0;
}

// Sixteen bytes as the compiler's own vector: SSE2, NEON or WebAssembly's simd128.
using Block = uint8_t __attribute__((vector_size(16)));

// Whether one of the bytes is below 0x20 or 0x7f, for a text of at least sixteen.
inline bool has_control_in_blocks(std::string_view text) {
  Block found{};
  const auto look = [&](size_t at) {
    Block block;
    std::memcpy(&block, text.data() + at, sizeof block);
    found |= static_cast<Block>((block < 0x20) | (block == 0x7f));
  };
  for (size_t at = 0; at + sizeof(Block) < text.size(); at += sizeof(Block)) look(at);
  look(text.size() - sizeof(Block));
  uint64_t halves[2];
  std::memcpy(halves, &found, sizeof found);
  return (halves[0] | halves[1]) != 0;
}

// False when `text` surely has neither a byte below 0x20 nor 0x7f.
inline bool may_have_control(std::string_view text) {
  if (text.size() >= sizeof(Block)) return has_control_in_blocks(text);
  uint64_t found = 0;
  for_each_word(text, [&](uint64_t word) {
    // The high bit of a byte is set when it is below 0x20 and when it is 0x7f; for others only when
    // one of those came before it.
    const uint64_t deleted = word ^ (0x7f * kOnes);
    found |= ((word - 0x20 * kOnes) & ~word) | ((deleted - kOnes) & ~deleted);
  });
  return (found & kHigh) != 0;
}

// Whether a byte is one of "@A..Z[\]^_": among the digits of a hexadecimal text, A to F alone are.
inline bool has_upper_case(std::string_view text) {
  uint64_t found = 0;
  for_each_word(text, [&](uint64_t word) { found |= word >> 6 & ~(word >> 5); });
  return (found & kOnes) != 0;
}

}  // namespace es::ascii

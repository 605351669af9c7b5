#include "common/base/bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace es {
namespace {

template <class T>
std::optional<T> read_be(Bytes& data) {
  if (data.size() < sizeof(T)) return std::nullopt;
  T v = 0;
  for (size_t i = 0; i < sizeof(T); ++i) v = static_cast<T>(v << 8 | data[i]);
  data = data.subspan(sizeof(T));
  return v;
}

template <class T>
std::optional<T> read_le(Bytes& data) {
  if (data.size() < sizeof(T)) return std::nullopt;
  T v = 0;
  for (size_t i = sizeof(T); i-- > 0;) v = static_cast<T>(v << 8 | data[i]);
  data = data.subspan(sizeof(T));
  return v;
}

template <class T>
void put_be(uint8_t* p, T v) {
  if (p == nullptr) return;
  for (size_t i = 0; i < sizeof(T); ++i) p[i] = static_cast<uint8_t>(v >> 8 * (sizeof(T) - 1 - i));
}

template <class T>
void put_le(uint8_t* p, T v) {
  if (p == nullptr) return;
  for (size_t i = 0; i < sizeof(T); ++i) p[i] = static_cast<uint8_t>(v >> 8 * i);
}

// The decimal digits of a number below 10^8, the first in the lowest byte: halves, quarters and
// digits are all divided at once, by multiplying.
static_assert(std::endian::native == std::endian::little);
uint64_t eight_digits(uint32_t v) {
  uint64_t x = v / 10'000 | uint64_t{v % 10'000} << 32;
  const uint64_t hundreds = x * 10486 >> 20 & 0x7f'0000'007f;
  x = hundreds | (x - 100 * hundreds) << 16;
  const uint64_t tens = x * 103 >> 10 & 0x000f'000f'000f'000f;
  return tens | (x - 10 * tens) << 8;
}

}  // namespace

#ifdef __wasm__
// memory.copy is a call into the host, which costs more than short texts do; the attribute keeps
// the compiler from making one of these loops.
__attribute__((no_builtin("memcpy"))) void copy_bytes(uint8_t* to, const uint8_t* from,
                                                      size_t len) {
  if (len > 256) {
    std::memcpy(to, from, len);
    return;
  }
  if (len < 8) {
    for (size_t i = 0; i < len; ++i) to[i] = from[i];
    return;
  }
  const auto move8 = [&](size_t at) {
    uint64_t word = 0;
    __builtin_memcpy_inline(&word, from + at, 8);
    __builtin_memcpy_inline(to + at, &word, 8);
  };
  for (size_t at = 0; at + 8 < len; at += 8) move8(at);
  move8(len - 8);
}
#else
void copy_bytes(uint8_t* to, const uint8_t* from, size_t len) {
  if (len > 0) std::memcpy(to, from, len);
}
#endif

bool equal_constant_time(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  uint64_t diff = 0;
  size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    uint64_t left = 0;
    uint64_t right = 0;
    std::memcpy(&left, a.data() + i, 8);
    std::memcpy(&right, b.data() + i, 8);
    diff |= left ^ right;
    // The compiler must not know what it may conclude from `diff`, or the loop could end early.
    __asm__ volatile("" : "+r"(diff));
  }
  for (; i < a.size(); ++i) {
    diff |= static_cast<uint64_t>(a[i] ^ b[i]);
    __asm__ volatile("" : "+r"(diff));
  }
  return diff == 0;
}

void wipe(MutableBytes secret) {
  if (secret.empty()) return;
  std::memset(secret.data(), 0, secret.size());
  // Somebody may read it, as far as the compiler knows.
  __asm__ volatile("" : : "r"(secret.data()) : "memory");
}

std::optional<uint8_t> ByteReader::u8() { return read_be<uint8_t>(data_); }
std::optional<uint16_t> ByteReader::u16be() { return read_be<uint16_t>(data_); }
std::optional<uint32_t> ByteReader::u32be() { return read_be<uint32_t>(data_); }
std::optional<uint64_t> ByteReader::u64be() { return read_be<uint64_t>(data_); }
std::optional<uint32_t> ByteReader::u32le() { return read_le<uint32_t>(data_); }
std::optional<uint64_t> ByteReader::u64le() { return read_le<uint64_t>(data_); }

std::optional<Bytes> ByteReader::bytes(size_t len) {
  if (data_.size() < len) return std::nullopt;
  const Bytes taken = data_.first(len);
  data_ = data_.subspan(len);
  return taken;
}

Bytes ByteReader::rest() {
  const Bytes taken = data_;
  data_ = {};
  return taken;
}

uint8_t* ByteWriter::take(size_t len) {
  if (failed_ || space_left() < len) {
    failed_ = true;
    return nullptr;
  }
  uint8_t* p = out_.data() + len_;
  len_ += len;
  return p;
}

void ByteWriter::u8(uint8_t v) { put_be(take(1), v); }
void ByteWriter::u16be(uint16_t v) { put_be(take(2), v); }
void ByteWriter::u32be(uint32_t v) { put_be(take(4), v); }
void ByteWriter::u64be(uint64_t v) { put_be(take(8), v); }
void ByteWriter::u32le(uint32_t v) { put_le(take(4), v); }
void ByteWriter::u64le(uint64_t v) { put_le(take(8), v); }

void ByteWriter::bytes(Bytes v) {
  if (uint8_t* p = take(v.size()); p != nullptr) copy_bytes(p, v.data(), v.size());
}

void ByteWriter::decimal(uint64_t v) {
  constexpr uint32_t kEightDigits = 100'000'000;
  uint8_t digits[24];
  size_t at = sizeof digits;
  const auto put = [&](uint64_t number) {
    const uint64_t group = eight_digits(static_cast<uint32_t>(number));
    const uint64_t text = group | 0x3030303030303030;
    at -= sizeof text;
    std::memcpy(digits + at, &text, sizeof text);
    return group;
  };
  for (; v >= kEightDigits; v /= kEightDigits) put(v % kEightDigits);
  const auto zeros = static_cast<size_t>(std::countr_zero(put(v))) / 8;
  bytes(Bytes(digits).subspan(at + std::min(zeros, sizeof v - 1)));
}

}  // namespace es

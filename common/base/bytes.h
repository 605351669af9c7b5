// Reading and writing bytes with the endianness in the method's name. No exceptions, no copies.
//
// Threads: none of its own; a reader or writer belongs to one caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace es {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline Bytes as_bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
inline std::string_view as_text(Bytes b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

// memcpy() for texts that are short as a rule; they do not overlap.
void copy_bytes(uint8_t* to, const uint8_t* from, size_t len);

// True when both hold the same bytes. Takes time that depends on the lengths only.
bool equal_constant_time(Bytes a, Bytes b);

// Overwrites `secret` with zeros in a way that the compiler may not remove.
void wipe(MutableBytes secret);

// Consumes a byte string from the front. A read that does not fit yields nullopt and consumes
// nothing.
class ByteReader {
 public:
  explicit ByteReader(Bytes data) : data_(data) {}

  size_t remaining() const { return data_.size(); }
  bool empty() const { return data_.empty(); }

  std::optional<uint8_t> u8();
  std::optional<uint16_t> u16be();
  std::optional<uint32_t> u32be();
  std::optional<uint64_t> u64be();
  std::optional<uint32_t> u32le();
  std::optional<uint64_t> u64le();
  std::optional<Bytes> bytes(size_t len);
  // Everything that is left.
  Bytes rest();

 private:
  Bytes data_;
};

// Appends to a fixed buffer. The first write that does not fit sets a sticky error; that write and
// all later ones change nothing.
class ByteWriter {
 public:
  explicit ByteWriter(MutableBytes out) : out_(out) {}

  bool ok() const { return !failed_; }
  Bytes written() const { return out_.first(len_); }
  size_t space_left() const { return out_.size() - len_; }

  void u8(uint8_t v);
  void u16be(uint16_t v);
  void u32be(uint32_t v);
  void u64be(uint64_t v);
  void u32le(uint32_t v);
  void u64le(uint64_t v);
  void bytes(Bytes v);
  void text(std::string_view v) { bytes(as_bytes(v)); }
  // The decimal digits of v.
  void decimal(uint64_t v);
  // Room for `len` bytes, for the caller to fill; null when they do not fit.
  uint8_t* take(size_t len);

 private:
  MutableBytes out_;
  size_t len_ = 0;
  bool failed_ = false;
};

}  // namespace es

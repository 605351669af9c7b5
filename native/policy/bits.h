// A growing set of small numbers, one bit each: node slots and route numbers.
//
// Reading beyond what was ever set gives false, so sets made at different times mix freely.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace es::policy {

class Bits {
 public:
  bool test(uint32_t i) const {
    const size_t word = i / 64;
    return word < words_.size() && (words_[word] >> (i % 64) & 1) != 0;
  }

  // True if the bit was not set before.
  bool set(uint32_t i) {
    const size_t word = i / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    const uint64_t bit = uint64_t{1} << (i % 64);
    if ((words_[word] & bit) != 0) return false;
    words_[word] |= bit;
    return true;
  }

  bool clear(uint32_t i) {
    if (!test(i)) return false;
    words_[i / 64] &= ~(uint64_t{1} << (i % 64));
    return true;
  }

  // Room for the numbers below n.
  void reserve(size_t n) { words_.reserve((n + 63) / 64); }

  void add(const Bits& other) {
    if (other.words_.size() > words_.size()) words_.resize(other.words_.size());
    for (size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  }

  void subtract(const Bits& other) {
    const size_t n = words_.size() < other.words_.size() ? words_.size() : other.words_.size();
    for (size_t i = 0; i < n; ++i) words_[i] &= ~other.words_[i];
  }

  // Adds what is in both of the two.
  void add_common(const Bits& a, const Bits& b) {
    const size_t n = a.words_.size() < b.words_.size() ? a.words_.size() : b.words_.size();
    if (n > words_.size()) words_.resize(n);
    for (size_t i = 0; i < n; ++i) words_[i] |= a.words_[i] & b.words_[i];
  }

  bool overlaps(const Bits& other) const {
    const size_t n = words_.size() < other.words_.size() ? words_.size() : other.words_.size();
    for (size_t i = 0; i < n; ++i) {
      if ((words_[i] & other.words_[i]) != 0) return true;
    }
    return false;
  }

  // Every bit of `other` is set here too.
  bool covers(const Bits& other) const {
    for (size_t i = 0; i < other.words_.size(); ++i) {
      const uint64_t mine = i < words_.size() ? words_[i] : 0;
      if ((other.words_[i] & ~mine) != 0) return false;
    }
    return true;
  }

  bool none() const {
    for (const uint64_t w : words_) {
      if (w != 0) return false;
    }
    return true;
  }

  size_t count() const {
    size_t n = 0;
    for (const uint64_t w : words_) n += static_cast<size_t>(std::popcount(w));
    return n;
  }

  template <class F>
  void for_each(F&& f) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t w = words_[i]; w != 0; w &= w - 1) {
        f(static_cast<uint32_t>(i * 64 + static_cast<size_t>(std::countr_zero(w))));
      }
    }
  }

  size_t memory() const { return words_.capacity() * sizeof(uint64_t); }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace es::policy

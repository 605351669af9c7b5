// Finds a slot by something that what stands in the slot has: a node by its id, or by an address.
//
// A hash table that holds slots and bits of the hash, not keys: 8 bytes a cell, no allocation an
// entry. Who asks says whether a slot is the one. Open addressing with linear probing; erasing
// shifts what follows back, so there are no tombstones. Grows at half full.
#pragma once

#include "native/policy/tailnet.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace es::policy {

class SlotTable {
 public:
  // Room for n entries without growing.
  void reserve(size_t n) {
    size_t want = cells_.empty() ? kSmallest : cells_.size();
    while (n > want / 2) want *= 2;
    if (want != cells_.size()) rehash(want);
  }

  // The slot for which is(slot) holds, of those with this hash; kAnySlot if there is none.
  template <class Is>
  Slot find(uint64_t hash, Is&& is) const {
    return cells_.empty() ? kAnySlot : cells_[place(short_hash(hash), is)].slot;
  }

  // Enters the slot, in place of one for which is(slot) holds.
  template <class Is>
  void set(uint64_t hash, Slot slot, Is&& is) {
    reserve(size_ + 1);
    Cell& cell = cells_[place(short_hash(hash), is)];
    if (cell.slot == kAnySlot) ++size_;
    cell = {short_hash(hash), slot};
  }

  // Takes the slot out, if it is there with this hash.
  void erase(uint64_t hash, Slot slot) {
    if (cells_.empty()) return;
    size_t hole = place(short_hash(hash), [&](Slot s) { return s == slot; });
    if (cells_[hole].slot == kAnySlot) return;
    --size_;
    // What follows moves into the hole, unless that is before its own place.
    for (size_t i = next(hole); cells_[i].slot != kAnySlot; i = next(i)) {
      const size_t from_home = (i - cells_[i].hash) & mask();
      if (from_home < ((i - hole) & mask())) continue;
      cells_[hole] = cells_[i];
      hole = i;
    }
    cells_[hole] = {};
  }

  size_t size() const { return size_; }
  size_t memory() const { return cells_.capacity() * sizeof(Cell); }

 private:
  struct Cell {
    uint32_t hash = 0;
    Slot slot = kAnySlot;
  };
  static constexpr size_t kSmallest = 16;

  static uint32_t short_hash(uint64_t hash) { return static_cast<uint32_t>(hash ^ (hash >> 32)); }
  size_t mask() const { return cells_.size() - 1; }
  size_t next(size_t i) const { return (i + 1) & mask(); }

  // Where the slot is, or where it would go.
  template <class Is>
  size_t place(uint32_t hash, Is&& is) const {
    size_t i = hash & mask();
    while (cells_[i].slot != kAnySlot && (cells_[i].hash != hash || !is(cells_[i].slot))) {
      i = next(i);
    }
    return i;
  }

  void rehash(size_t cells) {
    const std::vector<Cell> old = std::exchange(cells_, std::vector<Cell>(cells));
    for (const Cell& cell : old) {
      if (cell.slot != kAnySlot) cells_[place(cell.hash, [](Slot) { return false; })] = cell;
    }
  }

  std::vector<Cell> cells_;  // a power of two, or none
  size_t size_ = 0;
};

}  // namespace es::policy

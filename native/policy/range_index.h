// Which of many address ranges contain an address or overlap a range: an interval tree laid out in
// a sorted array. Built once; a query costs O(log n + hits) for ranges that do not all nest.
#pragma once

#include "native/policy/address.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace es::policy {

class RangeIndex {
 public:
  struct Entry {
    Range range;
    uint32_t id = 0;
  };

  RangeIndex() = default;
  explicit RangeIndex(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.range < b.range; });
    reach_.resize(entries_.size());
    build(0, entries_.size());
  }

  // Calls f(id) for every range that overlaps; an id comes as often as it has such ranges.
  template <class F>
  void overlapping(const Range& range, F&& f) const {
    visit(0, entries_.size(), range, f);
  }

 private:
  static size_t middle(size_t from, size_t to) { return from + (to - from) / 2; }

  // reach_[middle] is the greatest end of the ranges of a subtree.
  Address build(size_t from, size_t to) {
    if (from == to) return {};
    const size_t m = middle(from, to);
    const Address left = build(from, m);
    const Address right = build(m + 1, to);
    reach_[m] = std::max({left, right, entries_[m].range.last});
    return reach_[m];
  }

  template <class F>
  void visit(size_t from, size_t to, const Range& range, F& f) const {
    if (from == to) return;
    const size_t m = middle(from, to);
    if (reach_[m] < range.first) return;
    visit(from, m, range, f);
    if (entries_[m].range.first > range.last) return;
    if (entries_[m].range.overlaps(range)) f(entries_[m].id);
    visit(m + 1, to, range, f);
  }

  std::vector<Entry> entries_;
  std::vector<Address> reach_;
};

}  // namespace es::policy

// Frames that wait for one client: bounded in number and bytes, the oldest is dropped first.
//
// A relay must never push back on a sender because one receiver is slow, and late packets are
// worth less than fresh ones: hence head drop. The bound is in bytes as well because one read of
// the driver may carry a few hundred small packets for the same client.
// Threads: one caller.
#pragma once

#include "common/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace es::derp {

struct QueueLimits {
  size_t packets = 512;
  size_t bytes = 128U << 10U;
  size_t always = 1;  // packets that may wait whatever their size; at least one
};

struct QueuedFrame {
  std::unique_ptr<uint8_t[]> data;
  uint32_t len = 0;
  Bytes bytes() const { return {data.get(), len}; }
};

class PacketQueue {
 public:
  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  size_t num_bytes() const { return bytes_; }

  // Returns how many old frames were dropped to make room.
  size_t push(QueuedFrame frame, const QueueLimits& limits) {
    size_t dropped = 0;
    const auto is_full = [&] {
      const bool too_large = bytes_ + frame.len > limits.bytes && count_ >= limits.always;
      return count_ >= limits.packets || too_large;
    };
    while (count_ > 0 && is_full()) {
      (void)pop();
      ++dropped;
    }
    if (count_ == ring_.size()) grow();
    bytes_ += frame.len;
    ring_[(head_ + count_) & (ring_.size() - 1)] = std::move(frame);
    ++count_;
    return dropped;
  }

  // Not on an empty queue.
  QueuedFrame pop() {
    QueuedFrame frame = std::move(ring_[head_]);
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
    bytes_ -= frame.len;
    if (count_ == 0 && ring_.size() > kKeptSlots) {
      ring_.clear();
      ring_.shrink_to_fit();
      head_ = 0;
    }
    return frame;
  }

 private:
  static constexpr size_t kFirstSlots = 8;
  static constexpr size_t kKeptSlots = 64;  // what an idle client may keep: 1 KiB

  void grow() {
    std::vector<QueuedFrame> larger(ring_.empty() ? kFirstSlots : ring_.size() * 2);
    for (size_t i = 0; i < count_; ++i) {
      larger[i] = std::move(ring_[(head_ + i) & (ring_.size() - 1)]);
    }
    ring_ = std::move(larger);
    head_ = 0;
  }

  std::vector<QueuedFrame> ring_;  // a power of two, allocated by the first frame
  size_t head_ = 0;
  size_t count_ = 0;
  size_t bytes_ = 0;
};

}  // namespace es::derp

// Private to h2: the body that waits on one stream for its windows and for the peer to read.
#pragma once

#include "native/h2/types.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

namespace es::h2 {

class OutgoingBody {
 public:
  size_t buffered() const { return buffered_; }
  bool finished() const { return finished_; }
  bool drained() const { return chunks_.empty(); }

  void push(Chunk chunk) {
    if (chunk.bytes.empty()) return;
    buffered_ += chunk.bytes.size();
    chunks_.push_back(std::move(chunk));
  }
  void finish() { finished_ = true; }

  // Moves `len` bytes, which must be there, to the end of `out`.
  void append_to(std::vector<uint8_t>& out, size_t len) {
    buffered_ -= len;
    while (len > 0) {
      Chunk& front = chunks_.front();
      const Bytes piece = front.bytes.first(std::min(len, front.bytes.size()));
      out.insert(out.end(), piece.begin(), piece.end());
      front.bytes = front.bytes.subspan(piece.size());
      len -= piece.size();
      if (front.bytes.empty()) chunks_.pop_front();
    }
  }
  // The same into a buffer: as much as there is and fits.
  size_t read(MutableBytes out) {
    size_t done = 0;
    while (done < out.size() && !chunks_.empty()) {
      Chunk& front = chunks_.front();
      const size_t len = std::min(out.size() - done, front.bytes.size());
      std::copy_n(front.bytes.begin(), len, out.begin() + static_cast<std::ptrdiff_t>(done));
      front.bytes = front.bytes.subspan(len);
      done += len;
      if (front.bytes.empty()) chunks_.pop_front();
    }
    buffered_ -= done;
    return done;
  }

 private:
  std::deque<Chunk> chunks_;
  size_t buffered_ = 0;
  bool finished_ = false;
};

}  // namespace es::h2

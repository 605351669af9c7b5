// The bytes of one map message, put together from text and from pieces that were compressed before.
//
// A zstd stream may be several frames, and clients decode all of them as one message: a peer is
// rendered and compressed once a change, and the same frame goes to every viewer.
// Threads: values; compression contexts are one a thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace es::control {

enum class Compression : uint8_t { kNone, kZstd };

// A piece of JSON in both forms.
struct MapPiece {
  std::string text;
  std::string zstd;  // one frame
};

std::shared_ptr<const MapPiece> make_map_piece(std::string text);

class MapPayload {
 public:
  explicit MapPayload(Compression compression) : compression_(compression) {}

  void text(std::string_view json) { pending_ += json; }
  void piece(const MapPiece& piece);
  // The whole payload, without its length prefix. The object is spent afterwards.
  std::string finish();

 private:
  void flush();

  Compression compression_;
  std::string pending_;
  std::string out_;
};

}  // namespace es::control

// The bytes of one map message, put together from text and from pieces that were compressed before.
//
// A zstd stream may be several frames, and clients decode all of them as one message: what many
// viewers see is rendered and compressed once a change, and the same bytes go to each of them. A
// message is a list of references, so a thousand that wait to be sent hold little of their own.
// Threads: values; compression contexts are one a thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::control {

enum class Compression : uint8_t { kNone, kZstd };

// A piece of JSON in both forms.
struct MapPiece {
  std::string text;
  std::string zstd;  // one frame
};

std::shared_ptr<const MapPiece> make_map_piece(std::string text);

// A whole message as the client asked for it, without its length prefix.
struct MapMessage {
  std::vector<std::shared_ptr<const std::string>> pieces;  // none of them empty

  size_t size() const;
  std::string joined() const;
};

class MapPayload {
 public:
  explicit MapPayload(Compression compression) : compression_(compression) {}

  void text(std::string_view json) { pending_ += json; }
  void piece(const std::shared_ptr<const MapPiece>& piece);
  // The object is spent afterwards.
  MapMessage finish();

 private:
  void flush();

  Compression compression_;
  std::string pending_;
  MapMessage out_;
};

}  // namespace es::control

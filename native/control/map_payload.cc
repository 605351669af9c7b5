#include "native/control/map_payload.h"

#include <zstd.h>

#include <utility>

namespace es::control {
namespace {

// Fast: what is compressed for one viewer only is short, and what is long is compressed once for
// all.
constexpr int kLevel = 1;

struct ContextDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

void append_frame(std::string& out, std::string_view text) {
  thread_local const std::unique_ptr<ZSTD_CCtx, ContextDeleter> context(ZSTD_createCCtx());
  const size_t before = out.size();
  const size_t bound = ZSTD_compressBound(text.size());
  out.resize(before + bound);
  const size_t len = ZSTD_compressCCtx(context.get(), out.data() + before, bound, text.data(),
                                       text.size(), kLevel);
  // With a buffer of the bound's size only a lack of memory can fail.
  out.resize(ZSTD_isError(len) != 0 ? before : before + len);
}

}  // namespace

std::shared_ptr<const MapPiece> make_map_piece(std::string text) {
  auto piece = std::make_shared<MapPiece>();
  append_frame(piece->zstd, text);
  piece->zstd.shrink_to_fit();
  piece->text = std::move(text);
  return piece;
}

size_t MapMessage::size() const {
  size_t total = 0;
  for (const auto& piece : pieces) total += piece->size();
  return total;
}

std::string MapMessage::joined() const {
  std::string out;
  out.reserve(size());
  for (const auto& piece : pieces) out += *piece;
  return out;
}

void MapPayload::piece(const std::shared_ptr<const MapPiece>& piece) {
  flush();
  const bool plain = compression_ == Compression::kNone;
  out_.pieces.emplace_back(piece, plain ? &piece->text : &piece->zstd);
}

void MapPayload::flush() {
  if (pending_.empty()) return;
  std::string bytes;
  if (compression_ == Compression::kNone) {
    bytes = std::move(pending_);
  } else {
    append_frame(bytes, pending_);
    bytes.shrink_to_fit();  // it may wait for a slow client
  }
  out_.pieces.push_back(std::make_shared<const std::string>(std::move(bytes)));
  pending_.clear();
}

MapMessage MapPayload::finish() {
  flush();
  return std::move(out_);
}

}  // namespace es::control

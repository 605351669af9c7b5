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
  piece->text = std::move(text);
  return piece;
}

void MapPayload::piece(const MapPiece& piece) {
  if (compression_ == Compression::kNone) {
    pending_ += piece.text;
    return;
  }
  flush();
  out_ += piece.zstd;
}

void MapPayload::flush() {
  if (pending_.empty()) return;
  append_frame(out_, pending_);
  pending_.clear();
}

std::string MapPayload::finish() {
  if (compression_ == Compression::kNone) return std::move(pending_);
  flush();
  return std::move(out_);
}

}  // namespace es::control

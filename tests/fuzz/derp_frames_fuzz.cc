// A hostile DERP stream, for either side: cut anywhere it gives the same frames and verdict, no
// frame breaks its bounds, and the greeting parsers take whatever a payload holds.
#include "native/derp/frames.h"
#include "native/derp/info.h"

#include <algorithm>
#include <cstdlib>

namespace {

struct Outcome {
  std::vector<uint8_t> all;  // type and payload of every frame, joined
  size_t frames = 0;
  bool ok = true;
};

Outcome run(es::derp::Side side, es::Bytes stream, size_t piece) {
  es::derp::FrameReader reader(side);
  Outcome out;
  while (!stream.empty() && out.ok) {
    const size_t take = std::min(piece, stream.size());
    reader.begin(stream.first(take));
    for (;;) {
      const auto frame = reader.next();
      out.ok = frame.ok();
      if (!frame.ok() || !*frame) break;
      const auto bounds = es::derp::frame_bounds(side, (*frame)->type);
      const es::Bytes payload = (*frame)->payload;
      if (!bounds || payload.size() < bounds->min_len || payload.size() > bounds->max_len) {
        std::abort();
      }
      out.all.push_back(static_cast<uint8_t>((*frame)->type));
      out.all.insert(out.all.end(), payload.begin(), payload.end());
      ++out.frames;
      if ((*frame)->type == es::derp::FrameType::kServerKey) {
        (void)es::derp::parse_server_key(payload);
      }
    }
    reader.end();
    stream = stream.subspan(take);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto side = data[0] % 2 == 0 ? es::derp::Side::kServer : es::derp::Side::kClient;
  const es::Bytes stream = es::Bytes(data, size).subspan(2);
  const Outcome whole = run(side, stream, size);
  const Outcome cut = run(side, stream, 1 + data[1] % 32);
  if (whole.ok != cut.ok || whole.frames != cut.frames || whole.all != cut.all) std::abort();
  const auto info = es::derp::parse_client_info(es::as_text(stream));
  if (info.ok() && !es::derp::parse_client_info(es::derp::format_client_info(*info)).ok()) {
    std::abort();
  }
  (void)es::derp::parse_server_info(es::as_text(stream));
  return 0;
}

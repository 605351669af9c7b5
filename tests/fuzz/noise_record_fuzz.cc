// The record receiver and the early payload reader on a hostile stream, cut into pieces: the same
// bytes in one piece and in many give the same plaintext and the same verdict.
#include "native/noise/early_payload.h"
#include "native/noise/record.h"

#include <algorithm>
#include <cstdlib>

namespace {

using Buffer = std::vector<uint8_t>;

struct Outcome {
  Buffer plain;
  Buffer rest;
  bool ok = true;
};

Outcome run(es::Bytes stream, size_t piece) {
  es::noise::Key key;
  key.fill(7);
  auto receiver = es::noise::RecordReceiver::create(key);
  Outcome out;
  while (!stream.empty() && out.ok) {
    const size_t take = std::min(piece, stream.size());
    out.ok = receiver->open(stream.first(take), out.plain).ok();
    stream = stream.subspan(take);
  }
  return out;
}

Outcome run_early(es::Bytes stream, size_t piece) {
  es::noise::EarlyPayloadReader reader(4096);
  Outcome out;
  while (!stream.empty() && out.ok) {
    const size_t take = std::min(piece, stream.size());
    out.ok = reader.read(stream.first(take), out.rest).ok();
    stream = stream.subspan(take);
  }
  if (reader.json()) out.plain.assign(reader.json()->begin(), reader.json()->end());
  return out;
}

void same(const Outcome& a, const Outcome& b) {
  if (a.ok != b.ok || a.plain != b.plain || a.rest != b.rest) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 64;
  const es::Bytes stream = es::Bytes(data, size).subspan(1);
  const Outcome whole = run(stream, stream.size() + 1);
  same(whole, run(stream, piece));
  same(run_early(stream, stream.size() + 1), run_early(stream, piece));
  same(run_early(whole.plain, whole.plain.size() + 1), run_early(whole.plain, piece));
  return 0;
}

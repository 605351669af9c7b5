// A hostile HTTP/2 client: every announced stream is closed exactly once, bodies keep their limit,
// and the server's own bytes stay in proportion to what came in.
#include "native/h2/server_session.h"

#include <algorithm>
#include <cstdlib>
#include <map>

namespace {

constexpr size_t kMaxBody = 4096;

class App : public es::h2::ServerHandler {
 public:
  void on_request(es::h2::StreamId id, es::h2::Request request, es::h2::HasBody) override {
    if (!open.emplace(id, 0).second || request.method.empty()) std::abort();
  }
  void on_body(es::h2::StreamId id, es::Bytes piece) override {
    if ((open.at(id) += piece.size()) > kMaxBody) std::abort();
  }
  void on_request_end(es::h2::StreamId id) override {
    if (!open.contains(id)) std::abort();
    session->respond(id, {.status = 200, .headers = {}}, es::h2::HasBody::kYes);
    if (session->write(id, es::h2::Chunk::copy_of(es::as_bytes("answer"))) ==
        es::h2::Write::kFull) {
      std::abort();
    }
    session->finish(id);
  }
  void on_writable(es::h2::StreamId id) override {
    if (!open.contains(id)) std::abort();
  }
  void on_closed(es::h2::StreamId id, es::h2::ErrorCode) override {
    if (open.erase(id) != 1) std::abort();
  }

  std::map<es::h2::StreamId, size_t> open;
  es::h2::ServerSession* session = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  App app;
  auto session = es::h2::ServerSession::create({.max_concurrent_streams = 16,
                                                .max_headers = 32,
                                                .max_header_bytes = 2048,
                                                .max_body_bytes = kMaxBody,
                                                .max_unfinished_bytes = 4 * kMaxBody,
                                                .max_response_buffer = 1024,
                                                .max_session_buffer = 64},
                                               app);
  if (!session.ok()) std::abort();
  app.session = &*session;
  es::Bytes stream = es::Bytes(data, size).subspan(1);
  const size_t piece = 1 + size_t{data[0]} * 8;
  std::vector<uint8_t> out;
  size_t sent = 0;
  bool ok = true;
  for (int64_t ms = 0; !stream.empty() && ok; ms += 1) {
    const size_t take = std::min(piece, stream.size());
    ok = session->receive(stream.first(take), es::Millis(ms)).ok();
    stream = stream.subspan(take);
    out.clear();
    session->take_output(SIZE_MAX, out);
    sent += out.size();
  }
  // A request costs at least 9 bytes and is answered with less than 64; settings and GOAWAY once.
  if (sent > 1000 + 8 * size) std::abort();
  session->abort();
  if (!app.open.empty() || session->num_streams() != 0) std::abort();
  return 0;
}

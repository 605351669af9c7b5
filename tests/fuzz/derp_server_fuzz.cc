// A hostile client against a whole relay with honest neighbours: whatever it sends, they stay
// connected and get no packet that it could not have sent them.
#include "native/derp/client.h"
#include "native/derp/server.h"

#include <cstdlib>

namespace {

using Buffer = std::vector<uint8_t>;

class TestHost : public es::derp::Host {
 public:
  void output_ready(es::derp::ConnId) override {}
  void resume_reading(es::derp::ConnId) override {}
  void close(es::derp::ConnId id, es::derp::CloseReason) override { closed = id; }
  es::derp::Admission admit(es::derp::ConnId, const es::derp::Key&,
                            const es::derp::Endpoint&) override {
    return es::derp::Admission::kAdmit;
  }
  void random(es::MutableBytes out) override {
    for (auto& b : out) b = 7;
  }
  es::derp::ConnId closed = 0;
};

struct Neighbour : es::derp::ClientEvents {
  void on_packet(const es::derp::Key& source, es::Bytes) override {
    if (source != hostile) std::abort();
  }
  es::derp::Key hostile{};
};

void exchange(es::derp::Server& server, es::derp::ConnId id, es::derp::Client& client) {
  Buffer out;
  for (int i = 0; i < 3; ++i) {
    out.clear();
    server.take_output(id, SIZE_MAX, out);
    if (!client.receive(out).ok()) std::abort();
    server.receive(id, client.take_output(), es::Millis(0));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const auto kConfig = [] {
    es::derp::ServerConfig config;
    config.private_key = es::derp::Key{0, 9};
    return config;
  }();
  TestHost host;
  auto server = es::derp::Server::create(kConfig, host).value();
  Neighbour events;
  auto neighbour =
      es::derp::Client::create(es::derp::Key{0, 2}, {}, {.version = 2}, events).value();
  Neighbour unused;
  auto hostile = es::derp::Client::create(es::derp::Key{0, 1}, {}, {.version = 2}, unused).value();
  events.hostile = hostile.public_key();
  unused.hostile = hostile.public_key();

  const auto neighbour_id = server.open({}, es::Millis(0)).value();
  exchange(server, neighbour_id, neighbour);
  const auto hostile_id = server.open({}, es::Millis(0)).value();
  // The first byte says whether the bytes come before or after a good greeting.
  if (data[0] % 4 != 0) exchange(server, hostile_id, hostile);
  es::Bytes stream = es::Bytes(data, size).subspan(1);
  const size_t piece = 1 + data[0] / 4 * 16;
  for (int64_t ms = 0; !stream.empty(); ms += 10) {
    const size_t take = std::min(piece, stream.size());
    server.receive(hostile_id, stream.first(take), es::Millis(ms));
    server.tick(es::Millis(ms));
    stream = stream.subspan(take);
  }
  exchange(server, neighbour_id, neighbour);
  if (!neighbour.connected() || host.closed == neighbour_id) std::abort();
  server.closed(hostile_id);
  if (server.stats().connections != 1 || server.stats().clients != 1) std::abort();
  return 0;
}

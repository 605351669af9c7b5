// A hostile client against a whole relay with honest neighbours: whatever it sends, they stay
// connected and get no packet that it could not have sent them.
#include "native/derp/client.h"
#include "native/derp/server.h"

#include <cstdlib>
#include <memory>

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

const es::derp::Key kServerPrivate{0, 9};
const es::derp::Key kNeighbourPrivate{0, 2};
const es::derp::Key kHostilePrivate{0, 1};

// The greeting of a client, made once: it costs two curve operations.
Buffer greeting(const es::derp::Key& private_key) {
  const auto box =
      es::derp::SharedBox::create(private_key, es::derp::public_key(kServerPrivate).value());
  Buffer out;
  es::derp::append_client_info(es::derp::public_key(private_key).value(), *box, {}, {.version = 2},
                               out);
  return out;
}

struct World {
  TestHost host;
  es::derp::Server server = [this] {
    es::derp::ServerConfig config;
    config.private_key = kServerPrivate;
    return es::derp::Server::create(config, host).value();
  }();
  es::derp::ConnId neighbour = server.open({}, es::Millis(0)).value();
};

// Takes what the server has for an honest client and looks at every frame of it.
void read_all(es::derp::Server& server, es::derp::ConnId id, const es::derp::Key& only_source) {
  Buffer out;
  server.take_output(id, SIZE_MAX, out);
  es::derp::FrameReader reader(es::derp::Side::kClient);
  reader.begin(out);
  for (;;) {
    const auto frame = reader.next();
    if (!frame.ok()) std::abort();
    if (!*frame) break;
    if ((*frame)->type == es::derp::FrameType::kRecvPacket &&
        es::derp::key_in((*frame)->payload) != only_source) {
      std::abort();
    }
  }
  if (reader.held() != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const Buffer neighbour_greeting = greeting(kNeighbourPrivate);
  static const Buffer hostile_greeting = greeting(kHostilePrivate);
  static const es::derp::Key hostile_key = es::derp::public_key(kHostilePrivate).value();
  // A relay serves many runs, as each costs a curve operation; it is new often enough that a
  // finding is small.
  static std::unique_ptr<World> world;
  static size_t runs = 0;
  if (runs++ % 64 == 0) {
    world = std::make_unique<World>();
    world->server.receive(world->neighbour, neighbour_greeting, es::Millis(0));
    read_all(world->server, world->neighbour, hostile_key);
  }
  TestHost& host = world->host;
  es::derp::Server& server = world->server;
  const es::derp::ConnId neighbour = world->neighbour;
  const auto hostile = server.open({}, es::Millis(0)).value();
  // The first byte says whether the bytes come before or after a good greeting.
  if (data[0] % 4 != 0) server.receive(hostile, hostile_greeting, es::Millis(0));
  es::Bytes stream = es::Bytes(data, size).subspan(1);
  const size_t piece = 1 + size_t{data[0]} / 4 * 16;
  for (int64_t ms = 0; !stream.empty(); ms += 10) {
    const size_t take = std::min(piece, stream.size());
    server.receive(hostile, stream.first(take), es::Millis(ms));
    server.tick(es::Millis(ms));
    stream = stream.subspan(take);
  }
  read_all(server, neighbour, hostile_key);
  if (host.closed == neighbour || server.stats().clients == 0) std::abort();
  server.closed(hostile);
  if (server.stats().connections != 1 || server.stats().clients != 1) std::abort();
  return 0;
}

#include "native/derp/server.h"

#include "tests/unit/native/derp/relay_world.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace es::derp {

using test::Buffer;
using test::SimClient;
using test::World;

namespace {

Buffer disco_packet(uint8_t fill = 0) {
  constexpr uint8_t kMagic[] = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
  Buffer out(62, fill);
  std::copy(std::begin(kMagic), std::end(kMagic), out.begin());
  return out;
}

}  // namespace

TEST_CASE("a packet reaches the client of its key with the sender's key") {
  World w;
  SimClient& a = w.join(1);
  SimClient& b = w.join(2);
  CHECK(a.client.server_key() == w.server->public_key());
  w.send(a, b.key(), as_bytes("hello"));
  REQUIRE(b.packets.size() == 1);
  CHECK(b.packets[0].first == a.key());
  CHECK(as_text(b.packets[0].second) == "hello");
  w.send(b, a.key(), {});
  REQUIRE(a.packets.size() == 1);
  CHECK(a.packets[0].second.empty());
  const Buffer largest(kMaxPacketLen, 3);
  w.send(a, b.key(), largest);
  CHECK(b.packets[1].second == largest);
  w.send(a, a.key(), as_bytes("self"));
  CHECK(a.packets.size() == 2);
  CHECK(w.server->stats().packets_in == 4);
  CHECK(w.server->stats().packets_out == 4);
  CHECK(w.server->stats().bytes_out == 5 + kMaxPacketLen + 4);
}

TEST_CASE("packets sent in one piece with the greeting are not lost") {
  World w;
  SimClient& b = w.join(2);
  // The server key is read, and the packet follows the greeting before ServerInfo was seen.
  auto a = std::make_unique<SimClient>(1);
  a->id = w.server->open({}, w.now).value();
  Buffer out;
  REQUIRE(w.server->take_output(a->id, 1, out));
  REQUIRE(a->client.receive(out).ok());
  a->client.note_preferred(Preferred::kYes);
  REQUIRE(a->client.send(b.key(), as_bytes("early")).ok());
  SECTION("when it is admitted at once") {
    w.server->receive(a->id, a->client.take_output(), w.now);
    w.settle();
    REQUIRE(b.packets.size() == 1);
    CHECK(as_text(b.packets[0].second) == "early");
    CHECK(w.server->stats().home_clients == 1);
  }
  SECTION("when it is admitted later") {
    w.admission = Admission::kLater;
    CHECK(w.server->wants_read(a->id));
    w.server->receive(a->id, a->client.take_output(), w.now);
    CHECK_FALSE(w.server->wants_read(a->id));
    w.settle();
    CHECK(b.packets.empty());
    w.server->admission_decided(a->id, Admission::kAdmit, w.now);
    CHECK(w.server->wants_read(a->id));
    CHECK(w.resumed == std::vector<ConnId>{a->id});
    w.settle();
    REQUIRE(b.packets.size() == 1);
  }
}

TEST_CASE("a client that is not admitted is closed without a word") {
  World w;
  SECTION("at once") {
    w.admission = Admission::kRefuse;
    SimClient& a = w.connect(1);
    CHECK_FALSE(a.client.connected());
    CHECK(w.closed.at(a.id) == CloseReason::kNotAdmitted);
  }
  SECTION("later") {
    w.admission = Admission::kLater;
    SimClient& a = w.connect(1);
    w.server->admission_decided(a.id, Admission::kRefuse, w.now);
    CHECK(w.closed.at(a.id) == CloseReason::kNotAdmitted);
  }
  SECTION("when nobody decides") {
    w.admission = Admission::kLater;
    SimClient& a = w.connect(1);
    w.advance(Millis(4999));
    CHECK(w.closed.empty());
    w.advance(Millis(1));
    CHECK(w.closed.at(a.id) == CloseReason::kAdmissionTimeout);
    // A decision that comes too late changes nothing.
    w.server->admission_decided(a.id, Admission::kAdmit, w.now);
  }
  CHECK(w.server->stats().handshake_failed == 1);
  CHECK(w.server->stats().connections == 0);
  CHECK(w.server->stats().handshaking == 0);
  CHECK(w.server->stats().clients == 0);
}

TEST_CASE("the host is asked with the client's key and only after its box opened") {
  World w;
  SimClient& a = w.join(1);
  REQUIRE(w.asked.size() == 1);
  CHECK(w.asked[0] == std::pair{a.id, a.key()});
  // Another's key with a box of one's own does not open.
  const auto id = w.server->open({}, w.now).value();
  Buffer out;
  const auto box = SharedBox::create(test::private_key(9), w.server->public_key()).value();
  append_client_info(a.key(), box, Nonce{}, {}, out);
  w.server->receive(id, out, w.now);
  CHECK(w.closed.at(id) == CloseReason::kProtocolError);
  CHECK(w.asked.size() == 1);
}

TEST_CASE("a silent connection is closed after the handshake timeout") {
  World w;
  const auto id = w.server->open({}, w.now).value();
  CHECK(w.server->next_deadline() == w.now + Millis(10000));
  w.advance(Millis(9999));
  CHECK(w.closed.empty());
  w.advance(Millis(1));
  CHECK(w.closed.at(id) == CloseReason::kHandshakeTimeout);
  CHECK_FALSE(w.server->next_deadline());
}

TEST_CASE("anything but a good greeting ends the connection") {
  World w({.max_client_info_len = 1000});
  const auto refused = [&](const Buffer& bytes) {
    const auto id = w.server->open({}, w.now).value();
    w.server->receive(id, bytes, w.now);
    return w.closed.contains(id) && w.closed.at(id) == CloseReason::kProtocolError;
  };
  Buffer packet;
  append_packet(FrameType::kSendPacket, Key{1}, as_bytes("x"), packet);
  CHECK(refused(packet));
  CHECK(refused(Buffer{0x02, 0, 0, 0, 55}));
  CHECK(refused(Buffer{0x02, 0xff, 0, 0, 0}));
  Buffer zero_key(61, 0);
  zero_key[0] = 2;
  zero_key[4] = 56;
  CHECK(refused(zero_key));
  // Its header is fine by the format, but more than this server takes: it is not collected.
  Buffer long_greeting{0x02, 0, 0, 0x10, 0};
  long_greeting.resize(1100);
  CHECK(refused(long_greeting));
  // Unknown frames before the greeting are skipped, as every unknown frame is.
  const auto id = w.server->open({}, w.now).value();
  w.server->receive(id, Buffer{0x55, 0, 0, 0, 1, 9}, w.now);
  CHECK_FALSE(w.closed.contains(id));
}

TEST_CASE("connections are bounded, in all and before admission") {
  World w({.max_connections = 3, .max_handshaking = 2});
  const auto first = w.server->open({}, w.now);
  REQUIRE(first.ok());
  REQUIRE(w.server->open({}, w.now).ok());
  const auto third = w.server->open({}, w.now);
  REQUIRE_FALSE(third.ok());
  CHECK(third.error().action == Action::kRetryLater);
  w.server->closed(*first);
  w.server->closed(*first);
  w.join(1);
  w.join(2);
  CHECK_FALSE(w.server->open({}, w.now).ok());
  CHECK(w.server->stats().refused_full == 2);
  CHECK(w.server->stats().connections == 3);
}

TEST_CASE("one source cannot take every place before admission") {
  World w({.max_handshaking = 100, .max_handshaking_per_source = 2});
  const auto from = [](std::initializer_list<uint8_t> ip) {
    Endpoint out;
    std::copy(ip.begin(), ip.end(), out.ip.end() - static_cast<std::ptrdiff_t>(ip.size()));
    if (ip.size() == 4) out.ip[10] = out.ip[11] = 0xff;
    return out;
  };
  const Endpoint flood = from({192, 0, 2, 1});
  const auto first = w.server->open(flood, w.now);
  REQUIRE(first.ok());
  REQUIRE(w.server->open(flood, w.now).ok());
  CHECK_FALSE(w.server->open(flood, w.now).ok());
  CHECK(w.server->open(from({192, 0, 2, 2}), w.now).ok());
  w.server->closed(*first);
  CHECK(w.server->open(flood, w.now).ok());
  CHECK_FALSE(w.server->open(flood, w.now).ok());
  w.advance(Millis(10'001));  // the handshake's time is over
  CHECK(w.server->open(flood, w.now).ok());

  // IPv6 counts by /64; this machine, where a proxy stands, does not count.
  const auto v6 = [&](uint8_t network, uint8_t host) {
    return from({0x20, 0x01, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host});
  };
  CHECK(w.server->open(v6(1, 1), w.now).ok());
  CHECK(w.server->open(v6(1, 2), w.now).ok());
  CHECK_FALSE(w.server->open(v6(1, 3), w.now).ok());
  CHECK(w.server->open(v6(2, 1), w.now).ok());
  for (int i = 0; i < 5; ++i) CHECK(w.server->open(from({127, 0, 0, 9}), w.now).ok());
}

TEST_CASE("keep-alives come every minute with up to five seconds of jitter") {
  World w;
  SimClient& a = w.join(1);
  w.advance(Millis(59999));
  CHECK(a.keep_alives == 0);
  w.advance(Millis(5001));
  CHECK(a.keep_alives == 1);
  w.advance(Millis(65000));
  CHECK(a.keep_alives == 2);
  // Clients give up after 120 s of silence: never that long between two.
  int last = a.keep_alives;
  for (int i = 0; i < 100; ++i) {
    w.advance(Millis(66000));
    CHECK(a.keep_alives > last);
    last = a.keep_alives;
  }
}

TEST_CASE("a ping is answered with its first eight bytes, one answer at a time") {
  World w;
  SimClient& a = w.join(1);
  a.client.ping({1, 2, 3, 4, 5, 6, 7, 8});
  w.settle();
  REQUIRE(a.pongs.size() == 1);
  CHECK(a.pongs[0] == PingData{1, 2, 3, 4, 5, 6, 7, 8});
  Buffer flood;
  for (uint8_t i = 0; i < 100; ++i) append_ping(FrameType::kPing, PingData{i}, flood);
  w.server->receive(a.id, flood, w.now);
  w.settle();
  CHECK(a.pongs.size() == 2);
  Buffer longer;
  append_header(FrameType::kPing, 1000, longer);
  longer.resize(longer.size() + 1000, 9);
  w.server->receive(a.id, longer, w.now);
  w.settle();
  CHECK(a.pongs.back() == PingData{9, 9, 9, 9, 9, 9, 9, 9});
  longer[3] = 0x03;
  longer[4] = 0xe9;
  w.server->receive(a.id, longer, w.now);
  CHECK(w.closed.at(a.id) == CloseReason::kProtocolError);
}

TEST_CASE("a disco packet to nobody is answered with not-here, three at once and one a second") {
  World w;
  SimClient& a = w.join(1);
  const Key nobody{7};
  w.send(a, nobody, as_bytes("not disco"));
  CHECK(a.gone.empty());
  for (int i = 0; i < 10; ++i) w.send(a, nobody, disco_packet());
  REQUIRE(a.gone.size() == 3);
  CHECK(a.gone[0] == std::pair{nobody, uint8_t{1}});
  w.now += Millis(999);
  w.send(a, nobody, disco_packet());
  CHECK(a.gone.size() == 3);
  w.now += Millis(1);
  for (int i = 0; i < 5; ++i) w.send(a, nobody, disco_packet());
  CHECK(a.gone.size() == 4);
  CHECK(w.server->stats().dropped_unknown == 17);
}

TEST_CASE("who got packets from a client is told when it leaves, and nobody else") {
  World w;
  SimClient& a = w.join(1);
  SimClient& b = w.join(2);
  SimClient& c = w.join(3);
  w.send(a, b.key(), as_bytes("x"));
  w.send(c, a.key(), as_bytes("x"));
  w.leave(a);
  REQUIRE(b.gone.size() == 1);
  CHECK(b.gone[0] == std::pair{a.key(), uint8_t{0}});
  CHECK(c.gone.empty());
  SimClient& again = w.join(1);
  w.leave(again);
  CHECK(b.gone.size() == 1);
  // The receiver leaving first leaves nothing behind.
  w.send(c, b.key(), as_bytes("x"));
  w.leave(b);
  w.leave(c);
  CHECK(w.server->stats().clients == 0);
}

TEST_CASE("a slow receiver loses its oldest packets and slows nobody") {
  World w({.queue = {.packets = 32, .bytes = 1U << 20U}});
  SimClient& a = w.join(1);
  SimClient& slow = w.join(2);
  SimClient& c = w.join(3);
  slow.stalled = true;
  for (uint8_t i = 0; i < 100; ++i) {
    w.send(a, slow.key(), Buffer{i});
    w.send(a, slow.key(), disco_packet(i));
    w.send(a, c.key(), Buffer{i});
  }
  CHECK(c.packets.size() == 100);
  CHECK(w.server->stats().dropped_queue == 2 * 68);
  slow.stalled = false;
  w.settle();
  REQUIRE(slow.packets.size() == 64);
  std::vector<uint8_t> plain, disco;
  for (const auto& [key, packet] : slow.packets) {
    (packet.size() == 1 ? plain : disco).push_back(packet.back());
  }
  REQUIRE(plain.size() == 32);
  for (uint8_t i = 0; i < 32; ++i) {
    CHECK(plain[i] == 68 + i);
    CHECK(disco[i] == 68 + i);
  }
}

TEST_CASE("queues are bounded by bytes, but one packet always fits") {
  PacketQueue queue;
  const QueueLimits limits{.packets = 100, .bytes = 1000};
  const auto frame = [](uint32_t len) {
    return QueuedFrame{std::make_unique<uint8_t[]>(len), len};
  };
  CHECK(queue.push(frame(5000), limits) == 0);
  CHECK(queue.push(frame(400), limits) == 1);
  CHECK(queue.push(frame(600), limits) == 0);
  CHECK(queue.num_bytes() == 1000);
  CHECK(queue.push(frame(1), limits) == 1);
  CHECK(queue.num_bytes() == 601);
  for (int i = 0; i < 98; ++i) CHECK(queue.push(frame(1), limits) == 0);
  CHECK(queue.count() == 100);
  CHECK(queue.push(frame(1), limits) >= 1);
  while (!queue.empty()) (void)queue.pop();
  CHECK(queue.num_bytes() == 0);
}

TEST_CASE("a burst of the largest packets waits for a slow client, until too much waits in all") {
  World w({.max_queued_bytes = 40U * 65536U});
  SimClient& a = w.join(1);
  const Buffer largest(kMaxPacketLen, 7);
  SimClient& one = w.join(2);
  SimClient& two = w.join(3);
  one.stalled = two.stalled = true;
  for (int i = 0; i < 32; ++i) w.send(a, one.key(), largest);
  CHECK(w.server->stats().dropped_queue == 0);
  w.send(a, one.key(), largest);
  CHECK(w.server->stats().dropped_queue == 1);
  // Together they may hold 40 and a bit; beyond it each is held to the smaller bound.
  for (int i = 0; i < 32; ++i) w.send(a, two.key(), largest);
  CHECK(w.server->stats().queued_bytes <= 41U * (65536U + 37U));
  CHECK(w.server->stats().dropped_queue > 20);
  two.stalled = false;
  w.settle();
  w.leave(one);
  CHECK(w.server->stats().queued_bytes == 0);
  CHECK(two.packets.size() > 0);
}

TEST_CASE("of two connections with one key the last to send gets the packets") {
  World w;
  SimClient& peer = w.join(1);
  SimClient& old_one = w.join(2);
  SimClient& new_one = w.join(2);
  CHECK(w.server->stats().clients == 2);
  CHECK(w.server->stats().duplicate_keys == 1);
  w.send(peer, old_one.key(), as_bytes("1"));
  CHECK(new_one.packets.size() == 1);
  // The old one speaks once more: packets go there, and both have now spoken.
  w.send(old_one, peer.key(), as_bytes("x"));
  w.send(peer, old_one.key(), as_bytes("2"));
  CHECK(old_one.packets.size() == 1);
  CHECK(peer.packets.back().first == old_one.key());
  // The peer is told nothing while one connection of the key remains.
  w.leave(new_one);
  CHECK(peer.gone.empty());
  w.send(peer, old_one.key(), as_bytes("3"));
  CHECK(old_one.packets.size() == 2);
  w.leave(old_one);
  CHECK(peer.gone.size() == 1);
  CHECK(w.server->stats().duplicate_keys == 0);
}

TEST_CASE("connections that alternate are told that they fight, until one remains") {
  for (const auto policy :
       {DuplicatePolicy::kLastWriterIsActive, DuplicatePolicy::kDisableFighters}) {
    World w({.duplicates = policy});
    SimClient& peer = w.join(1);
    SimClient& a = w.join(2);
    SimClient& b = w.join(2);
    w.send(b, peer.key(), as_bytes("x"));
    CHECK(a.health == "never");
    w.send(a, peer.key(), as_bytes("x"));
    CHECK(a.health.find("same node key") != std::string::npos);
    CHECK(b.health == a.health);
    w.send(peer, a.key(), as_bytes("data"));
    const bool disabled = policy == DuplicatePolicy::kDisableFighters;
    CHECK(a.packets.size() == (disabled ? 0 : 1));
    CHECK(w.server->stats().dropped_duplicate == (disabled ? 1 : 0));
    // A third one is told at once.
    SimClient& c = w.join(2);
    CHECK(c.health == a.health);
    w.leave(c);
    w.send(peer, a.key(), as_bytes("data"));
    CHECK(a.packets.size() + b.packets.size() + c.packets.size() == (disabled ? 0 : 2));
    w.leave(b);
    CHECK(a.health.empty());
    w.send(peer, a.key(), as_bytes("data"));
    CHECK_FALSE(a.packets.empty());
  }
}

TEST_CASE("mesh frames end the connection") {
  for (int kind = 0; kind < 3; ++kind) {
    World w;
    SimClient& a = w.join(1);
    Buffer out;
    if (kind == 0) append_empty(FrameType::kWatchConns, out);
    if (kind == 1) append_close_peer(a.key(), out);
    if (kind == 2) append_forward_packet(a.key(), a.key(), as_bytes("x"), out);
    w.server->receive(a.id, out, w.now);
    CHECK(w.closed.at(a.id) == CloseReason::kNotMeshPeer);
  }
}

TEST_CASE("a packet beyond the limit ends the sender's connection and disturbs nobody") {
  World w;
  SimClient& a = w.join(1);
  SimClient& b = w.join(2);
  Buffer out;
  append_packet(FrameType::kSendPacket, b.key(), as_bytes("before"), out);
  append_packet(FrameType::kSendPacket, b.key(), Buffer(kMaxPacketLen + 1), out);
  w.server->receive(a.id, out, w.now);
  w.settle();
  CHECK(w.closed.at(a.id) == CloseReason::kProtocolError);
  // It had got the packet before, so it is told.
  REQUIRE(b.packets.size() == 1);
  CHECK(b.gone.size() == 1);
}

TEST_CASE("a client over its rate is read again when the bytes are earned") {
  World w({.rate_bytes_per_second = 1000, .rate_burst_bytes = 1});
  SimClient& a = w.join(1);
  SimClient& b = w.join(2);
  CHECK(w.server->wants_read(a.id));
  // The burst is at least one largest packet; the greeting took a part of it.
  w.send(a, b.key(), Buffer(kMaxPacketLen));
  CHECK(b.packets.size() == 1);
  CHECK_FALSE(w.server->wants_read(a.id));
  CHECK(w.server->wants_read(b.id));
  w.advance(Millis(10));
  CHECK(w.resumed.empty());
  w.advance(Millis(1000));
  CHECK(w.resumed == std::vector<ConnId>{a.id});
  CHECK(w.server->wants_read(a.id));
}

TEST_CASE("a key can be disconnected, and a restart announced") {
  World w;
  SimClient& a = w.join(1);
  SimClient& a2 = w.join(1);
  SimClient& b = w.join(2);
  w.server->announce_restart(1500, 3000);
  w.settle();
  CHECK(b.restarting == std::pair{1500U, 3000U});
  CHECK(w.server->disconnect(a.key()) == 2);
  CHECK(w.closed.at(a.id) == CloseReason::kDisconnected);
  CHECK(w.closed.at(a2.id) == CloseReason::kDisconnected);
  CHECK(w.server->disconnect(a.key()) == 0);
  CHECK(w.server->stats().clients == 1);
  const auto views = w.server->clients();
  REQUIRE(views.size() == 1);
  CHECK(views[0].key == b.key());
  CHECK(views[0].num_connections == 1);
}

TEST_CASE("what a client is told of its peers stays bounded while it reads nothing") {
  World w({.max_watched_peers = 10});
  SimClient& slow = w.join(1);
  slow.stalled = true;
  for (uint32_t n = 2; n < 30; ++n) {
    SimClient& c = w.join(n);
    w.send(c, slow.key(), as_bytes("x"));
  }
  for (auto& c : w.clients) {
    if (c.get() != &slow) w.leave(*c);
  }
  slow.stalled = false;
  w.settle();
  CHECK(slow.packets.size() == 28);
  CHECK(slow.gone.size() == 10);
}

// Many clients doing everything at random against a model that knows who must get what.
TEST_CASE("five hundred clients at random: every packet arrives once and in order, or is counted") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  World w;
  std::vector<SimClient*> joined;
  std::map<Key, std::map<Key, uint32_t>> sent;  // by source and destination, the last number
  uint32_t next_key = 1;
  uint64_t to_nobody = 0;
  size_t delivered = 0;
  for (int step = 0; step < 6000; ++step) {
    const size_t what = random() % 100;
    if (joined.size() < 20 || (what < 10 && next_key < 500)) {
      joined.push_back(&w.join(next_key++));
    } else if (what < 14) {
      const size_t i = random() % joined.size();
      w.leave(*joined[i]);
      joined.erase(joined.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (what < 18) {
      w.advance(Millis(random() % 5000));
    } else {
      SimClient& from = *joined[random() % joined.size()];
      const bool nobody = random() % 10 == 0;
      const Key to = nobody ? Key{0xee} : joined[random() % joined.size()]->key();
      to_nobody += nobody ? 1 : 0;
      const uint32_t number = ++sent[from.key()][to];
      Buffer packet(4 + random() % 1400);
      ByteWriter writer(packet);
      writer.u32be(number);
      w.send(from, to, packet);
      delivered += nobody ? 0 : 1;
    }
  }
  size_t received = 0;
  for (const auto& c : w.clients) {
    std::map<Key, uint32_t> last;
    for (const auto& [source, packet] : c->packets) {
      const uint32_t number = ByteReader(packet).u32be().value();
      CHECK(number == last[source] + 1);
      last[source] = number;
      ++received;
    }
  }
  CHECK(received == delivered);
  CHECK(w.server->stats().dropped_unknown == to_nobody);
  CHECK(w.server->stats().dropped_queue == 0);
  CHECK(w.server->stats().clients == joined.size());
}

}  // namespace es::derp

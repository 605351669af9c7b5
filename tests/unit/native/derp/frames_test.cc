#include "native/derp/frames.h"

#include "native/derp/info.h"
#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <random>

namespace es::derp {

using Buffer = std::vector<uint8_t>;

namespace {

struct Keys {
  Key server_private, server_public, client_private, client_public, peer_public;
};

struct Piece {
  FrameType type;
  Buffer payload;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// Every frame of `stream`, fed in pieces of `piece` bytes; nullopt on an error.
std::optional<std::vector<Piece>> frames_of(Side side, Bytes stream, size_t piece) {
  FrameReader reader(side);
  std::vector<Piece> out;
  while (!stream.empty()) {
    const size_t take = std::min(piece, stream.size());
    reader.begin(stream.first(take));
    for (;;) {
      const auto frame = reader.next();
      if (!frame.ok()) return std::nullopt;
      if (!*frame) break;
      out.push_back({(*frame)->type, Buffer((*frame)->payload.begin(), (*frame)->payload.end())});
    }
    reader.end();
    stream = stream.subspan(take);
  }
  return out;
}

// What our writers make for the vector of that name.
Buffer write(const std::string& name, const Keys& k, const std::string& nonce_hex) {
  const Buffer hello = {'h', 'e', 'l', 'l', 'o', ' ', 'd', 'e', 'r', 'p'};
  const PingData ping{1, 2, 3, 4, 5, 6, 7, 8};
  const auto nonce = nonce_hex.empty() ? Nonce{} : test::array_from_hex<kNonceLen>(nonce_hex);
  const auto client_box = SharedBox::create(k.client_private, k.server_public).value();
  const auto server_box = SharedBox::create(k.server_private, k.client_public).value();
  Buffer out;
  if (name == "server_key") append_server_key(k.server_public, out);
  if (name == "client_info") {
    append_client_info(
        k.client_public, client_box, nonce,
        {.mesh_key = "", .version = 2, .can_ack_pings = true, .is_prober = false, .app_name = ""},
        out);
  }
  if (name == "client_info_mesh") {
    append_client_info(
        k.client_public, client_box, nonce,
        {.mesh_key = "d30ca7a7a32bf5772dc5eb2a2e7bd35737eff795ad74f2479b359716b59abdfa",
         .version = 2,
         .can_ack_pings = false,
         .is_prober = false,
         .app_name = ""},
        out);
  }
  if (name == "server_info") append_server_info(server_box, nonce, {}, out);
  if (name == "send_packet") append_packet(FrameType::kSendPacket, k.peer_public, hello, out);
  if (name == "recv_packet") append_packet(FrameType::kRecvPacket, k.client_public, hello, out);
  if (name == "keep_alive") append_empty(FrameType::kKeepAlive, out);
  if (name == "note_preferred") append_note_preferred(Preferred::kYes, out);
  if (name == "peer_gone_disconnected") {
    append_peer_gone(k.peer_public, PeerGoneReason::kDisconnected, out);
  }
  if (name == "peer_gone_not_here") {
    append_peer_gone(k.peer_public, PeerGoneReason::kNotHere, out);
  }
  if (name == "peer_present") {
    const Endpoint at{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7}, 4242};
    append_peer_present(k.peer_public, at, 1, out);
  }
  if (name == "forward_packet") {
    append_forward_packet(k.client_public, k.peer_public, hello, out);
  }
  if (name == "watch_conns") append_empty(FrameType::kWatchConns, out);
  if (name == "close_peer") append_close_peer(k.peer_public, out);
  if (name == "ping") append_ping(FrameType::kPing, ping, out);
  if (name == "pong") append_ping(FrameType::kPong, ping, out);
  if (name == "health") append_health("duplicate connection", out);
  if (name == "health_clear") append_health("", out);
  if (name == "restarting") append_restarting(1500, 3000, out);
  return out;
}

// Reads the vector's frame with the side that receives it; the boxes are opened with the other
// party's key.
void check_read(const std::string& name, const Buffer& frame, const Keys& k,
                const std::string& plaintext) {
  const auto type = static_cast<FrameType>(frame[0]);
  const bool to_server = frame_bounds(Side::kServer, type).has_value();
  CAPTURE(name, to_server);
  const auto pieces = frames_of(to_server ? Side::kServer : Side::kClient, frame, 3);
  REQUIRE(pieces);
  REQUIRE(pieces->size() == 1);
  const Piece& piece = (*pieces)[0];
  CHECK(piece.type == type);
  CHECK(hex_encode(piece.payload) == hex_encode(Bytes(frame).subspan(kFrameHeaderLen)));
  if (type == FrameType::kClientInfo) {
    CHECK(key_in(piece.payload) == k.client_public);
    const auto box = SharedBox::create(k.server_private, k.client_public).value();
    const auto opened = box.open(Bytes(piece.payload).subspan(kKeyLen));
    REQUIRE(opened.ok());
    CHECK(as_text(*opened) == plaintext);
    const auto info = parse_client_info(as_text(*opened));
    REQUIRE(info.ok());
    CHECK(format_client_info(*info) == plaintext);
  }
  if (type == FrameType::kServerInfo) {
    const auto box = SharedBox::create(k.client_private, k.server_public).value();
    const auto opened = box.open(piece.payload);
    REQUIRE(opened.ok());
    CHECK(as_text(*opened) == plaintext);
    CHECK(parse_server_info(as_text(*opened)).value().version == 2);
  }
  if (type == FrameType::kServerKey) {
    CHECK(parse_server_key(piece.payload).value() == k.server_public);
  }
  if (type == FrameType::kPeerGone) {
    CHECK(parse_peer_gone(piece.payload).peer == k.peer_public);
    CHECK(parse_peer_gone(piece.payload).reason == (name == "peer_gone_not_here" ? 1 : 0));
  }
}

Buffer raw_frame(uint8_t type, size_t len) {
  Buffer out;
  append_header(static_cast<FrameType>(type), len, out);
  out.resize(out.size() + len, 0x5a);
  return out;
}

}  // namespace

TEST_CASE("every frame equals its vector, both ways") {
  auto blocks = test::read_vector_file("tests/unit/native/derp/derp_vectors.txt");
  REQUIRE(blocks[0].name == "keys");
  auto& kb = blocks[0];
  const Keys k{kb.array<32>("server_private"), kb.array<32>("server_public"),
               kb.array<32>("client_private"), kb.array<32>("client_public"),
               kb.array<32>("peer_public")};
  CHECK(kb.text("client_public_text") == "nodekey:" + hex_encode(k.client_public));
  CHECK(public_key(k.server_private).value() == k.server_public);
  CHECK(public_key(k.client_private).value() == k.client_public);
  CHECK(kb.unread() == "");
  REQUIRE(blocks.size() == 20);
  for (size_t i = 1; i < blocks.size(); ++i) {
    auto& b = blocks[i];
    CAPTURE(b.name);
    const std::string nonce = b.values.contains("nonce") ? b.text("nonce") : "";
    const std::string plain = b.values.contains("plaintext") ? b.text("plaintext") : "";
    CHECK(hex_encode(write(b.name, k, nonce)) == b.text("hex"));
    check_read(b.name, b.hex("hex"), k, plain);
    CHECK(b.unread() == "");
  }
}

TEST_CASE("the vectors in the tree are the shared ones") {
  const auto text = test::shared_vectors("derp_vectors.json");
  if (!text) return;
  const auto file = nlohmann::json::parse(*text);
  auto blocks = test::read_vector_file("tests/unit/native/derp/derp_vectors.txt");
  REQUIRE(file["frames"].size() == blocks.size() - 1);
  for (size_t i = 0; i < file["frames"].size(); ++i) {
    CHECK(blocks[i + 1].text("hex") == file["frames"][i]["hex"].get<std::string>());
  }
}

TEST_CASE("a stream gives the same frames however it is cut") {
  const uint32_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  Buffer stream;
  std::vector<Piece> expected;
  for (int i = 0; i < 200; ++i) {
    const size_t kind = random() % 4;
    if (kind == 0) {
      // Unknown to a server: skipped.
      const Buffer frame = raw_frame(static_cast<uint8_t>(0x40 + random() % 20), random() % 50);
      stream.insert(stream.end(), frame.begin(), frame.end());
      continue;
    }
    Buffer packet(random() % 300);
    for (auto& b : packet) b = static_cast<uint8_t>(random());
    Key key;
    for (auto& b : key) b = static_cast<uint8_t>(random());
    append_packet(FrameType::kSendPacket, key, packet, stream);
    Buffer payload(key.begin(), key.end());
    payload.insert(payload.end(), packet.begin(), packet.end());
    expected.push_back({FrameType::kSendPacket, payload});
  }
  for (const size_t piece : {1, 2, 4, 5, 6, 37, 1000, 1000000}) {
    CAPTURE(piece);
    const auto got = frames_of(Side::kServer, stream, piece);
    REQUIRE(got);
    CHECK(*got == expected);
  }
}

TEST_CASE("a caller that stops early gets the other frames later") {
  Buffer stream;
  for (uint8_t i = 0; i < 10; ++i) {
    append_ping(FrameType::kPing, PingData{i}, stream);
  }
  stream.push_back(0x12);  // and the first byte of an eleventh
  FrameReader reader(Side::kServer);
  reader.begin(stream);
  for (uint8_t i = 0; i < 3; ++i) CHECK((*reader.next().value()).payload[0] == i);
  reader.end();
  CHECK(reader.held() == 7 * 13 + 1);
  reader.begin({});
  for (uint8_t i = 3; i < 5; ++i) CHECK((*reader.next().value()).payload[0] == i);
  reader.end();
  const Buffer tail = test::from_hex("00000008ff00000000000000");
  reader.begin(tail);
  for (uint8_t i = 5; i < 10; ++i) CHECK((*reader.next().value()).payload[0] == i);
  CHECK((*reader.next().value()).payload[0] == 0xff);
  CHECK_FALSE(reader.next().value());
  reader.end();
  CHECK(reader.held() == 0);
}

TEST_CASE("every truncation of a frame yields nothing") {
  Buffer frame;
  append_packet(FrameType::kSendPacket, Key{1}, Buffer(20, 7), frame);
  for (size_t len = 0; len < frame.size(); ++len) {
    const auto got = frames_of(Side::kServer, Bytes(frame).first(len), 1000);
    REQUIRE(got);
    CHECK(got->empty());
  }
}

TEST_CASE("every bound of a server's frames holds to the byte") {
  const struct {
    FrameType type;
    size_t min_len, max_len;
  } bounds[] = {{FrameType::kClientInfo, 56, 262144},
                {FrameType::kSendPacket, 32, 65568},
                {FrameType::kForwardPacket, 64, 65600},
                {FrameType::kNotePreferred, 1, 1},
                {FrameType::kWatchConns, 0, 0},
                {FrameType::kClosePeer, 32, 32},
                {FrameType::kPing, 8, 1000}};
  for (const auto& b : bounds) {
    const auto type = static_cast<uint8_t>(b.type);
    CAPTURE(int{type});
    CHECK(frames_of(Side::kServer, raw_frame(type, b.min_len), 4096));
    CHECK(frames_of(Side::kServer, raw_frame(type, b.max_len), 4096));
    CHECK_FALSE(frames_of(Side::kServer, raw_frame(type, b.max_len + 1), 4096));
    if (b.min_len > 0) CHECK_FALSE(frames_of(Side::kServer, raw_frame(type, b.min_len - 1), 4096));
  }
}

TEST_CASE("a frame that is too long is refused by its header alone") {
  FrameReader reader(Side::kServer);
  Buffer header;
  append_header(FrameType::kSendPacket, 0xffffffff, header);
  reader.begin(header);
  CHECK_FALSE(reader.next().ok());
  FrameReader client(Side::kClient);
  Buffer unknown;
  append_header(static_cast<FrameType>(0x77), kMaxClientPayload + 1, unknown);
  client.begin(unknown);
  CHECK_FALSE(client.next().ok());
}

TEST_CASE("a skipped frame holds no memory, however long it claims to be") {
  FrameReader reader(Side::kServer);
  Buffer header;
  append_header(static_cast<FrameType>(0x77), 0xffffffff, header);
  reader.begin(header);
  CHECK_FALSE(reader.next().value());
  reader.end();
  const Buffer junk(100000, 1);
  for (int i = 0; i < 10; ++i) {
    reader.begin(junk);
    CHECK_FALSE(reader.next().value());
    reader.end();
    CHECK(reader.held() == 0);
  }
}

TEST_CASE("a packet is disco by its magic and its length") {
  Buffer packet = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac};
  packet.resize(62);
  CHECK(looks_like_disco(packet));
  packet.pop_back();
  CHECK_FALSE(looks_like_disco(packet));
  packet.resize(100);
  packet[5] = 0xad;
  CHECK_FALSE(looks_like_disco(packet));
  CHECK_FALSE(looks_like_disco({}));
}

TEST_CASE("a server key frame needs the magic; a client may get more bytes than it knows") {
  Buffer payload(kMagic.begin(), kMagic.end());
  payload.resize(kServerKeyLen, 9);
  CHECK(parse_server_key(payload).ok());
  payload.resize(kMaxServerKeyLen);
  CHECK(parse_server_key(payload).ok());
  payload.push_back(0);
  CHECK_FALSE(parse_server_key(payload).ok());
  CHECK_FALSE(parse_server_key(Bytes(payload).first(39)).ok());
  payload.resize(kServerKeyLen);
  payload[7] ^= 1;
  CHECK_FALSE(parse_server_key(payload).ok());
}

}  // namespace es::derp

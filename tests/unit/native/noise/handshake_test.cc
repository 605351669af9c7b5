#include "native/noise/handshake.h"

#include "common/base/base64.h"
#include "native/noise/record.h"
#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace es::noise {

using test::array_from_hex;
using test::from_hex;

namespace {

struct Case {
  uint16_t version;
  Key control_private, control_public, machine_private, machine_public;
  Key client_ephemeral, server_ephemeral;
  std::vector<uint8_t> initiation, response;
  Key handshake_hash, k1, k2;
};

void check_transcript(const Case& c) {
  CHECK(x25519_public(c.control_private).value() == c.control_public);
  CHECK(x25519_public(c.machine_private).value() == c.machine_public);
  const auto initiator =
      Initiator::create(c.machine_private, c.control_public, c.client_ephemeral, c.version);
  REQUIRE(initiator.ok());
  CHECK(hex_encode(initiator->initiation()) == hex_encode(c.initiation));

  const auto accepted = respond(c.control_private, c.server_ephemeral, c.initiation);
  REQUIRE(accepted.ok());
  CHECK(hex_encode(accepted->response) == hex_encode(c.response));
  CHECK(accepted->session.version == c.version);
  CHECK(accepted->session.peer_static == c.machine_public);
  CHECK(accepted->session.handshake_hash == c.handshake_hash);
  CHECK(accepted->session.receive_key == c.k1);
  CHECK(accepted->session.send_key == c.k2);

  const auto session = initiator->finish(c.response);
  REQUIRE(session.ok());
  CHECK(session->send_key == c.k1);
  CHECK(session->receive_key == c.k2);
  CHECK(session->handshake_hash == c.handshake_hash);
  CHECK(session->peer_static == c.control_public);
}

Case case_of(test::VectorBlock& block) {
  return {.version = static_cast<uint16_t>(std::stoi(block.text("version"))),
          .control_private = block.array<32>("control_static_private"),
          .control_public = block.array<32>("control_static_public"),
          .machine_private = block.array<32>("machine_static_private"),
          .machine_public = block.array<32>("machine_static_public"),
          .client_ephemeral = block.array<32>("client_ephemeral_private"),
          .server_ephemeral = block.array<32>("server_ephemeral_private"),
          .initiation = block.hex("initiation"),
          .response = block.hex("response"),
          .handshake_hash = block.array<32>("handshake_hash"),
          .k1 = block.array<32>("k1_client_to_server"),
          .k2 = block.array<32>("k2_server_to_client")};
}

Case own_case() {
  auto blocks = test::read_vector_file("tests/unit/native/noise/noise_vectors.txt");
  return case_of(blocks[0]);
}

}  // namespace

TEST_CASE("the handshake makes our own transcript, both sides") {
  auto blocks = test::read_vector_file("tests/unit/native/noise/noise_vectors.txt");
  for (auto& block : blocks) check_transcript(case_of(block));
}

TEST_CASE("the handshake makes every shared transcript, both sides") {
  const auto text = test::shared_vectors("noise_vectors.json");
  if (!text) return;
  const auto file = nlohmann::json::parse(*text);
  REQUIRE(file["vectors"].size() == 2);
  for (const auto& v : file["vectors"]) {
    const auto& keys = v["keys"];
    const auto key = [&](const char* name) {
      return array_from_hex<32>(keys[name].get<std::string>());
    };
    const Case c{.version = v["protocol_version"].get<uint16_t>(),
                 .control_private = key("control_static_private"),
                 .control_public = key("control_static_public"),
                 .machine_private = key("machine_static_private"),
                 .machine_public = key("machine_static_public"),
                 .client_ephemeral = key("client_ephemeral_private"),
                 .server_ephemeral = key("server_ephemeral_private"),
                 .initiation = from_hex(v["initiation"]["bytes"].get<std::string>()),
                 .response = from_hex(v["response"]["bytes"].get<std::string>()),
                 .handshake_hash = array_from_hex<32>(v["handshake_hash"].get<std::string>()),
                 .k1 = array_from_hex<32>(v["split"]["k1_client_to_server"].get<std::string>()),
                 .k2 = array_from_hex<32>(v["split"]["k2_server_to_client"].get<std::string>())};
    check_transcript(c);
    // The header's text form, as the HTTP layer will hand it over.
    const std::string header = v["initiation"]["http_header_X-Tailscale-Handshake"];
    CHECK(base64_encode(c.initiation, Base64Alphabet::kStandardPadded) == header);
  }
}

TEST_CASE("every shared negative case is refused in the right way") {
  const auto text = test::shared_vectors("noise_vectors.json");
  if (!text) return;
  const auto file = nlohmann::json::parse(*text);
  const auto& keys = file["vectors"][0]["keys"];
  const auto control = array_from_hex<32>(keys["control_static_private"].get<std::string>());
  const auto ephemeral = array_from_hex<32>(keys["server_ephemeral_private"].get<std::string>());
  size_t checked = 0;
  for (const auto& n : file["negative"]) {
    const std::string what = n["what"];
    CAPTURE(what);
    if (n.contains("initiation")) {
      const auto result = respond(control, ephemeral, from_hex(n["initiation"].get<std::string>()));
      REQUIRE_FALSE(result.ok());
      const bool malformed = what.find("truncated") != std::string::npos ||
                             what.find("type byte") != std::string::npos ||
                             what.find("length field") != std::string::npos;
      CHECK(result.error().reply ==
            (malformed ? HandshakeError::Reply::kErrorFrame : HandshakeError::Reply::kNothing));
      ++checked;
    } else if (n.contains("frame")) {
      const auto frame = from_hex(n["frame"].get<std::string>());
      std::vector<uint8_t> ours;
      append_error_frame(n["text"].get<std::string>(), ours);
      CHECK(ours == frame);
      CHECK(Initiator::error_text(frame) == n["text"].get<std::string>());
      CHECK(Initiator::frame_len(frame).value() == frame.size());
      ++checked;
    } else if (n.contains("frame_header")) {
      auto receiver = RecordReceiver::create(Key{});
      std::vector<uint8_t> out;
      CHECK_FALSE(receiver->open(from_hex(n["frame_header"].get<std::string>()), out).ok());
      ++checked;
    }
  }
  CHECK(checked == file["negative"].size());
}

TEST_CASE("a malformed initiation gets the reference server's error texts") {
  const Case c = own_case();
  const auto error_of = [&](Bytes initiation) {
    const auto result = respond(c.control_private, c.server_ephemeral, initiation);
    REQUIRE_FALSE(result.ok());
    return result.error();
  };
  for (size_t len = 0; len < kInitiationLen; ++len) {
    const auto error = error_of(Bytes(c.initiation).first(len));
    CHECK(error.error.what == "wrong handshake initiation size");
    CHECK(error.reply == HandshakeError::Reply::kErrorFrame);
  }
  auto longer = c.initiation;
  longer.push_back(0);
  CHECK(error_of(longer).error.what == "wrong handshake initiation size");
  for (int type = 0; type < 256; ++type) {
    if (type == 1) continue;
    auto bad = c.initiation;
    bad[2] = static_cast<uint8_t>(type);
    CHECK(error_of(bad).error.what == "unexpected handshake message type");
  }
  for (const int len : {0, 95, 97, 255}) {
    auto bad = c.initiation;
    bad[4] = static_cast<uint8_t>(len);
    CHECK(error_of(bad).error.what == "wrong handshake initiation length");
    CHECK(error_of(bad).reply == HandshakeError::Reply::kErrorFrame);
  }
}

TEST_CASE("a bit flipped behind the initiation's type and length is refused without an answer") {
  const Case c = own_case();
  for (size_t i = 0; i < kInitiationLen; ++i) {
    if (i >= 2 && i < kInitiationHeaderLen) continue;
    // X25519 ignores the top bit of a public key, but the hash does not: bit 7 is refused as well.
    for (const int bit : {0x01, 0x80}) {
      CAPTURE(i, bit);
      auto bad = c.initiation;
      bad[i] = static_cast<uint8_t>(bad[i] ^ bit);
      const auto result = respond(c.control_private, c.server_ephemeral, bad);
      REQUIRE_FALSE(result.ok());
      CHECK(result.error().reply == HandshakeError::Reply::kNothing);
    }
  }
}

TEST_CASE("another server key or a zero ephemeral key is refused without an answer") {
  Case c = own_case();
  Key other = c.control_private;
  other[5] ^= 1;
  CHECK(respond(other, c.server_ephemeral, c.initiation).error().reply ==
        HandshakeError::Reply::kNothing);
  std::fill_n(c.initiation.begin() + 5, 32, uint8_t{0});
  const auto zero = respond(c.control_private, c.server_ephemeral, c.initiation);
  REQUIRE_FALSE(zero.ok());
  CHECK(zero.error().reply == HandshakeError::Reply::kNothing);
  CHECK(zero.error().error.action == Action::kRefuse);
}

TEST_CASE("the client refuses every damaged response") {
  const Case c = own_case();
  const auto initiator =
      Initiator::create(c.machine_private, c.control_public, c.client_ephemeral, c.version);
  REQUIRE(initiator.ok());
  for (size_t len = 0; len < kResponseLen; ++len) {
    CHECK_FALSE(initiator->finish(Bytes(c.response).first(len)).ok());
  }
  auto longer = c.response;
  longer.push_back(0);
  CHECK_FALSE(initiator->finish(longer).ok());
  for (size_t i = 0; i < kResponseLen; ++i) {
    auto bad = c.response;
    bad[i] ^= 1;
    CAPTURE(i);
    CHECK_FALSE(initiator->finish(bad).ok());
  }
  CHECK(initiator->finish(c.response).ok());
}

TEST_CASE("the client knows a frame's length from its first three bytes") {
  CHECK(Initiator::frame_len({}).value() == std::nullopt);
  CHECK(Initiator::frame_len(from_hex("0200")).value() == std::nullopt);
  CHECK(Initiator::frame_len(from_hex("020030")).value() == kResponseLen);
  CHECK_FALSE(Initiator::frame_len(from_hex("020031")).ok());
  CHECK_FALSE(Initiator::frame_len(from_hex("02002f")).ok());
  CHECK_FALSE(Initiator::frame_len(from_hex("010030")).ok());
  CHECK_FALSE(Initiator::frame_len(from_hex("040030")).ok());
  CHECK(Initiator::frame_len(from_hex("030000")).value() == 3);
  CHECK(Initiator::frame_len(from_hex("03ffff")).value() == kHeaderLen + kMaxErrorTextLen);
}

TEST_CASE("an error text above the limit is cut, not wrapped") {
  std::vector<uint8_t> out;
  append_error_frame(std::string(kMaxErrorTextLen + 1, 'x'), out);
  CHECK(out.size() == kHeaderLen + kMaxErrorTextLen);
  CHECK(hex_encode(Bytes(out).first(3)) == "03ffff");
}

}  // namespace es::noise

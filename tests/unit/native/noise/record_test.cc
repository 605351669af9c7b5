#include "native/noise/record.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <limits>
#include <random>

namespace es::noise {

using test::array_from_hex;
using test::from_hex;

namespace {

using Buffer = std::vector<uint8_t>;

Key test_key(uint8_t fill) {
  Key key;
  key.fill(fill);
  return key;
}

Buffer pattern(size_t len) {
  Buffer out(len);
  for (size_t i = 0; i < len; ++i) out[i] = static_cast<uint8_t>(i % 251);
  return out;
}

Buffer seal_one(RecordSender& sender, Bytes plain) {
  Buffer out;
  REQUIRE(sender.seal_one(plain, out).ok());
  return out;
}

// Seals and opens one record under `key` at `counter`, and compares with the vector.
void check_record(const Key& key, uint64_t counter, const Buffer& plain, const Buffer& frame) {
  auto sender = RecordSender::create(key, counter);
  REQUIRE(sender.ok());
  CHECK(hex_encode(seal_one(*sender, plain)) == hex_encode(frame));
  auto receiver = RecordReceiver::create(key, counter);
  REQUIRE(receiver.ok());
  Buffer opened;
  REQUIRE(receiver->open(frame, opened).ok());
  CHECK(opened == plain);
  CHECK(receiver->at_boundary());
  CHECK(receiver->counter() == counter + 1);
}

}  // namespace

TEST_CASE("records equal our own transcript, both ways") {
  auto blocks = test::read_vector_file("tests/unit/native/noise/noise_vectors.txt");
  auto& block = blocks[0];
  const auto k1 = block.array<32>("k1_client_to_server");
  const auto k2 = block.array<32>("k2_server_to_client");
  for (uint64_t n = 0; n < 5; ++n) {
    const std::string id = std::to_string(n);
    check_record(k2, n, block.hex("server_plain_" + id), block.hex("server_frame_" + id));
  }
  for (uint64_t n = 0; n < 2; ++n) {
    const std::string id = std::to_string(n);
    check_record(k1, n, block.hex("client_plain_" + id), block.hex("client_frame_" + id));
  }
  for (const char* const read_elsewhere :
       {"version", "control_static_private", "control_static_public", "machine_static_private",
        "machine_static_public", "client_ephemeral_private", "server_ephemeral_private",
        "challenge_text", "initiation", "response", "handshake_hash"}) {
    block.text(read_elsewhere);
  }
  CHECK(block.unread() == "");
}

TEST_CASE("records equal every shared vector, counters beyond one byte included") {
  const auto text = test::shared_vectors("noise_vectors.json");
  if (!text) return;
  const auto file = nlohmann::json::parse(*text);
  for (const auto& v : file["vectors"]) {
    const auto k1 = array_from_hex<32>(v["split"]["k1_client_to_server"].get<std::string>());
    const auto k2 = array_from_hex<32>(v["split"]["k2_server_to_client"].get<std::string>());
    for (const auto& [name, key] :
         {std::pair{"records_server_to_client", k2}, std::pair{"records_client_to_server", k1}}) {
      for (const auto& r : v[name]) {
        check_record(key, r["n"].get<uint64_t>(), from_hex(r["plaintext"].get<std::string>()),
                     from_hex(r["frame"].get<std::string>()));
      }
    }
    for (const auto& r : v["records_extra"]) {
      const Key& key = r["direction"] == "c2s" ? k1 : k2;
      if (r.contains("frame")) {
        check_record(key, r["n"].get<uint64_t>(), from_hex(r["plaintext"].get<std::string>()),
                     from_hex(r["frame"].get<std::string>()));
        continue;
      }
      REQUIRE(r["plaintext_rule"] == "byte i = i mod 251");
      auto sender = RecordSender::create(key, r["n"].get<uint64_t>());
      const Buffer frame = seal_one(*sender, pattern(r["plaintext_len"].get<size_t>()));
      CHECK(frame.size() == r["frame_len"].get<size_t>());
      Buffer digest(32);
      REQUIRE(EVP_Digest(frame.data(), frame.size(), digest.data(), nullptr, EVP_sha256(),
                         nullptr) == 1);
      CHECK(hex_encode(digest) == r["frame_sha256"].get<std::string>());
    }
  }
}

TEST_CASE("a stream cut into any pieces opens to the same plaintext") {
  auto sender = RecordSender::create(test_key(7));
  Buffer stream;
  Buffer plain;
  for (const size_t len : {0, 1, 15, 16, 300, 4077, 2}) {
    const Buffer piece = pattern(len);
    const Buffer record = seal_one(*sender, piece);
    stream.insert(stream.end(), record.begin(), record.end());
    plain.insert(plain.end(), piece.begin(), piece.end());
  }
  const uint32_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const size_t max_piece : {1, 2, 3, 7, 4096, 100000}) {
    auto receiver = RecordReceiver::create(test_key(7));
    Buffer opened;
    for (Bytes rest = stream; !rest.empty();) {
      const size_t take = std::min<size_t>(rest.size(), 1 + random() % max_piece);
      REQUIRE(receiver->open(rest.first(take), opened).ok());
      rest = rest.subspan(take);
    }
    CHECK(opened == plain);
    CHECK(receiver->at_boundary());
  }
}

TEST_CASE("every truncation of a record yields nothing and is seen as cut") {
  auto sender = RecordSender::create(test_key(7));
  const Buffer record = seal_one(*sender, pattern(40));
  for (size_t len = 1; len < record.size(); ++len) {
    auto receiver = RecordReceiver::create(test_key(7));
    Buffer opened;
    CHECK(receiver->open(Bytes(record).first(len), opened).ok());
    CHECK(opened.empty());
    CHECK_FALSE(receiver->at_boundary());
  }
}

TEST_CASE("plaintext is split at 4077 bytes") {
  for (const auto& [len, frames] : {std::pair<size_t, size_t>{0, 0},
                                    {1, 1},
                                    {4076, 1},
                                    {4077, 1},
                                    {4078, 2},
                                    {8154, 2},
                                    {8155, 3}}) {
    auto sender = RecordSender::create(test_key(1));
    auto receiver = RecordReceiver::create(test_key(1));
    Buffer stream;
    REQUIRE(sender->seal(pattern(len), stream).ok());
    CHECK(sender->counter() == frames);
    CHECK(stream.size() == len + frames * 19);
    Buffer opened;
    REQUIRE(receiver->open(stream, opened).ok());
    CHECK(opened == pattern(len));
  }
  auto sender = RecordSender::create(test_key(1));
  Buffer out;
  CHECK(sender->seal_one(pattern(4078), out).error().action == Action::kBug);
  CHECK(out.empty());
}

TEST_CASE("a bad header ends the connection as soon as it is complete") {
  for (const char* const header :
       {"030010", "050010", "000010", "04000f", "040000", "040ffe", "04ffff"}) {
    CAPTURE(header);
    const Buffer bytes = from_hex(header);
    for (const size_t first : {1, 2, 3}) {
      auto receiver = RecordReceiver::create(test_key(1));
      Buffer out;
      if (first < 3) REQUIRE(receiver->open(Bytes(bytes).first(first), out).ok());
      const Status status = receiver->open(Bytes(bytes).subspan(first < 3 ? first : 0), out);
      REQUIRE_FALSE(status.ok());
      CHECK(status.error().action == Action::kReconnect);
    }
  }
  auto receiver = RecordReceiver::create(test_key(1));
  Buffer out;
  CHECK(receiver->open(from_hex("040ffd"), out).ok());
}

TEST_CASE("changed, replayed, reordered and foreign records end the connection for good") {
  auto sender = RecordSender::create(test_key(9));
  const Buffer a = seal_one(*sender, as_bytes("first"));
  const Buffer b = seal_one(*sender, as_bytes("second"));
  const auto refused = [](const Buffer& good, const Buffer& bad) {
    auto receiver = RecordReceiver::create(test_key(9));
    Buffer out;
    if (!good.empty()) REQUIRE(receiver->open(good, out).ok());
    const size_t before = out.size();
    const Status status = receiver->open(bad, out);
    CHECK(out.size() == before);
    // Sticky: even the record that would have been right is refused now.
    CHECK(receiver->open(good, out).ok() == status.ok());
    return !status.ok();
  };
  SECTION("every flipped bit of the sealed part") {
    for (size_t i = kRecordHeaderLen; i < a.size(); ++i) {
      Buffer bad = a;
      bad[i] ^= 0x10;
      CHECK(refused({}, bad));
    }
  }
  SECTION("a replay") { CHECK(refused(a, a)); }
  SECTION("a record that overtook another") { CHECK(refused({}, b)); }
  SECTION("another connection's key") {
    auto other = RecordSender::create(test_key(8));
    CHECK(refused({}, seal_one(*other, as_bytes("first"))));
  }
}

TEST_CASE("what was authentic before an error is kept") {
  auto sender = RecordSender::create(test_key(9));
  Buffer stream = seal_one(*sender, as_bytes("kept"));
  stream.push_back(0x05);
  stream.insert(stream.end(), 2, uint8_t{0});
  auto receiver = RecordReceiver::create(test_key(9));
  Buffer out;
  CHECK_FALSE(receiver->open(stream, out).ok());
  CHECK(as_text(out) == "kept");
}

TEST_CASE("the last counter value is never used") {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  auto sender = RecordSender::create(test_key(1), kLast - 1);
  auto receiver = RecordReceiver::create(test_key(1), kLast - 1);
  const Buffer record = seal_one(*sender, as_bytes("last"));
  Buffer out;
  CHECK(receiver->open(record, out).ok());
  Buffer more;
  CHECK(sender->seal_one(as_bytes("x"), more).error().action == Action::kReconnect);
  CHECK(more.empty());
  CHECK_FALSE(receiver->open(record, out).ok());
}

}  // namespace es::noise

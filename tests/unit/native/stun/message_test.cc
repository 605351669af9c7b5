#include "native/stun/message.h"

#include "tests/unit/native/vector_file.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace es::stun {

using Buffer = std::vector<uint8_t>;

namespace {

const Endpoint kV4 = Endpoint::v4({203, 0, 113, 9}, 41641);
const Endpoint kV6{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 41641};

void check_vectors(const TxId& tx_id, const Buffer& request, const std::string& v4,
                   const std::string& v6) {
  CHECK(parse_request(request) == tx_id);
  std::array<uint8_t, 100> out;
  ByteWriter request_writer(out);
  write_request(tx_id, request_writer);
  CHECK(hex_encode(request_writer.written()) == hex_encode(request));
  for (const auto& [source, expected] : {std::pair{kV4, v4}, std::pair{kV6, v6}}) {
    ByteWriter writer(out);
    write_response(tx_id, source, writer);
    CHECK(hex_encode(writer.written()) == expected);
    CHECK(parse_response(tx_id, test::from_hex(expected)) == source);
  }
}

Buffer good_request() {
  std::array<uint8_t, kRequestLen> out;
  ByteWriter writer(out);
  write_request({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, writer);
  return Buffer(out.begin(), out.end());
}

// A header and these attributes, closed with a right FINGERPRINT.
Buffer request_with(const std::string& attributes_hex) {
  Buffer out = good_request();
  out.resize(kHeaderLen);
  const Buffer attributes = test::from_hex(attributes_hex);
  out.insert(out.end(), attributes.begin(), attributes.end());
  const uint32_t crc = crc32(out) ^ 0x5354554eU;
  for (const int b : {0x80, 0x28, 0x00, 0x04}) out.push_back(static_cast<uint8_t>(b));
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out.push_back(static_cast<uint8_t>(crc >> shift));
  return out;
}

}  // namespace

TEST_CASE("requests and responses equal the vectors, both ways") {
  auto blocks = test::read_vector_file("tests/unit/native/stun/stun_vectors.txt");
  auto& b = blocks[0];
  check_vectors(b.array<12>("tx_id"), b.hex("request"), b.text("response_v4_203.0.113.9_41641"),
                b.text("response_v6_2001:db8::7_41641"));
  CHECK(b.unread() == "");
}

TEST_CASE("requests and responses equal the shared vectors") {
  const auto text = test::shared_vectors("stun_vectors.json");
  if (!text) return;
  const auto file = nlohmann::json::parse(*text);
  REQUIRE(file["responses"][0]["addr"] == "203.0.113.9:41641");
  REQUIRE(file["responses"][1]["addr"] == "[2001:db8::7]:41641");
  check_vectors(test::array_from_hex<12>(file["txid"].get<std::string>()),
                test::from_hex(file["request"].get<std::string>()), file["responses"][0]["hex"],
                file["responses"][1]["hex"]);
}

TEST_CASE("CRC-32 has its well-known check value") {
  CHECK(crc32(as_bytes("123456789")) == 0xcbf43926U);
  CHECK(crc32({}) == 0);
}

TEST_CASE("every truncation and every flipped bit of a request is ignored") {
  const Buffer good = good_request();
  REQUIRE(parse_request(good));
  for (size_t len = 0; len < good.size(); ++len) CHECK_FALSE(parse_request(Bytes(good).first(len)));
  for (size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    Buffer bad = good;
    bad[i] ^= 1;
    // All bytes are covered by type, cookie or CRC.
    CHECK_FALSE(parse_request(bad));
  }
  Buffer longer = good;
  longer.push_back(0);
  CHECK_FALSE(parse_request(longer));
}

TEST_CASE("a request needs its software name and the fingerprint as the last attribute") {
  const std::string name = "802200087461696c6e6f6465";
  CHECK(parse_request(request_with(name)));
  // Others may stand before and between, padded to four.
  CHECK(parse_request(request_with("0006000161000000" + name)));
  CHECK(parse_request(request_with(name + "0006000161000000")));
  CHECK_FALSE(parse_request(request_with("")));
  CHECK_FALSE(parse_request(request_with("802200087461696c6e6f6466")));
  CHECK_FALSE(parse_request(request_with("802200077461696c6e6f6400")));
  // A second FINGERPRINT or anything else behind the first is not "last".
  Buffer trailing = request_with(name);
  const Buffer extra = test::from_hex("0006000161000000");
  trailing.insert(trailing.end(), extra.begin(), extra.end());
  CHECK_FALSE(parse_request(trailing));
  // A fingerprint of three bytes.
  Buffer odd = request_with(name);
  odd[odd.size() - 5] = 3;
  CHECK_FALSE(parse_request(odd));
}

TEST_CASE("IPv4 and its mapped form are one endpoint") {
  Endpoint mapped;
  mapped.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 9};
  mapped.port = 41641;
  CHECK(mapped == kV4);
  CHECK(kV4.is_v4());
  CHECK_FALSE(kV6.is_v4());
  CHECK_FALSE(Endpoint{}.is_v4());
}

TEST_CASE("a response with another transaction ID, type or length is refused") {
  const TxId tx_id{1};
  std::array<uint8_t, kMaxResponseLen> out;
  ByteWriter writer(out);
  write_response(tx_id, kV4, writer);
  const Buffer good(writer.written().begin(), writer.written().end());
  CHECK(parse_response(tx_id, good) == kV4);
  CHECK_FALSE(parse_response(TxId{2}, good));
  CHECK_FALSE(parse_response(tx_id, good_request()));
  for (size_t len = 0; len < good.size(); ++len) {
    CHECK_FALSE(parse_response(tx_id, Bytes(good).first(len)));
  }
  Buffer family = good;
  family[25] = 3;
  CHECK_FALSE(parse_response(tx_id, family));
}

}  // namespace es::stun

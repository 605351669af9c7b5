#include "common/token/signature.h"

#include "common/base/hex.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::token {
namespace {

constexpr int64_t kNow = 1'800'000'000'000;
const HmacKey kKey{as_bytes("a key of the right purpose")};
constexpr SignedRequest kRequest{"GET", "/api/v1/user?x=1"};

std::string sign(const SignedRequest& request, std::string_view address, int64_t now = kNow) {
  std::array<uint8_t, kMaxSignatureLen> buffer;
  ByteWriter out(buffer);
  AnswerProof proof;
  REQUIRE(sign_request(kKey, request, address, wall_time_ms(now), out, proof).ok());
  return std::string(as_text(out.written()));
}

SignatureVerdict verify(std::string_view header, const SignedRequest& request = kRequest,
                        int64_t now = kNow) {
  const SignatureCheck check = verify_signature(kKey, request, header, wall_time_ms(now), {});
  if (check.verdict != SignatureVerdict::kValid) {
    CHECK(check.client_address.empty());
    CHECK(check.proof == AnswerProof{});
  }
  return check.verdict;
}

}  // namespace

TEST_CASE("a signature verifies and names the client") {
  for (const char* address :
       {"192.0.2.1", "2001:db8::1", "unknown", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    const std::string header = sign(kRequest, address);
    CHECK(header.starts_with("v3.1800000000000."));
    const auto check = verify_signature(kKey, kRequest, header, wall_time_ms(kNow), {});
    CHECK(check.verdict == SignatureVerdict::kValid);
    CHECK(check.client_address == address);
  }
}

TEST_CASE("a signature is for one method, one target and one key") {
  const std::string header = sign(kRequest, "192.0.2.1");
  CHECK(verify(header, {"POST", kRequest.target}) == SignatureVerdict::kForged);
  CHECK(verify(header, {"GET", "/api/v1/user?x=2"}) == SignatureVerdict::kForged);
  // The same bytes, cut elsewhere.
  CHECK(verify(header, {"GET/", "api/v1/user?x=1"}) == SignatureVerdict::kForged);
  CHECK(verify(header, {"GE", "T/api/v1/user?x=1"}) == SignatureVerdict::kForged);
  const HmacKey other(as_bytes("another key"));
  CHECK(verify_signature(other, kRequest, header, wall_time_ms(kNow), {}).verdict ==
        SignatureVerdict::kForged);
}

TEST_CASE("signer and verifier share a proof that the header does not hold") {
  std::array<uint8_t, kMaxSignatureLen> buffer;
  ByteWriter out(buffer);
  AnswerProof proof;
  REQUIRE(sign_request(kKey, kRequest, "192.0.2.1", wall_time_ms(kNow), out, proof).ok());
  const std::string header(as_text(out.written()));
  CHECK(verify_signature(kKey, kRequest, header, wall_time_ms(kNow), {}).proof == proof);
  CHECK(header.find(hex_encode(proof)) == std::string::npos);
  AnswerProof other;
  ByteWriter again(buffer);
  REQUIRE(sign_request(kKey, kRequest, "192.0.2.1", wall_time_ms(kNow + 1), again, other).ok());
  CHECK(other != proof);
}

TEST_CASE("changing any character of a signature is noticed") {
  const std::string header = sign(kRequest, "192.0.2.1");
  for (size_t i = 0; i < header.size(); ++i) {
    std::string changed = header;
    changed[i] = changed[i] == '1' ? '2' : '1';
    const SignatureVerdict verdict = verify(changed);
    CAPTURE(i, changed);
    CHECK((verdict == SignatureVerdict::kForged || verdict == SignatureVerdict::kMalformed));
  }
}

TEST_CASE("every truncation of a signature is malformed or forged") {
  const std::string header = sign(kRequest, "192.0.2.33");
  for (size_t len = 1; len < header.size(); ++len) {
    const SignatureVerdict verdict = verify(std::string_view(header).substr(0, len));
    // Only the last digit of the address can go and leave the form whole.
    CHECK(verdict ==
          (len + 1 == header.size() ? SignatureVerdict::kForged : SignatureVerdict::kMalformed));
  }
  CHECK(verify("") == SignatureVerdict::kMissing);
}

TEST_CASE("a signature holds from 60 s before to 10 s after the verifier's clock") {
  const std::string header = sign(kRequest, "192.0.2.1");
  CHECK(verify(header, kRequest, kNow + 60'000) == SignatureVerdict::kValid);
  CHECK(verify(header, kRequest, kNow + 60'001) == SignatureVerdict::kOutsideWindow);
  CHECK(verify(header, kRequest, kNow - 10'000) == SignatureVerdict::kValid);
  CHECK(verify(header, kRequest, kNow - 10'001) == SignatureVerdict::kOutsideWindow);
  CHECK(verify(header, kRequest, std::numeric_limits<int64_t>::max()) ==
        SignatureVerdict::kOutsideWindow);
  CHECK(verify(header, kRequest, std::numeric_limits<int64_t>::min()) ==
        SignatureVerdict::kOutsideWindow);
}

TEST_CASE("other spellings of a header are malformed") {
  const std::string good = sign(kRequest, "192.0.2.1");
  const std::string mac = good.substr(good.find('.', 3) + 1, 32);
  const std::string time = "1800000000000";
  std::string upper = mac;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  for (const std::string& text :
       {"v2." + time + "." + mac + ".192.0.2.1", "V3." + time + "." + mac + ".192.0.2.1",
        "v3.0" + time + "." + mac + ".192.0.2.1", "v3.+" + time + "." + mac + ".192.0.2.1",
        "v3.-1." + mac + ".192.0.2.1", "v3.." + mac + ".192.0.2.1",
        "v3.1800000000000000." + mac + ".192.0.2.1", "v3." + time + "." + upper + ".192.0.2.1",
        "v3." + time + "." + mac + ".::ffff:192.0.2.1", "v3." + time + "." + mac + ".2001:DB8::1",
        "v3." + time + "." + mac + ".", "v3." + time + "." + mac + ".192.0.2.1 ", " " + good,
        good + "," + good, "v3." + time + "." + mac + ".Unknown"}) {
    CAPTURE(text);
    if (text == "v3." + time + "." + upper + ".192.0.2.1" && upper == mac) continue;
    CHECK(verify(text) == SignatureVerdict::kMalformed);
  }
}

TEST_CASE("signing refuses what is no address by its length and a clock before 1970") {
  std::array<uint8_t, kMaxSignatureLen> buffer;
  ByteWriter out(buffer);
  AnswerProof proof;
  const std::string longest(kMaxIpAddressText, '1');
  CHECK_FALSE(sign_request(kKey, kRequest, longest + "1", wall_time_ms(kNow), out, proof).ok());
  CHECK_FALSE(sign_request(kKey, kRequest, "192.0.2.1", wall_time_ms(-1), out, proof).ok());
  CHECK_FALSE(sign_request(kKey, kRequest, "192.0.2.1",
                           wall_time_ms(std::numeric_limits<int64_t>::max()), out, proof)
                  .ok());
  CHECK(out.written().empty());
  ByteWriter small(MutableBytes(buffer).first(50));
  CHECK_FALSE(sign_request(kKey, kRequest, "192.0.2.1", wall_time_ms(kNow), small, proof).ok());
  CHECK(small.written().empty());
}

}  // namespace es::token

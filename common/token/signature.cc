#include "common/token/signature.h"

#include "common/base/hex.h"

#include <algorithm>

namespace es::token {
namespace {

constexpr uint8_t kVersion = 3;
constexpr std::string_view kPrefix = "v3.";
constexpr size_t kMaxTimeDigits = 15;  // far beyond any year that matters, and no overflow
constexpr size_t kMacDigits = 2 * kSignatureMacBytes;
constexpr size_t kMaxMethodLen = 16;

// The part of the message before the target, which is the only one that may be long. Callers have
// checked the lengths.
Sha256Digest request_mac(const HmacKey& key, int64_t time_ms, const SignedRequest& request,
                         std::string_view client_address) {
  std::array<uint8_t, 1 + 8 + 1 + kMaxMethodLen + 1 + kMaxIpAddressText> buf;
  ByteWriter head(buf);
  head.u8(kVersion);
  head.u64be(static_cast<uint64_t>(time_ms));
  head.u8(static_cast<uint8_t>(request.method.size()));
  head.text(request.method);
  head.u8(static_cast<uint8_t>(client_address.size()));
  head.text(client_address);
  Hmac hmac(key);
  hmac.update(head.written());
  hmac.update(as_bytes(request.target));
  return hmac.finish();
}

bool is_acceptable_address(std::string_view address) {
  return address == kUnknownAddress || is_canonical_ip_address(address);
}

struct Header {
  int64_t time_ms = 0;
  std::array<uint8_t, kSignatureMacBytes> mac{};
  std::string_view client_address;
};

bool parse_time(std::string_view text, int64_t& ms) {
  if (text.empty() || text.size() > kMaxTimeDigits) return false;
  if (text.size() > 1 && text.front() == '0') return false;
  ms = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    ms = ms * 10 + (c - '0');
  }
  return true;
}

bool parse_header(std::string_view text, Header& out) {
  if (text.size() > kMaxSignatureLen || !text.starts_with(kPrefix)) return false;
  text.remove_prefix(kPrefix.size());
  const size_t time_end = text.find('.');
  if (time_end == std::string_view::npos) return false;
  if (!parse_time(text.substr(0, time_end), out.time_ms)) return false;
  text.remove_prefix(time_end + 1);
  if (text.size() <= kMacDigits || text[kMacDigits] != '.') return false;
  const std::string_view digits = text.substr(0, kMacDigits);
  for (const char c : digits) {
    if (c >= 'A' && c <= 'F') return false;
  }
  if (!hex_decode(digits, out.mac)) return false;
  out.client_address = text.substr(kMacDigits + 1);
  return is_acceptable_address(out.client_address);
}

}  // namespace

Status sign_request(const HmacKey& key, const SignedRequest& request,
                    std::string_view client_address, WallTime now, ByteWriter& out,
                    AnswerProof& proof) {
  const int64_t ms = unix_ms(now);
  std::array<uint8_t, 20> digits;
  ByteWriter time(digits);
  if (ms >= 0) time.decimal(static_cast<uint64_t>(ms));
  if (ms < 0 || time.written().size() > kMaxTimeDigits) {
    return refuse("signature: the clock is wrong");
  }
  if (client_address.size() > kMaxIpAddressText) return bug("signature: not a client address");
  if (out.space_left() <
      kPrefix.size() + time.written().size() + 1 + kMacDigits + 1 + client_address.size()) {
    return bug("signature: no room");
  }
  if (request.method.size() > kMaxMethodLen) return refuse("signature: not a known method");
  const Sha256Digest mac = request_mac(key, ms, request, client_address);
  std::copy(mac.begin() + kSignatureMacBytes, mac.end(), proof.begin());
  out.text(kPrefix);
  out.bytes(time.written());
  out.text(".");
  hex_encode(Bytes(mac).first(kSignatureMacBytes), out);
  out.text(".");
  out.text(client_address);
  return {};
}

SignatureCheck verify_signature(const HmacKey& key, const SignedRequest& request,
                                std::string_view header, WallTime now,
                                const SignatureWindow& window) {
  SignatureCheck check;
  if (header.empty()) return check;
  Header parsed;
  if (!parse_header(header, parsed) || request.method.size() > kMaxMethodLen) {
    check.verdict = SignatureVerdict::kMalformed;
    return check;
  }
  const Sha256Digest mac = request_mac(key, parsed.time_ms, request, parsed.client_address);
  if (!equal_constant_time(Bytes(mac).first(kSignatureMacBytes), parsed.mac)) {
    check.verdict = SignatureVerdict::kForged;
    return check;
  }
  // Both are below 10^15 in size on any sane host; a clock at the end of its range must not wrap.
  const int64_t now_ms = unix_ms(now);
  const bool too_old = now_ms > parsed.time_ms &&
                       static_cast<uint64_t>(now_ms) - static_cast<uint64_t>(parsed.time_ms) >
                           static_cast<uint64_t>(window.past.count());
  const bool too_new = parsed.time_ms > now_ms &&
                       static_cast<uint64_t>(parsed.time_ms) - static_cast<uint64_t>(now_ms) >
                           static_cast<uint64_t>(window.future.count());
  if (too_old || too_new) {
    check.verdict = SignatureVerdict::kOutsideWindow;
    return check;
  }
  check.verdict = SignatureVerdict::kValid;
  check.client_address = parsed.client_address;
  std::copy(mac.begin() + kSignatureMacBytes, mac.end(), check.proof.begin());
  return check;
}

}  // namespace es::token

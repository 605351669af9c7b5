// X-Edge-Signature: the Worker's word to the origin that it let this request pass, and for whom.
//
//   v3.<unix ms, decimal>.<32 lower-case hex digits>.<client address>
// The digits are the first half of HMAC-SHA-256 over
//   u8 3, u64be unix ms, u8 length and method, u8 length and client address, raw request target
// which fits one block of SHA-256 for most requests. The second half never leaves
// with the request: the origin sends it back as proof that an answer is its own (AnswerProof),
// which costs neither side another MAC. 128 bits each; knowing one half tells nothing of the other.
// The client address is a canonical IP address (base/ip_address.h) or "unknown". The host is not
// signed: a Worker cannot choose the Host field that its fetch() sends.
//
// The origin accepts a time from `past` before its own clock to `future` after it. Within that time
// the same request may be replayed; it is a statement about its sender, not a one-time token.
#pragma once

#include "common/base/bytes.h"
#include "common/base/ip_address.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/token/hmac.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace es::token {

inline constexpr std::string_view kUnknownAddress = "unknown";
inline constexpr size_t kSignatureMacBytes = 16;
// "v3." + 19 digits + "." + 32 digits + "." + the address.
inline constexpr size_t kMaxSignatureLen =
    3 + 19 + 1 + 2 * kSignatureMacBytes + 1 + kMaxIpAddressText;

// Who knows this for one signed request has the key: see above.
using AnswerProof = std::array<uint8_t, kSha256Len - kSignatureMacBytes>;

struct SignedRequest {
  std::string_view method;
  std::string_view target;  // path and query, as on the request line
};

// `client_address` is canonical or kUnknownAddress: the origin takes no other. Refuses (writing
// nothing) one that is too long, and a time before 1970. `proof` is what an answer of the origin
// will bring.
Status sign_request(const HmacKey& key, const SignedRequest& request,
                    std::string_view client_address, WallTime now, ByteWriter& out,
                    AnswerProof& proof);

enum class SignatureVerdict : uint8_t { kValid, kMissing, kMalformed, kForged, kOutsideWindow };

struct SignatureWindow {
  Millis past{60'000};
  Millis future{10'000};
};

struct SignatureCheck {
  SignatureVerdict verdict = SignatureVerdict::kMissing;
  std::string_view client_address;  // a view into the header; empty unless valid
  AnswerProof proof{};              // for the answer; all zero unless valid
};

// An empty header is kMissing. The MAC is checked before the time, in constant time.
SignatureCheck verify_signature(const HmacKey& key, const SignedRequest& request,
                                std::string_view header, WallTime now,
                                const SignatureWindow& window);

}  // namespace es::token

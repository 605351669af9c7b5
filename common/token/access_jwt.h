// Cloudflare Access tokens (header Cf-Access-Jwt-Assertion): everything but the RSA check itself,
// which the host does (WebCrypto in the Worker, OpenSSL natively).
//
// A compact JWS (RFC 7515, RFC 7519), RS256 only: the algorithm is pinned, `none` and HS256 never
// reach a key; `crit` is refused; keys come from the configured team's JWKS by `kid`, never from
// the token. Required claims: iss (equal), aud (text or array that has ours), exp, iat, type "app";
// nbf where present; times with leeway. A user has an email, a service token a common_name.
//
// Use: begin() -> kAccepted or kRefused: done.
//              -> kCheckSignature: the host verifies `signing_input` and `signature` with `key`,
//                 then passes the verdict to finish().
//              -> kRefreshKeys: the host fetches the JWKS, calls load_keys() or on_fetch_failed(),
//                 then begin() again. Said at most once in kMinRefresh, so that made-up kids cannot
//                 drive the origin; in between they are refused.
// Verified tokens are remembered by the SHA-256 of the whole token (not a shorter hash: a collision
// would hand out somebody else's claims) until they expire or the keys change.
//
// Limits: tokens of kMaxAccessTokenLen. About 26 KiB, no allocation. Threads: one caller at a time.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/token/jwks.h"
#include "common/token/sha256.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace es::token {

inline constexpr size_t kMaxAccessTokenLen = 4096;
inline constexpr size_t kMaxAccessPayloadLen = 3072;

struct AccessConfig {
  BoundedText<128> issuer;    // https://<team>.cloudflareaccess.com
  BoundedText<128> audience;  // the application's AUD tag
  Seconds leeway{60};         // at most 300 s
};

struct AccessClaims {
  BoundedText<254> email;        // of a user; empty for a service token
  BoundedText<128> common_name;  // of a service token; empty for a user
  uint64_t expiry = 0;           // unix seconds
};

enum class AccessOutcome : uint8_t { kAccepted, kRefused, kCheckSignature, kRefreshKeys };

enum class AccessRefusal : uint8_t {
  kNone,
  kMalformed,       // not the strict form above
  kWrongAlgorithm,  // anything but RS256
  kWrongIssuer,
  kWrongAudience,
  kExpired,
  kNotYetValid,
  kUnknownKey,
  kBadSignature,
};

// Views into the token and the verifier: valid until either changes.
struct AccessStep {
  AccessOutcome outcome = AccessOutcome::kRefused;
  AccessRefusal refusal = AccessRefusal::kNone;
  const AccessClaims* claims = nullptr;  // kAccepted
  std::string_view signing_input;        // kCheckSignature, with the next two
  Bytes signature;
  const RsaKey* key = nullptr;
  uint32_t keys_generation = 0;
};

enum class SignatureResult : uint8_t { kGood, kBad };

class AccessVerifier {
 public:
  static constexpr size_t kCacheSize = 32;
  static constexpr Seconds kMinRefresh{60};
  static constexpr Seconds kMaxKeyAge{6 * 60 * 60};

  static Status check_config(const AccessConfig& config);

  // In place, because it is large. `config` must pass check_config.
  explicit AccessVerifier(const AccessConfig& config) : config_(config) {}

  AccessStep begin(std::string_view jwt, WallTime now);

  // The host's verdict on the step that begin() returned for this very token. Keys that changed
  // since (keys_generation) start over.
  AccessStep finish(std::string_view jwt, uint32_t keys_generation, SignatureResult result,
                    WallTime now);

  Status load_keys(std::string_view jwks_json, WallTime now);
  void on_fetch_failed(WallTime now);

  // True when there are no keys or they are older than kMaxKeyAge, and no fetch was tried within
  // kMinRefresh: fetch in the background.
  bool wants_keys(WallTime now) const;

 private:
  struct Cached {
    Sha256Digest token_hash{};
    AccessClaims claims;
    uint64_t used = 0;  // 0: empty
  };
  struct Parsed;

  AccessRefusal parse(std::string_view jwt, WallTime now, Parsed& out);
  AccessRefusal parse_header(std::string_view segment, Parsed& out);
  AccessRefusal parse_payload(std::string_view segment, Parsed& out);
  AccessRefusal check_times(const Parsed& parsed, WallTime now) const;
  Cached* find_cached(const Sha256Digest& hash);
  const AccessClaims& remember(const Sha256Digest& hash, const AccessClaims& claims);
  bool may_refresh(WallTime now) const;

  AccessConfig config_;
  Jwks keys_;
  uint32_t keys_generation_ = 0;
  int64_t keys_loaded_at_ = 0;  // unix seconds
  int64_t last_fetch_at_ = 0;   // unix seconds, of the last kRefreshKeys or load
  bool fetch_tried_ = false;
  uint64_t uses_ = 0;
  std::array<Cached, kCacheSize> cache_;
  std::array<uint8_t, kMaxAccessPayloadLen> json_{};
  std::array<uint8_t, RsaKey::kMaxModulusLen> signature_{};
};

}  // namespace es::token

// The keys that people hold: tskey-auth-<id>-<secret> registers nodes, tskey-api-<id>-<secret>
// calls the API.
//
//   "tskey-auth-" or "tskey-api-"
//   id      12 lower-case hex digits, public: the store's index
//   "-"
//   secret  unsealed: 64 lower-case hex digits, 256 random bits
//           sealed: those, then 10 digits of expiry (unix seconds, 40 bits, 0 = never), then 32
//           digits: the first 16 bytes of HMAC-SHA-256 over kind, id, random part and expiry
// Parsing is strict: exact lengths, lower case only. Hex cannot spell "--TL" (tailnet lock) and the
// prefix "tskey-client-" (OAuth) is refused: Tailscale clients treat both specially.
//
// Headscale's keys (hskey-api-<12>-<64>, hskey-auth-<12>-<64>, legacy <7 or more>.<secret>, all of
// [A-Za-z0-9_-]) parse as kForeign: only the origin can judge them.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/token/hmac.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace es::token {

inline constexpr size_t kTokenIdBytes = 6;
inline constexpr size_t kTokenIdLen = 2 * kTokenIdBytes;
inline constexpr size_t kTokenRandomBytes = 32;
inline constexpr size_t kTokenMacBytes = 16;
inline constexpr size_t kUnsealedSecretLen = 2 * kTokenRandomBytes;
inline constexpr size_t kSealedSecretLen = kUnsealedSecretLen + 10 + 2 * kTokenMacBytes;
inline constexpr size_t kMaxTokenLen = 512;
inline constexpr uint64_t kNeverExpires = 0;
inline constexpr uint64_t kMaxExpiry = (uint64_t{1} << 40) - 1;  // unix seconds

enum class TokenKind : uint8_t {
  kAuth = 1,     // registers nodes
  kApi = 2,      // calls the API
  kForeign = 3,  // Headscale's
};

// Where a foreign key belongs.
enum class ForeignShape : uint8_t { kNone, kHskeyAuth, kHskeyApi, kLegacy };

// Views into the text that was parsed.
struct Token {
  TokenKind kind = TokenKind::kForeign;
  ForeignShape foreign = ForeignShape::kNone;
  std::string_view id;      // for a foreign key its prefix
  std::string_view secret;  // everything after the id and its separator
  // Of our own kinds only:
  std::array<uint8_t, kTokenRandomBytes> random{};
  uint64_t expiry = kNeverExpires;
  std::array<uint8_t, kTokenMacBytes> mac{};
  enum class Form : uint8_t { kUnsealed, kSealed } form = Form::kUnsealed;
};

Result<Token> parse_token(std::string_view text);

enum class SealVerdict : uint8_t {
  kValid,     // made with this key, and not expired
  kExpired,   // made with this key, expired
  kForged,    // sealed, but not with this key
  kUnsealed,  // no seal (or a foreign key): only the origin can judge it
};

// A token is expired from its expiry second on.
SealVerdict check_seal(const Token& token, const HmacKey& seal_key, WallTime now);

struct TokenRecipe {
  TokenKind kind = TokenKind::kAuth;  // not kForeign
  uint64_t expiry = kNeverExpires;    // unix seconds; goes into sealed keys only
  Bytes id;                           // kTokenIdBytes random bytes
  Bytes random;                       // kTokenRandomBytes from the system's random source
  const HmacKey* seal_key = nullptr;  // null: an unsealed key
};

// Writes the whole key text, which must be shown once and then forgotten.
Status mint_token(const TokenRecipe& recipe, ByteWriter& out);

// What the store keeps: SHA-256 of the whole text. A fast hash is right: secrets have 256 bits.
Sha256Digest token_store_hash(std::string_view text);

// Compares in constant time.
bool same_hash(const Sha256Digest& a, const Sha256Digest& b);

// What lists and logs show: "tskey-api-<id>-***", "hskey-auth-<prefix>-***", "<prefix>.***".
void write_masked(const Token& token, ByteWriter& out);

// The token in the value of an Authorization header: exactly "Bearer <token>", the scheme in any
// case, one space, the token of RFC 6750's b64token characters and at most kMaxTokenLen long.
// Lists, other schemes and white space around are refused.
Result<std::string_view> bearer_token(std::string_view authorization);

}  // namespace es::token

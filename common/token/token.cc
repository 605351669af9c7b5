#include "common/token/token.h"

#include "common/base/ascii.h"
#include "common/base/hex.h"

#include <algorithm>

namespace es::token {
namespace {

constexpr std::string_view kAuthPrefix = "tskey-auth-";
constexpr std::string_view kApiPrefix = "tskey-api-";
constexpr std::string_view kForeignAuthPrefix = "hskey-auth-";
constexpr std::string_view kForeignApiPrefix = "hskey-api-";
constexpr size_t kForeignIdLen = 12;
constexpr size_t kForeignSecretLen = 64;
constexpr size_t kMinLegacyIdLen = 7;
constexpr size_t kMaxLegacyIdLen = 64;
constexpr size_t kExpiryBytes = 5;

constexpr Error kNoToken = refuse("not a key");

enum : uint8_t { kLowerHex = 1, kForeignChar = 2, kBearerChar = 4 };

// What each byte may be part of.
struct Classes {
  uint8_t of[256] = {};
  constexpr Classes() {
    for (int i = 0; i < 128; ++i) {
      const char c = static_cast<char>(i);
      const bool digit = c >= '0' && c <= '9';
      const bool alnum = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (digit || (c >= 'a' && c <= 'f')) of[i] |= kLowerHex;
      if (alnum || c == '_' || c == '-') of[i] |= kForeignChar;
      if (alnum || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/') {
        of[i] |= kBearerChar;
      }
    }
  }
};
constexpr Classes kClasses;

// No early exit: most texts are sound, and a branch for each character would cost more.
bool all_are(uint8_t wanted, std::string_view text) {
  uint8_t all = wanted;
  for (const char c : text) all &= kClasses.of[static_cast<unsigned char>(c)];
  return all == wanted;
}

bool is_lower_hex(std::string_view text) { return all_are(kLowerHex, text); }

bool is_foreign_text(std::string_view text) { return all_are(kForeignChar, text); }

Result<Token> parse_own(TokenKind kind, std::string_view rest) {
  Token token;
  token.kind = kind;
  if (rest.size() != kTokenIdLen + 1 + kUnsealedSecretLen &&
      rest.size() != kTokenIdLen + 1 + kSealedSecretLen) {
    return kNoToken;
  }
  token.id = rest.substr(0, kTokenIdLen);
  token.secret = rest.substr(kTokenIdLen + 1);
  if (rest[kTokenIdLen] != '-' || !is_lower_hex(token.id) || ascii::has_upper_case(token.secret)) {
    return kNoToken;
  }
  if (!hex_decode(token.secret.substr(0, kUnsealedSecretLen), token.random)) return kNoToken;
  if (token.secret.size() == kUnsealedSecretLen) return token;
  token.form = Token::Form::kSealed;
  std::array<uint8_t, kExpiryBytes> expiry;
  if (!hex_decode(token.secret.substr(kUnsealedSecretLen, 2 * kExpiryBytes), expiry) ||
      !hex_decode(token.secret.substr(kUnsealedSecretLen + 2 * kExpiryBytes), token.mac)) {
    return kNoToken;
  }
  for (const uint8_t b : expiry) token.expiry = token.expiry << 8 | b;
  return token;
}

Result<Token> parse_foreign(ForeignShape shape, std::string_view rest) {
  if (rest.size() != kForeignIdLen + 1 + kForeignSecretLen || rest[kForeignIdLen] != '-' ||
      !is_foreign_text(rest)) {
    return kNoToken;
  }
  Token token;
  token.foreign = shape;
  token.id = rest.substr(0, kForeignIdLen);
  token.secret = rest.substr(kForeignIdLen + 1);
  return token;
}

Result<Token> parse_legacy(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || dot < kMinLegacyIdLen || dot > kMaxLegacyIdLen ||
      dot + 1 == text.size()) {
    return kNoToken;
  }
  Token token;
  token.foreign = ForeignShape::kLegacy;
  token.id = text.substr(0, dot);
  token.secret = text.substr(dot + 1);
  if (!is_foreign_text(token.id) || !is_foreign_text(token.secret)) return kNoToken;
  return token;
}

// Every part has a fixed length, so no two keys share a message.
Sha256Digest seal_mac(const HmacKey& key, TokenKind kind, std::string_view id, Bytes random,
                      uint64_t expiry) {
  std::array<uint8_t, 1 + kTokenIdLen + kTokenRandomBytes + 8> message;
  ByteWriter out(message);
  out.u8(static_cast<uint8_t>(kind));
  out.text(id);
  out.bytes(random);
  out.u64be(expiry);
  const Sha256Digest mac = key.mac(out.written());
  wipe(message);
  return mac;
}

std::string_view prefix_of(TokenKind kind) {
  return kind == TokenKind::kApi ? kApiPrefix : kAuthPrefix;
}

}  // namespace

Result<Token> parse_token(std::string_view text) {
  if (text.size() > kMaxTokenLen) return kNoToken;
  const auto after = [&](std::string_view prefix) { return text.substr(prefix.size()); };
  if (text.starts_with(kApiPrefix)) return parse_own(TokenKind::kApi, after(kApiPrefix));
  if (text.starts_with(kAuthPrefix)) return parse_own(TokenKind::kAuth, after(kAuthPrefix));
  if (text.starts_with(kForeignApiPrefix)) {
    return parse_foreign(ForeignShape::kHskeyApi, after(kForeignApiPrefix));
  }
  if (text.starts_with(kForeignAuthPrefix)) {
    return parse_foreign(ForeignShape::kHskeyAuth, after(kForeignAuthPrefix));
  }
  // Any other kind of key by its prefix is not a legacy key, whatever follows.
  if (text.starts_with("tskey-") || text.starts_with("hskey-")) return kNoToken;
  return parse_legacy(text);
}

SealVerdict check_seal(const Token& token, const HmacKey& seal_key, WallTime now) {
  if (token.kind == TokenKind::kForeign || token.form != Token::Form::kSealed) {
    return SealVerdict::kUnsealed;
  }
  const Sha256Digest mac = seal_mac(seal_key, token.kind, token.id, token.random, token.expiry);
  if (!equal_constant_time(Bytes(mac).first(kTokenMacBytes), token.mac)) {
    return SealVerdict::kForged;
  }
  // Only an authentic key's expiry means anything.
  const int64_t seconds = unix_seconds(now);
  if (token.expiry != kNeverExpires && seconds >= static_cast<int64_t>(token.expiry)) {
    return SealVerdict::kExpired;
  }
  return SealVerdict::kValid;
}

Status mint_token(const TokenRecipe& recipe, ByteWriter& out) {
  if (recipe.kind != TokenKind::kAuth && recipe.kind != TokenKind::kApi) {
    return bug("mint_token: no key of ours");
  }
  if (recipe.id.size() != kTokenIdBytes || recipe.random.size() != kTokenRandomBytes) {
    return bug("mint_token: wrong amount of randomness");
  }
  if (recipe.expiry > kMaxExpiry) return refuse("key: the expiry is too far in the future");
  const std::string_view prefix = prefix_of(recipe.kind);
  const size_t secret_len = recipe.seal_key != nullptr ? kSealedSecretLen : kUnsealedSecretLen;
  if (out.space_left() < prefix.size() + kTokenIdLen + 1 + secret_len) {
    return bug("mint_token: no room");
  }
  std::array<uint8_t, kTokenIdLen> id_text;
  ByteWriter id(id_text);
  hex_encode(recipe.id, id);
  out.text(prefix);
  out.bytes(id_text);
  out.text("-");
  hex_encode(recipe.random, out);
  if (recipe.seal_key == nullptr) return {};
  std::array<uint8_t, 8> expiry;
  ByteWriter(expiry).u64be(recipe.expiry);
  hex_encode(Bytes(expiry).last(kExpiryBytes), out);
  const Sha256Digest mac =
      seal_mac(*recipe.seal_key, recipe.kind, as_text(id_text), recipe.random, recipe.expiry);
  hex_encode(Bytes(mac).first(kTokenMacBytes), out);
  return {};
}

Sha256Digest token_store_hash(std::string_view text) { return sha256(as_bytes(text)); }

bool same_hash(const Sha256Digest& a, const Sha256Digest& b) { return equal_constant_time(a, b); }

void write_masked(const Token& token, ByteWriter& out) {
  if (token.foreign == ForeignShape::kLegacy) {
    out.text(token.id);
    out.text(".***");
    return;
  }
  if (token.kind != TokenKind::kForeign) {
    out.text(prefix_of(token.kind));
  } else {
    out.text(token.foreign == ForeignShape::kHskeyApi ? kForeignApiPrefix : kForeignAuthPrefix);
  }
  out.text(token.id);
  out.text("-***");
}

Result<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  constexpr Error kNotBearer = refuse("not a bearer token");
  if (authorization.size() <= kScheme.size() ||
      authorization.size() > kScheme.size() + kMaxTokenLen) {
    return kNotBearer;
  }
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower != kScheme[i]) return kNotBearer;
  }
  const std::string_view token = authorization.substr(kScheme.size());
  if (ascii::is_alnum_or_dash(token)) return token;
  // b64token: at least one character, then nothing but "=" at the end.
  const std::string_view body = token.substr(0, token.find('='));
  if (body.empty() || !all_are(kBearerChar, body)) return kNotBearer;
  if (token.find_first_not_of('=', body.size()) != std::string_view::npos) return kNotBearer;
  return token;
}

}  // namespace es::token

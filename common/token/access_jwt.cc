#include "common/token/access_jwt.h"

#include "common/base/base64.h"
#include "common/token/json_reader.h"

#include <algorithm>

namespace es::token {
namespace {

constexpr size_t kMaxHeaderLen = 512;
// Far beyond any year that matters; sums of such times do not overflow.
constexpr uint64_t kMaxTime = uint64_t{1} << 40;

uint64_t seconds_of(WallTime now) {
  const int64_t seconds = unix_seconds(now);
  return seconds > 0 ? static_cast<uint64_t>(seconds) : 0;
}

std::optional<std::string_view> decode_text(std::string_view segment, MutableBytes buffer) {
  const auto len = base64_decode(segment, Base64Alphabet::kUrlUnpadded, buffer);
  if (!len) return std::nullopt;
  return as_text(Bytes(buffer).first(*len));
}

// True when the value, one text or an array of texts, has `wanted` in it.
bool audience_has(JsonReader& json, std::string_view wanted) {
  std::array<uint8_t, 256> text;
  if (json.peek() == JsonReader::Kind::kString) return json.string(text) == wanted;
  bool found = false;
  if (!json.enter_array()) return false;
  while (json.next_element()) found = json.string(text) == wanted || found;
  return found;
}

AccessStep refused(AccessRefusal why) {
  AccessStep step;
  step.refusal = why;
  return step;
}

}  // namespace

struct AccessVerifier::Parsed {
  std::string_view signing_input;
  size_t signature_len = 0;
  BoundedText<RsaKey::kMaxKidLen> kid;
  AccessClaims claims;
  uint64_t not_before = 0;
  uint64_t issued_at = 0;
};

Status AccessVerifier::check_config(const AccessConfig& config) {
  const std::string_view issuer = config.issuer.view();
  if (!issuer.starts_with("https://") || issuer.ends_with('/')) {
    return refuse("access: the issuer must be https://<team>.cloudflareaccess.com");
  }
  if (config.audience.empty()) return refuse("access: the audience (AUD tag) is missing");
  if (config.leeway < Seconds{0} || config.leeway > Seconds{300}) {
    return refuse("access: the leeway must be 0 to 300 s");
  }
  return {};
}

AccessRefusal AccessVerifier::parse_header(std::string_view segment, Parsed& out) {
  const auto text = decode_text(segment, MutableBytes(json_).first(kMaxHeaderLen));
  if (!text) return AccessRefusal::kMalformed;
  JsonReader json(*text);
  std::array<uint8_t, 64> name_buffer;
  std::array<uint8_t, RsaKey::kMaxKidLen> value_buffer;
  std::string_view name;
  bool has_alg = false;
  bool has_kid = false;
  bool right_alg = false;
  if (!json.enter_object()) return AccessRefusal::kMalformed;
  while (json.next_member(name_buffer, name)) {
    if (name == "crit") return AccessRefusal::kMalformed;  // says that we must understand more
    if (name != "alg" && name != "kid") {
      json.skip();
      continue;
    }
    bool& seen = name == "alg" ? has_alg : has_kid;
    if (seen) return AccessRefusal::kMalformed;
    seen = true;
    const bool is_alg = name == "alg";
    const auto value = json.string(value_buffer);
    if (!value) return AccessRefusal::kMalformed;
    if (is_alg) {
      right_alg = *value == "RS256";
    } else if (!out.kid.assign(*value)) {
      return AccessRefusal::kMalformed;
    }
  }
  if (!json.finished() || !has_alg) return AccessRefusal::kMalformed;
  if (!right_alg) return AccessRefusal::kWrongAlgorithm;
  return has_kid && !out.kid.empty() ? AccessRefusal::kNone : AccessRefusal::kMalformed;
}

AccessRefusal AccessVerifier::parse_payload(std::string_view segment, Parsed& out) {
  enum Claim : unsigned { kIss, kAud, kExp, kIat, kNbf, kType, kEmail, kCommonName, kNumClaims };
  constexpr std::array<std::string_view, kNumClaims> kNames = {
      "iss", "aud", "exp", "iat", "nbf", "type", "email", "common_name"};
  const auto text = decode_text(segment, json_);
  if (!text) return AccessRefusal::kMalformed;
  JsonReader json(*text);
  std::array<uint8_t, 64> name_buffer;
  std::array<uint8_t, 256> value_buffer;
  std::string_view name;
  unsigned seen = 0;
  bool right_issuer = false;
  bool right_audience = false;
  bool right_type = false;
  if (!json.enter_object()) return AccessRefusal::kMalformed;
  while (json.next_member(name_buffer, name)) {
    const auto which =
        static_cast<unsigned>(std::find(kNames.begin(), kNames.end(), name) - kNames.begin());
    if (which == kNumClaims) {
      json.skip();
      continue;
    }
    if ((seen >> which & 1) != 0) return AccessRefusal::kMalformed;
    seen |= 1U << which;
    if (which == kAud) {
      right_audience = audience_has(json, config_.audience.view());
    } else if (which == kExp || which == kIat || which == kNbf) {
      const auto time = json.natural();
      if (!time || *time > kMaxTime) return AccessRefusal::kMalformed;
      (which == kExp ? out.claims.expiry : which == kIat ? out.issued_at : out.not_before) = *time;
    } else {
      const auto value = json.string(value_buffer);
      if (!value) return AccessRefusal::kMalformed;
      if (which == kIss) right_issuer = *value == config_.issuer.view();
      if (which == kType) right_type = *value == "app";
      if (which == kEmail && !out.claims.email.assign(*value)) return AccessRefusal::kMalformed;
      if (which == kCommonName && !out.claims.common_name.assign(*value)) {
        return AccessRefusal::kMalformed;
      }
    }
  }
  if (!json.finished()) return AccessRefusal::kMalformed;
  constexpr unsigned kRequired = 1U << kIss | 1U << kAud | 1U << kExp | 1U << kIat | 1U << kType;
  const bool is_somebody = out.claims.email.empty() != out.claims.common_name.empty();
  if ((seen & kRequired) != kRequired || !right_type || !is_somebody) {
    return AccessRefusal::kMalformed;
  }
  if (!right_issuer) return AccessRefusal::kWrongIssuer;
  if (!right_audience) return AccessRefusal::kWrongAudience;
  return AccessRefusal::kNone;
}

AccessRefusal AccessVerifier::check_times(const Parsed& parsed, WallTime now) const {
  const uint64_t seconds = seconds_of(now);
  const auto leeway = static_cast<uint64_t>(config_.leeway.count());
  if (seconds >= parsed.claims.expiry + leeway) return AccessRefusal::kExpired;
  if (parsed.not_before > seconds + leeway || parsed.issued_at > seconds + leeway) {
    return AccessRefusal::kNotYetValid;
  }
  return AccessRefusal::kNone;
}

// Everything but the signature itself; its bytes end up in signature_.
AccessRefusal AccessVerifier::parse(std::string_view jwt, WallTime now, Parsed& out) {
  if (jwt.size() > kMaxAccessTokenLen) return AccessRefusal::kMalformed;
  const size_t first = jwt.find('.');
  if (first == std::string_view::npos) return AccessRefusal::kMalformed;
  const size_t second = jwt.find('.', first + 1);
  if (second == std::string_view::npos || jwt.find('.', second + 1) != std::string_view::npos) {
    return AccessRefusal::kMalformed;
  }
  out.signing_input = jwt.substr(0, second);
  if (const auto why = parse_header(jwt.substr(0, first), out); why != AccessRefusal::kNone) {
    return why;
  }
  const std::string_view payload = jwt.substr(first + 1, second - first - 1);
  if (const auto why = parse_payload(payload, out); why != AccessRefusal::kNone) return why;
  const auto len = base64_decode(jwt.substr(second + 1), Base64Alphabet::kUrlUnpadded, signature_);
  if (!len || *len < RsaKey::kMinModulusLen) return AccessRefusal::kMalformed;
  out.signature_len = *len;
  return check_times(out, now);
}

AccessVerifier::Cached* AccessVerifier::find_cached(const Sha256Digest& hash) {
  for (Cached& cached : cache_) {
    if (cached.used != 0 && cached.token_hash == hash) return &cached;
  }
  return nullptr;
}

// The least recently used entry gives way.
const AccessClaims& AccessVerifier::remember(const Sha256Digest& hash, const AccessClaims& claims) {
  Cached* entry = find_cached(hash);
  if (entry == nullptr) {
    entry = &*std::min_element(cache_.begin(), cache_.end(),
                               [](const Cached& a, const Cached& b) { return a.used < b.used; });
  }
  entry->token_hash = hash;
  entry->claims = claims;
  entry->used = ++uses_;
  return entry->claims;
}

bool AccessVerifier::may_refresh(WallTime now) const {
  if (!fetch_tried_) return true;
  const int64_t since = unix_seconds(now) - last_fetch_at_;
  // A clock that jumped back must not keep the keys from ever being fetched.
  return since < 0 || since >= kMinRefresh.count();
}

bool AccessVerifier::wants_keys(WallTime now) const {
  const int64_t age = unix_seconds(now) - keys_loaded_at_;
  const bool stale = keys_.num_keys == 0 || age < 0 || age >= kMaxKeyAge.count();
  return stale && may_refresh(now);
}

AccessStep AccessVerifier::begin(std::string_view jwt, WallTime now) {
  if (jwt.size() > kMaxAccessTokenLen) return refused(AccessRefusal::kMalformed);
  const Sha256Digest hash = sha256(as_bytes(jwt));
  if (Cached* cached = find_cached(hash); cached != nullptr) {
    // The leeway is for clocks that differ when a token is new; a verified one ends at its expiry.
    if (seconds_of(now) >= cached->claims.expiry) {
      *cached = Cached{};
    } else {
      cached->used = ++uses_;
      AccessStep step;
      step.outcome = AccessOutcome::kAccepted;
      step.claims = &cached->claims;
      return step;
    }
  }
  Parsed parsed;
  if (const auto why = parse(jwt, now, parsed); why != AccessRefusal::kNone) return refused(why);
  const RsaKey* key = keys_.find(parsed.kid.view());
  AccessStep step;
  if (key == nullptr) {
    if (!may_refresh(now)) return refused(AccessRefusal::kUnknownKey);
    fetch_tried_ = true;
    last_fetch_at_ = unix_seconds(now);
    step.outcome = AccessOutcome::kRefreshKeys;
    return step;
  }
  // RFC 8017 section 8.2.2: the signature is as long as the modulus.
  if (parsed.signature_len != key->n_len) return refused(AccessRefusal::kBadSignature);
  step.outcome = AccessOutcome::kCheckSignature;
  step.signing_input = parsed.signing_input;
  step.signature = Bytes(signature_).first(parsed.signature_len);
  step.key = key;
  step.keys_generation = keys_generation_;
  return step;
}

AccessStep AccessVerifier::finish(std::string_view jwt, uint32_t keys_generation,
                                  SignatureResult result, WallTime now) {
  if (keys_generation != keys_generation_) return begin(jwt, now);
  if (result != SignatureResult::kGood) return refused(AccessRefusal::kBadSignature);
  Parsed parsed;
  if (const auto why = parse(jwt, now, parsed); why != AccessRefusal::kNone) return refused(why);
  AccessStep step;
  step.outcome = AccessOutcome::kAccepted;
  step.claims = &remember(sha256(as_bytes(jwt)), parsed.claims);
  return step;
}

Status AccessVerifier::load_keys(std::string_view jwks_json, WallTime now) {
  fetch_tried_ = true;
  last_fetch_at_ = unix_seconds(now);
  // The old keys stay when the new document is bad.
  ES_CHECK(parse_jwks(jwks_json, keys_));
  keys_loaded_at_ = unix_seconds(now);
  ++keys_generation_;
  // A withdrawn key must not live on in what it signed.
  for (Cached& cached : cache_) cached = Cached{};
  return {};
}

void AccessVerifier::on_fetch_failed(WallTime now) {
  fetch_tried_ = true;
  last_fetch_at_ = unix_seconds(now);
}

}  // namespace es::token

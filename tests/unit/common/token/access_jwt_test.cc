#include "common/token/access_jwt.h"

#include "common/base/base64.h"

#include <catch2/catch.hpp>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <vector>

namespace es::token {
namespace {

constexpr int64_t kNow = 1'800'000'000;  // seconds
constexpr std::string_view kIssuer = "https://team.cloudflareaccess.com";
constexpr std::string_view kAudience =
    "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";

std::string b64(std::string_view text) {
  return base64_encode(as_bytes(text), Base64Alphabet::kUrlUnpadded);
}

// A real key, whose signatures OpenSSL makes and checks as the native host does.
class Signer {
 public:
  explicit Signer(std::string kid) : kid_(std::move(kid)), key_(EVP_RSA_gen(2048), EVP_PKEY_free) {
    REQUIRE(key_ != nullptr);
  }

  std::string sign(std::string_view signing_input) const {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(),
                                                                      EVP_MD_CTX_free);
    std::vector<uint8_t> signature(256);
    size_t len = signature.size();
    REQUIRE(EVP_DigestSignInit(ctx.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1);
    REQUIRE(EVP_DigestSign(ctx.get(), signature.data(), &len,
                           reinterpret_cast<const uint8_t*>(signing_input.data()),
                           signing_input.size()) == 1);
    return base64_encode(Bytes(signature).first(len), Base64Alphabet::kUrlUnpadded);
  }

  std::string jwk() const {
    return R"({"kid":")" + kid_ + R"(","kty":"RSA","alg":"RS256","use":"sig","e":")" +
           number(OSSL_PKEY_PARAM_RSA_E) + R"(","n":")" + number(OSSL_PKEY_PARAM_RSA_N) + "\"}";
  }

 private:
  std::string number(const char* name) const {
    BIGNUM* value = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(key_.get(), name, &value) == 1);
    std::vector<uint8_t> bytes(static_cast<size_t>(BN_num_bytes(value)));
    BN_bn2bin(value, bytes.data());
    BN_free(value);
    return base64_encode(bytes, Base64Alphabet::kUrlUnpadded);
  }

  std::string kid_;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
};

const Signer& signer() {
  static const Signer one("key-1");
  return one;
}

// The host's part, from nothing but what the step gives.
SignatureResult host_check(const AccessStep& step) {
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> n(
      BN_bin2bn(step.key->modulus().data(), static_cast<int>(step.key->modulus().size()), nullptr),
      BN_free);
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> e(
      BN_bin2bn(step.key->exponent().data(), static_cast<int>(step.key->exponent().size()),
                nullptr),
      BN_free);
  OSSL_PARAM_BLD* build = OSSL_PARAM_BLD_new();
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n.get());
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e.get());
  OSSL_PARAM* params = OSSL_PARAM_BLD_to_param(build);
  OSSL_PARAM_BLD_free(build);
  EVP_PKEY_CTX* make = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  REQUIRE(EVP_PKEY_fromdata_init(make) == 1);
  REQUIRE(EVP_PKEY_fromdata(make, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
  EVP_PKEY_CTX_free(make);
  OSSL_PARAM_free(params);
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  REQUIRE(EVP_DigestVerifyInit(ctx, nullptr, EVP_sha256(), nullptr, key) == 1);
  const int good = EVP_DigestVerify(ctx, step.signature.data(), step.signature.size(),
                                    reinterpret_cast<const uint8_t*>(step.signing_input.data()),
                                    step.signing_input.size());
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(key);
  return good == 1 ? SignatureResult::kGood : SignatureResult::kBad;
}

std::string header(std::string_view kid = "key-1") {
  return R"({"alg":"RS256","typ":"JWT","kid":")" + std::string(kid) + "\"}";
}

struct Claims {
  std::string aud = R"([")" + std::string(kAudience) + R"("])";
  std::string iss = std::string(kIssuer);
  int64_t exp = kNow + 3600;
  int64_t iat = kNow;
  std::string nbf = std::to_string(kNow);
  std::string type = "app";
  std::string who = R"("email":"a@example.com","sub":"x","identity_nonce":"n","country":"DE")";

  std::string json() const {
    return R"({"aud":)" + aud + R"(,"exp":)" + std::to_string(exp) + R"(,"iat":)" +
           std::to_string(iat) + (nbf.empty() ? "" : R"(,"nbf":)" + nbf) + R"(,"iss":")" + iss +
           R"(","type":")" + type + R"(",)" + who + "}";
  }
};

std::string jwt(const std::string& head, const std::string& payload) {
  const std::string input = b64(head) + "." + b64(payload);
  return input + "." + signer().sign(input);
}

AccessConfig config() {
  AccessConfig c;
  REQUIRE(c.issuer.assign(kIssuer));
  REQUIRE(c.audience.assign(kAudience));
  return c;
}

WallTime at(int64_t seconds) { return wall_time_ms(seconds * 1000); }

struct Verifier {
  Verifier() : access(std::make_unique<AccessVerifier>(config())) {
    REQUIRE(access->load_keys("{\"keys\":[" + signer().jwk() + "]}", at(kNow - 1000)).ok());
  }
  // The whole exchange; what refused it, or kNone.
  AccessRefusal check(const std::string& token, int64_t now = kNow) {
    AccessStep step = access->begin(token, at(now));
    asked_host = step.outcome == AccessOutcome::kCheckSignature;
    if (asked_host) step = access->finish(token, step.keys_generation, host_check(step), at(now));
    if (step.outcome == AccessOutcome::kRefreshKeys) return AccessRefusal::kUnknownKey;
    if (step.outcome == AccessOutcome::kAccepted) claims = *step.claims;
    return step.refusal;
  }
  AccessVerifier* operator->() { return access.get(); }

  std::unique_ptr<AccessVerifier> access;
  AccessClaims claims;
  bool asked_host = false;
};

}  // namespace

TEST_CASE("a user's token is accepted once its signature is checked, and then remembered") {
  Verifier verifier;
  const std::string token = jwt(header(), Claims{}.json());
  CHECK(verifier.check(token) == AccessRefusal::kNone);
  CHECK(verifier.asked_host);
  CHECK(verifier.claims.email.view() == "a@example.com");
  CHECK(verifier.claims.common_name.empty());
  CHECK(verifier.claims.expiry == kNow + 3600);
  CHECK(verifier.check(token, kNow + 3599) == AccessRefusal::kNone);
  CHECK_FALSE(verifier.asked_host);
  // From its expiry on the memory ends; the leeway still lets a fresh check pass.
  CHECK(verifier.check(token, kNow + 3600) == AccessRefusal::kNone);
  CHECK(verifier.asked_host);
  CHECK(verifier.check(token, kNow + 3660) == AccessRefusal::kExpired);
}

TEST_CASE("a service token has a common_name and no nbf") {
  Verifier verifier;
  Claims claims;
  claims.nbf = "";
  claims.who = R"("common_name":"abc.access","sub":"")";
  claims.aud = "\"" + std::string(kAudience) + "\"";
  CHECK(verifier.check(jwt(header(), claims.json())) == AccessRefusal::kNone);
  CHECK(verifier.claims.common_name.view() == "abc.access");
  CHECK(verifier.claims.email.empty());
}

TEST_CASE("tokens for others, of others and from other times are refused") {
  Verifier verifier;
  const auto refusal = [&](auto change, int64_t now = kNow) {
    Claims claims;
    change(claims);
    return verifier.check(jwt(header(), claims.json()), now);
  };
  CHECK(refusal([](Claims& c) { c.aud = R"(["other"])"; }) == AccessRefusal::kWrongAudience);
  CHECK(refusal([](Claims& c) { c.aud = "[]"; }) == AccessRefusal::kWrongAudience);
  CHECK(refusal([](Claims& c) { c.aud = "\"" + std::string(kAudience.substr(1)) + "\""; }) ==
        AccessRefusal::kWrongAudience);
  CHECK(refusal([](Claims& c) { c.aud = R"(["other",")" + std::string(kAudience) + R"("])"; }) ==
        AccessRefusal::kNone);
  CHECK(refusal([](Claims& c) { c.aud = "{}"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.aud = "[1]"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.iss = "https://evil.cloudflareaccess.com"; }) ==
        AccessRefusal::kWrongIssuer);
  CHECK(refusal([](Claims& c) { c.iss += "/"; }) == AccessRefusal::kWrongIssuer);
  CHECK(refusal([](Claims& c) { c.type = "org"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.who = R"("sub":"x")"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.who = R"("email":"","sub":"x")"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.who = R"("email":"a@b","email":"c@d")"; }) ==
        AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.who = R"("email":"a@b","exp":9999999999)"; }) ==
        AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.nbf = "\"now\""; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.nbf = "-1"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.nbf = "99999999999999"; }) == AccessRefusal::kMalformed);
  CHECK(refusal([](Claims& c) { c.exp = kNow - 60; }) == AccessRefusal::kExpired);
  CHECK(refusal([](Claims& c) { c.exp = kNow - 59; }) == AccessRefusal::kNone);
  CHECK(refusal([](Claims& c) { c.nbf = std::to_string(kNow + 61); }) ==
        AccessRefusal::kNotYetValid);
  CHECK(refusal([](Claims& c) { c.nbf = std::to_string(kNow + 60); }) == AccessRefusal::kNone);
  CHECK(refusal([](Claims& c) { c.iat = kNow + 61; }) == AccessRefusal::kNotYetValid);
}

TEST_CASE("only RS256 with a kid reaches a key") {
  Verifier verifier;
  const std::string payload = Claims{}.json();
  const auto refusal = [&](const std::string& head) { return verifier.check(jwt(head, payload)); };
  CHECK(refusal(R"({"alg":"none","kid":"key-1"})") == AccessRefusal::kWrongAlgorithm);
  CHECK(refusal(R"({"alg":"HS256","kid":"key-1"})") == AccessRefusal::kWrongAlgorithm);
  CHECK(refusal(R"({"alg":"rs256","kid":"key-1"})") == AccessRefusal::kWrongAlgorithm);
  CHECK(refusal(R"({"alg":"RS512","kid":"key-1"})") == AccessRefusal::kWrongAlgorithm);
  CHECK(refusal(R"({"alg":"RS256"})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"kid":"key-1"})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"alg":"RS256","alg":"none","kid":"key-1"})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"alg":"RS256","kid":"key-1","crit":["b64"]})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"alg":"RS256","kid":7})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"alg":["RS256"],"kid":"key-1"})") == AccessRefusal::kMalformed);
  CHECK(refusal(R"({"alg":"RS256","kid":"key-1","jwk":{"kty":"oct"},"jku":"https://evil"})") ==
        AccessRefusal::kNone);
  // A token without a signature.
  const std::string input = b64(R"({"alg":"none","kid":"key-1"})") + "." + b64(payload) + ".";
  CHECK(verifier.check(input) == AccessRefusal::kWrongAlgorithm);
  CHECK(verifier.check(b64(header()) + "." + b64(payload) + ".") == AccessRefusal::kMalformed);
}

TEST_CASE("a changed token or another's signature is refused and not remembered") {
  Verifier verifier;
  Claims claims;
  const std::string good = jwt(header(), claims.json());
  claims.who = R"("email":"admin@example.com")";
  const std::string forged =
      b64(header()) + "." + b64(claims.json()) + good.substr(good.rfind('.'));
  CHECK(verifier.check(forged) == AccessRefusal::kBadSignature);
  CHECK(verifier.asked_host);
  CHECK(verifier.check(forged) == AccessRefusal::kBadSignature);
  CHECK(verifier.asked_host);
}

TEST_CASE("every truncation of a token is refused without asking the host for more than a check") {
  Verifier verifier;
  const std::string token = jwt(header(), Claims{}.json());
  for (size_t len = 0; len < token.size(); len += len < 40 ? 1 : 7) {
    CAPTURE(len);
    CHECK(verifier.check(token.substr(0, len)) != AccessRefusal::kNone);
    CHECK_FALSE(verifier.asked_host);
  }
  CHECK(verifier.check(token + "A") != AccessRefusal::kNone);
  CHECK(verifier.check(token + ".") == AccessRefusal::kMalformed);
  CHECK(verifier.check(token + "=") == AccessRefusal::kMalformed);
  CHECK(verifier.check(std::string(kMaxAccessTokenLen + 1, 'a')) == AccessRefusal::kMalformed);
}

TEST_CASE("an unknown kid asks for new keys, at most once a minute") {
  Verifier verifier;
  static const Signer second("key-2");
  const std::string input = b64(header("key-2")) + "." + b64(Claims{}.json());
  const std::string token = input + "." + second.sign(input);
  CHECK(verifier->begin(token, at(kNow)).outcome == AccessOutcome::kRefreshKeys);
  CHECK(verifier->begin(token, at(kNow)).refusal == AccessRefusal::kUnknownKey);
  CHECK(verifier->begin(token, at(kNow + 59)).refusal == AccessRefusal::kUnknownKey);
  CHECK(verifier->begin(token, at(kNow + 60)).outcome == AccessOutcome::kRefreshKeys);
  verifier->on_fetch_failed(at(kNow + 61));
  CHECK(verifier->begin(token, at(kNow + 120)).refusal == AccessRefusal::kUnknownKey);
  CHECK(verifier->begin(token, at(kNow + 121)).outcome == AccessOutcome::kRefreshKeys);
  // Rotation: both keys are published, then the old one goes, and what it signed with it.
  const std::string old = jwt(header(), Claims{}.json());
  REQUIRE(verifier.check(old, kNow + 122) == AccessRefusal::kNone);
  REQUIRE(
      verifier
          ->load_keys("{\"keys\":[" + signer().jwk() + "," + second.jwk() + "]}", at(kNow + 122))
          .ok());
  CHECK(verifier.check(token, kNow + 123) == AccessRefusal::kNone);
  CHECK(verifier.check(old, kNow + 123) == AccessRefusal::kNone);
  CHECK(verifier.asked_host);
  REQUIRE(verifier->load_keys("{\"keys\":[" + second.jwk() + "]}", at(kNow + 124)).ok());
  CHECK(verifier.check(old, kNow + 125) == AccessRefusal::kUnknownKey);
  CHECK(verifier.check(token, kNow + 125) == AccessRefusal::kNone);
}

TEST_CASE("keys that changed between begin and finish start the check over") {
  Verifier verifier;
  const std::string token = jwt(header(), Claims{}.json());
  const AccessStep step = verifier->begin(token, at(kNow));
  REQUIRE(step.outcome == AccessOutcome::kCheckSignature);
  const uint32_t generation = step.keys_generation;
  static const Signer same_kid("key-1");
  REQUIRE(verifier->load_keys("{\"keys\":[" + same_kid.jwk() + "]}", at(kNow)).ok());
  const AccessStep again = verifier->finish(token, generation, SignatureResult::kGood, at(kNow));
  REQUIRE(again.outcome == AccessOutcome::kCheckSignature);
  CHECK(host_check(again) == SignatureResult::kBad);
}

TEST_CASE("a bad key document keeps the old keys, and none at all asks for some") {
  Verifier verifier;
  CHECK_FALSE(verifier->load_keys("{\"keys\":[]}", at(kNow)).ok());
  CHECK(verifier.check(jwt(header(), Claims{}.json())) == AccessRefusal::kNone);
  auto empty = std::make_unique<AccessVerifier>(config());
  CHECK(empty->wants_keys(at(kNow)));
  CHECK(empty->begin(jwt(header(), Claims{}.json()), at(kNow)).outcome ==
        AccessOutcome::kRefreshKeys);
  CHECK_FALSE(empty->wants_keys(at(kNow + 59)));
  CHECK(empty->wants_keys(at(kNow + 60)));
  CHECK_FALSE(verifier->wants_keys(at(kNow + 60)));
  CHECK(verifier->wants_keys(at(kNow - 1000 + 6 * 3600)));
}

TEST_CASE("the memory of verified tokens is bounded and forgets the least recently used") {
  Verifier verifier;
  std::vector<std::string> tokens;
  for (size_t i = 0; i <= AccessVerifier::kCacheSize; ++i) {
    Claims claims;
    claims.exp += static_cast<int64_t>(i);
    tokens.push_back(jwt(header(), claims.json()));
    REQUIRE(verifier.check(tokens.back()) == AccessRefusal::kNone);
    REQUIRE(verifier.check(tokens[0]) == AccessRefusal::kNone);
  }
  CHECK(verifier.check(tokens[0]) == AccessRefusal::kNone);
  CHECK_FALSE(verifier.asked_host);
  CHECK(verifier.check(tokens[1]) == AccessRefusal::kNone);
  CHECK(verifier.asked_host);
}

TEST_CASE("a configuration that could accept anybody is refused") {
  AccessConfig good = config();
  CHECK(AccessVerifier::check_config(good).ok());
  AccessConfig no_audience = good;
  REQUIRE(no_audience.audience.assign(""));
  CHECK_FALSE(AccessVerifier::check_config(no_audience).ok());
  for (const char* issuer :
       {"", "http://team.cloudflareaccess.com", "https://team.cloudflareaccess.com/"}) {
    AccessConfig wrong = good;
    REQUIRE(wrong.issuer.assign(issuer));
    CHECK_FALSE(AccessVerifier::check_config(wrong).ok());
  }
  AccessConfig lenient = good;
  lenient.leeway = Seconds{301};
  CHECK_FALSE(AccessVerifier::check_config(lenient).ok());
}

}  // namespace es::token

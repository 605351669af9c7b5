// Access tokens, key sets and the JSON reader under them.
#include "common/base/base64.h"
#include "common/token/access_jwt.h"
#include "common/token/json_reader.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

namespace {

using namespace es::token;

void require(bool ok) {
  if (!ok) std::abort();
}

std::string b64(std::string_view text) {
  return es::base64_encode(es::as_bytes(text), es::Base64Alphabet::kUrlUnpadded);
}

std::string key_set() {
  return R"({"keys":[{"kid":"k","kty":"RSA","e":"AQAB","n":")" + b64(std::string(256, '\x7f')) +
         "\"}]}";
}

AccessVerifier& verifier() {
  static const auto made = [] {
    AccessConfig config;
    require(config.issuer.assign("https://team.cloudflareaccess.com"));
    require(config.audience.assign("aud"));
    auto v = std::make_unique<AccessVerifier>(config);
    require(v->load_keys(key_set(), es::wall_time_ms(0)).ok());
    return v;
  }();
  return *made;
}

void check_step(const AccessStep& step) {
  // Nothing was ever verified, so nothing may be accepted.
  require(step.outcome != AccessOutcome::kAccepted);
  if (step.outcome != AccessOutcome::kCheckSignature) return;
  require(step.key != nullptr && step.signature.size() == step.key->modulus().size());
  require(!step.signing_input.empty());
}

}  // namespace

// Input: a whole token, a key set, JSON, and the payload of a token that is right otherwise.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = es::as_text({data, size});
  const auto now = es::wall_time_ms(1'800'000'000'000);
  check_step(verifier().begin(text, now));

  const std::string token =
      b64(R"({"alg":"RS256","kid":"k"})") + "." + b64(text) + "." + b64(std::string(256, 's'));
  check_step(verifier().begin(token, now));
  const std::string other_header = b64(text) + "." + b64("{}") + "." + b64(std::string(256, 's'));
  check_step(verifier().begin(other_header, now));

  auto jwks = std::make_unique<Jwks>();
  if (parse_jwks(text, *jwks).ok()) {
    require(jwks->num_keys > 0 && jwks->num_keys <= Jwks::kMaxKeys);
    for (size_t i = 0; i < jwks->num_keys; ++i) {
      require(jwks->find(jwks->keys[i].kid.view()) == &jwks->keys[i]);
      require(jwks->keys[i].modulus().size() >= RsaKey::kMinModulusLen);
      require(jwks->keys[i].modulus()[0] != 0);
    }
  }

  JsonReader json(text);
  json.skip();
  if (json.finished()) {
    // What is read over inside an array is an element of it.
    const std::string wrapped = "[" + std::string(text) + ",0]";
    JsonReader outer(wrapped);
    require(outer.enter_array() && outer.next_element());
    outer.skip();
    // One level deeper may be one too many; anything else must go on.
    if (outer.ok()) {
      require(outer.next_element());
      require(outer.natural() == 0);
      require(!outer.next_element() && outer.finished());
    }
  }
  return 0;
}

// Keys, Authorization values and edge signatures: accepting means that writing them again gives the
// same text.
#include "common/base/hex.h"
#include "common/base/ip_address.h"
#include "common/token/signature.h"
#include "common/token/token.h"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

void check_token(std::string_view text) {
  using namespace es::token;
  const auto token = parse_token(text);
  if (!token.ok()) return;
  require(text.size() <= kMaxTokenLen);
  require(text.ends_with(token->secret));
  require(text.find(token->id) != std::string_view::npos);
  if (token->kind == TokenKind::kForeign) {
    require(token->foreign != ForeignShape::kNone);
    return;
  }
  require(es::hex_encode(token->random) == token->secret.substr(0, kUnsealedSecretLen));
  const HmacKey key(es::as_bytes("a key"));
  const bool sealed = token->form == Token::Form::kSealed;
  const SealVerdict verdict = check_seal(*token, key, es::wall_time_ms(0));
  require(verdict == (sealed ? SealVerdict::kForged : SealVerdict::kUnsealed));
}

void check_signature(std::string_view text) {
  using namespace es::token;
  const HmacKey key(es::as_bytes("a key"));
  const SignedRequest request{"GET", "/"};
  const auto check = verify_signature(key, request, text, es::wall_time_ms(1'800'000'000'000), {});
  // Nobody guesses a MAC.
  require(check.verdict != SignatureVerdict::kValid);
  require((check.verdict == SignatureVerdict::kMissing) == text.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = es::as_text({data, size});
  check_token(text);
  check_signature(text);
  if (const auto token = es::token::bearer_token(text); token.ok()) {
    require(token->size() + 7 == text.size());
    for (const char c : *token) require(c > 0x20 && c < 0x7f && c != ',');
    check_token(*token);
  }
  if (const auto address = es::parse_ip_address(text)) {
    std::array<uint8_t, es::kMaxIpAddressText> buffer;
    es::ByteWriter out(buffer);
    es::write_ip_address(*address, out);
    require(out.ok());
    require(es::parse_ip_address(es::as_text(out.written())) == address);
  }
  return 0;
}

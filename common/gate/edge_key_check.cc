#include "common/gate/edge_key_check.h"

#include <cstring>

namespace es::gate {
Result<EdgeKeyCheck> EdgeKeyCheck::create(std::string_view operator_key,
                                          const token::HmacKey& seal) {
  EdgeKeyCheck keys;
  if (operator_key.size() < 16) return refuse("must have at least 16 characters");
  if (operator_key.size() > keys.operator_key_.size()) return refuse("is too long");
  for (const char c : operator_key) {
    if (c <= ' ' || c > '~' || c == ',') return refuse("has characters that no header may carry");
  }
  std::memcpy(keys.operator_key_.data(), operator_key.data(), operator_key.size());
  keys.operator_key_len_ = operator_key.size();
  keys.seal_ = &seal;
  return keys;
}

KeyVerdict EdgeKeyCheck::check(std::string_view text, WallTime now) const {
  const std::string_view expected(operator_key_.data(), operator_key_len_);
  if (equal_constant_time(as_bytes(text), as_bytes(expected))) return KeyVerdict::kOperator;
  const Result<token::Token> token = token::parse_token(text);
  if (!token) return KeyVerdict::kInvalid;
  const bool api = token->kind == token::TokenKind::kApi ||
                   token->foreign == token::ForeignShape::kHskeyApi ||
                   token->foreign == token::ForeignShape::kLegacy;
  if (!api) return KeyVerdict::kInvalid;
  switch (token::check_seal(*token, *seal_, now)) {
    case token::SealVerdict::kValid:
      return KeyVerdict::kValid;
    case token::SealVerdict::kUnsealed:
      return KeyVerdict::kAskOrigin;
    case token::SealVerdict::kExpired:
    case token::SealVerdict::kForged:
      break;
  }
  return KeyVerdict::kInvalid;
}

KeyCheck EdgeKeyCheck::as_key_check() {
  return {[](void* context, std::string_view token, WallTime now) {
            return static_cast<const EdgeKeyCheck*>(context)->check(token, now);
          },
          this};
}

}  // namespace es::gate

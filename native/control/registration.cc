#include "native/control/registration.h"

#include "common/base/hex.h"

#include <algorithm>
#include <array>

namespace es::control {
namespace {

bool is_secret(std::string_view text) {
  return text.size() == kAuthIdSecretLen && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
         });
}

}  // namespace

std::optional<std::string> parse_auth_id(std::string_view text) {
  const bool is_url = text.starts_with("https://") || text.starts_with("http://");
  if (is_url) {
    const size_t at = text.rfind('/');
    const std::string_view path = text.substr(0, at + 1);
    if (!path.ends_with("/register/") && !path.ends_with("/auth/")) return std::nullopt;
    text.remove_prefix(at + 1);
  }
  if (text.starts_with(kAuthIdPrefix)) text.remove_prefix(kAuthIdPrefix.size());
  if (!is_secret(text)) return std::nullopt;
  return std::string(kAuthIdPrefix) + std::string(text);
}

std::string make_auth_id(const std::function<void(MutableBytes)>& random) {
  std::array<uint8_t, kAuthIdSecretLen / 2> raw{};
  random(raw);
  return std::string(kAuthIdPrefix) + hex_encode(raw);
}

}  // namespace es::control

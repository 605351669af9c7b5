#include "native/control/registration.h"

#include <algorithm>

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
    constexpr std::string_view kPath = "/register/";
    const size_t at = text.rfind(kPath);
    if (at == std::string_view::npos) return std::nullopt;
    text.remove_prefix(at + kPath.size());
  }
  if (text.starts_with(kAuthIdPrefix)) text.remove_prefix(kAuthIdPrefix.size());
  if (!is_secret(text)) return std::nullopt;
  return std::string(kAuthIdPrefix) + std::string(text);
}

}  // namespace es::control

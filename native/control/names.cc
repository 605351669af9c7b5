#include "native/control/names.h"

#include "common/base/utf8.h"
#include "native/control/letters.h"

namespace es::control {
namespace {

// C0, DEL and C1: they would garble a terminal or a log.
bool is_control(uint32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

Status check_text(std::string_view text, Error not_utf8, Error has_control) {
  while (!text.empty()) {
    const auto c = take_code_point(text);
    if (!c) return not_utf8;
    if (is_control(*c)) return has_control;
  }
  return {};
}

}  // namespace

std::optional<uint32_t> take_code_point(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const size_t len = utf8_sequence_len(text);
  if (len == 0) return std::nullopt;
  const auto lead = static_cast<uint8_t>(text[0]);
  uint32_t c = len == 1 ? lead : lead & (0x7fU >> len);
  for (size_t i = 1; i < len; ++i) c = c << 6 | (static_cast<uint8_t>(text[i]) & 0x3fU);
  text.remove_prefix(len);
  return c;
}

Status check_user_name(std::string_view name) {
  if (name.size() < 2) return refuse("username must be at least 2 characters long");
  if (name.size() > kMaxUserNameLen) return refuse("username must be at most 255 bytes long");
  bool first = true;
  bool at_seen = false;
  while (!name.empty()) {
    const auto c = take_code_point(name);
    if (!c) return refuse("username must be UTF-8");
    if (first && !is_letter(*c)) return refuse("username must start with a letter");
    first = false;
    if (*c == '@') {
      if (at_seen) return refuse("username cannot contain more than one '@'");
      at_seen = true;
    } else if (!is_letter(*c) && !is_digit(*c) && *c != '-' && *c != '.' && *c != '_') {
      return refuse(
          "username contains an invalid character: letters, digits, '-', '.', '_' and one '@' are "
          "allowed");
    }
  }
  return {};
}

Status check_display_name(std::string_view text) {
  if (text.size() > kMaxDisplayNameLen) {
    return refuse("displayName must be at most 255 bytes long");
  }
  return check_text(text, refuse("displayName must be UTF-8"),
                    refuse("displayName must not contain control characters"));
}

Status check_email(std::string_view text) {
  if (text.size() > kMaxEmailLen) return refuse("email must be at most 254 bytes long");
  return check_text(text, refuse("email must be UTF-8"),
                    refuse("email must not contain control characters"));
}

Status check_picture_url(std::string_view text) {
  if (text.size() > kMaxPictureUrlLen) return refuse("pictureUrl must be at most 2048 bytes long");
  return check_text(text, refuse("pictureUrl must be UTF-8"),
                    refuse("pictureUrl must not contain control characters"));
}

Status check_tag(std::string_view tag) {
  constexpr std::string_view kPrefix = "tag:";
  if (!tag.starts_with(kPrefix)) return refuse("tag must start with the string 'tag:'");
  if (tag.size() == kPrefix.size()) return refuse("tag must have a name after 'tag:'");
  if (tag.size() > kMaxTagLen) return refuse("tag must be at most 255 bytes long");
  for (const char c : tag) {
    if (c >= 'A' && c <= 'Z') return refuse("tag should be lowercase");
    if (c == ' ') return refuse("tags must not contain spaces");
  }
  return check_text(tag, refuse("tag must be UTF-8"),
                    refuse("tags must not contain control characters"));
}

}  // namespace es::control

// What people may call things: the rules of Headscale (hscontrol/util/dns.go, api/v1/tags.go) with
// limits on length and no control characters.
//
// Each check returns a refusal whose text says which rule was broken; it never holds the input.
#pragma once

#include "common/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace es::control {

inline constexpr size_t kMaxUserNameLen = 255;  // bytes, like every length here
inline constexpr size_t kMaxDisplayNameLen = 255;
inline constexpr size_t kMaxEmailLen = 254;
inline constexpr size_t kMaxPictureUrlLen = 2048;
inline constexpr size_t kMaxTagLen = 255;
inline constexpr size_t kMaxTags = 128;

// At least 2 bytes; a letter first; then letters and digits of any script, '-', '.', '_' and at
// most one '@'.
Status check_user_name(std::string_view name);

Status check_display_name(std::string_view text);
Status check_email(std::string_view text);
Status check_picture_url(std::string_view text);

// "tag:" and at least one character more; lower case; no white space.
Status check_tag(std::string_view tag);

// Takes one code point off the front; nullopt for anything but strict UTF-8.
std::optional<uint32_t> take_code_point(std::string_view& text);

}  // namespace es::control

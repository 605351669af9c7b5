// What all HTML pages of this server share: the frame around a page's own content, its style sheet
// and its icon. Pure.
//
// No script and no style inside the pages: the gate's Content-Security-Policy allows neither.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace es::api {

inline constexpr std::string_view kPageStylePath = "/register/page.css";
inline constexpr std::string_view kPageIconPath = "/register/icon.svg";
extern const std::string_view kPageStyle;
extern const std::string_view kPageIcon;

enum class Tone : uint8_t { kPlain, kGood, kBad };

// For text between tags and for attribute values in double quotes.
std::string escape_html(std::string_view text);

// `title` is text and is escaped here; `body` is HTML.
std::string page_document(std::string_view title, std::string_view body, Tone tone = Tone::kPlain);

}  // namespace es::api

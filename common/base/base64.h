// Base64 (RFC 4648): the standard alphabet with padding (section 4) and the URL-safe one without
// (section 5). Decoding is strict: canonical text only, no white space, no stray bits.
#pragma once

#include "common/base/bytes.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace es {

enum class Base64Alphabet : uint8_t { kStandardPadded, kUrlUnpadded };

std::string base64_encode(Bytes data, Base64Alphabet alphabet);

// Decodes into `out` and returns the bytes used, or nullopt when the text is not canonical or does
// not fit.
std::optional<size_t> base64_decode(std::string_view text, Base64Alphabet alphabet,
                                    MutableBytes out);

}  // namespace es

// UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace es {

// The length of the sequence at the front of `text`, which is not empty; 0 if it is none.
size_t utf8_sequence_len(std::string_view text);

}  // namespace es

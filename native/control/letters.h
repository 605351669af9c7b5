// Letters and decimal digits of every script, for names that Headscale accepts (Go's
// unicode.IsLetter and unicode.IsDigit). Takes code points; surrogates and what is unassigned in
// Unicode 14 are neither.
#pragma once

#include <cstdint>

namespace es::control {

bool is_letter(uint32_t code_point);
bool is_digit(uint32_t code_point);

}  // namespace es::control

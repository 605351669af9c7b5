// The mark by which the origin tells its edge that an answer is hardened already.
//
//   X-Edge-Hardened: <8 hex digits: hardening revision>.<32 hex digits: token::AnswerProof>
// The origin sends it with each answer to a validly signed request, after it has applied the same
// tables (common/http/hardening.h). An edge with the same revision passes such an answer on as it
// is; any other answer it hardens itself. The proof holds for one signed request, so nobody but
// the holder of the key can make a mark, and one that a client saw is of no use for another
// request.
#pragma once

#include "common/base/bytes.h"
#include "common/token/signature.h"

#include <string_view>

namespace es::gate {

inline constexpr std::string_view kHardenedField = "x-edge-hardened";
inline constexpr size_t kHardenedMarkLen = 8 + 1 + 2 * sizeof(token::AnswerProof);

void write_hardened_mark(const token::AnswerProof& proof, ByteWriter& out);

}  // namespace es::gate

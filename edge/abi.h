// The binary interface between the Worker's JavaScript and the gate.
//
// Four static buffers, whose places es_layout() tells once: `in` and `lengths` (the host writes,
// the module reads), `out` (texts for the host) and `words` (32-bit results). Text is UTF-8;
// lengths are bytes. Everything in `out` and `words` is valid until the next call. Memory is fixed,
// so the host's views never detach.
//
// A request is one call, es_decide or es_decide_all; its answer at most one more, es_answer. What a
// refusal needs are a few texts by name (es_decide), but a request that passes needs its whole
// header, which holds them too (es_decide_all). The host guesses which of the two this one will be;
// where it guessed too little, the verdict kReadFields asks for the rest. There is one instance a
// thread. A trap leaves the instance undefined: the host throws it away and makes a new one.
//
// The host side is js-shim/wasm.mjs; tests/edge/abi_test.mjs holds both lists of names against
// exports.txt and imports.txt, and the numbers below against the shim's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace es::edge {

// `in` holds a JWKS (64 KiB) at most, or the texts of a request.
inline constexpr size_t kInLen = 96 * 1024;
inline constexpr size_t kMaxFieldViews = 100;
inline constexpr size_t kOutLen = 24 * 1024;
inline constexpr size_t kNumWords = 23;

// Results of es_decide, es_decide_all and es_answer.
enum Word : size_t {
  kRefusal,     // http::Refusal, 0 when the request passes
  kStatus,      // of the refusal
  kFlags,       // Flag bits
  kMarkLen,     // behind the signature: the mark that a hardened answer brings (hardened_mark.h)
  kRetryAfter,  // seconds, for a refusal by a limit; with kRefusal the key of a prepared answer
  kClientLow,   // these three name the request to es_answer, es_lease_reply: pass them back
  kClientHigh,
  kContext,        // kind of client | route << 8 | method << 16 | key verdict << 24
  kSignatureLen,   // at out + kSignatureAt
  kLogLen,         // at out + kLogAt; 0: no line yet
  kClientAt,       // where in that line the client's digits stand
  kPointLen,       // at out + kPointAt; analytics/event.h has its layout
  kTextLen,        // at out + kTextAt: what each function says
  kSecondLen,      // behind that
  kThirdLen,       // behind that
  kFourthLen,      // behind that
  kExtra,          // what each function says
  kCountryAt,      // es_decide_all: where CF-IPCountry stands in `in`
  kCountryLen,     // and its length; 0: nowhere
  kForwardFields,  // es_decide_all, and three more; bit i: the i-th field goes on
};
static_assert(kForwardFields + 4 == kNumWords);

enum Flag : uint32_t {
  kTerse = 1,  // many refusals in this second: answer with the prepared response without a body
};

inline constexpr size_t kSignatureAt = 0;
inline constexpr size_t kLogAt = 256;
inline constexpr size_t kPointAt = 1536;
inline constexpr size_t kTextAt = 2304;

}  // namespace es::edge

// Every answer that the gate or its host gives in place of the origin: a status and a literal body.
//
// The bodies are literals because they may go to a peer that has not authenticated: none holds
// any of its input. Their shape is the superset of Headscale's two generations of API errors
// (grpc-gateway's code, message, details; problem+json's title, status, detail).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace es::http {

enum class Refusal : uint8_t {
  kNone,
  // The request itself: http/.
  kBadMethod,
  kBadTarget,
  kControlCharacter,
  kTraversal,
  kBadHost,
  kBadField,
  kBadFraming,
  kBadUpgrade,
  kBodyTooLarge,
  kTargetTooLong,
  kFieldsTooLarge,
  // Who asks, and how often: gate/.
  kUnauthorized,
  kTooManyRequests,
  kTooManyFailures,
  kDirectPathOnly,
  // What the host of the gate met: origin, limiter, configuration, itself.
  kInternal,
  kBadGateway,
  kMisconfigured,
  kGatewayTimeout,
};
inline constexpr size_t kNumRefusals = static_cast<size_t>(Refusal::kGatewayTimeout) + 1;

struct RefusalText {
  uint16_t status;        // 0 for kNone
  std::string_view name;  // for logs and metrics
  std::string_view body;  // JSON
};

const RefusalText& refusal_text(Refusal refusal);

}  // namespace es::http

// The question "whose key is this?", which each twin answers from what it knows.
#pragma once

#include "common/base/time.h"

#include <cstdint>
#include <string_view>

namespace es::gate {

enum class KeyVerdict : uint8_t {
  kInvalid,    // forged, expired, revoked or no key at all
  kAskOrigin,  // well-formed, but only the origin can judge it (edge only)
  kValid,
  kOperator,  // the operator's own key (edge only): may also see the edge's state
};

// `check` must take the same time for every wrong key of one length.
struct KeyCheck {
  KeyVerdict (*check)(void* context, std::string_view token, WallTime now) = nullptr;
  void* context = nullptr;
};

}  // namespace es::gate

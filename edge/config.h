// The Worker's variables, secrets and bindings, checked once for each instance.
//
// Text: a line for each binding of the environment, as the host found it:
//   NAME=value      a variable or secret; the rest of the line, taken as it is
//   NAME:kind       anything else: durable_object, analytics, fetcher or unknown
// Names that are not known here are passed over. The first missing or malformed one refuses the
// whole: the Worker then answers 503 and logs which one it was.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/limit/limiter.h"

#include <cstdint>
#include <string_view>

namespace es::edge {

// Views into the text.
struct Settings {
  std::string_view origin;       // HEADSCALE_URL without a trailing slash
  std::string_view origin_host;  // what fetch() sends as Host
  std::string_view operator_key;
  std::string_view token_key;
  std::string_view access_client_id;  // with the secret: sent to an origin behind Access
  std::string_view access_client_secret;
  std::string_view access_team_domain;  // with the audience: API routes need an Access token
  std::string_view access_audience;
  std::string_view colo;  // of this isolate; may be empty
  std::string_view version;
  limit::Limit requests{100, Millis{60'000}, 20};
  limit::Limit auth_failures{10, Millis{60'000}, 0};
  Millis lease{15'000};
  uint32_t lease_permits = 20;
  Millis origin_timeout{30'000};
  Millis limiter_timeout{1'000};
};

// What is wrong, for the operator's log: a name and a reason, both literals.
struct ConfigProblem {
  std::string_view name;
  std::string_view reason;
};

Result<Settings, ConfigProblem> read_settings(std::string_view text);

}  // namespace es::edge

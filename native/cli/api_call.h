// One call of the REST API: the answer's JSON, or why there is none in words for a person.
#pragma once

#include "common/base/result.h"
#include "native/cli/commands.h"
#include "native/cli/output.h"

#include <string>
#include <string_view>

namespace es::cli {

struct Failure {
  std::string text;
};

using Outcome = Result<void, Failure>;

// `body` is JSON or empty. Answers other than 2xx with JSON are failures; among them a web page of
// a proxy, a redirect, and a refused key.
Result<Json, Failure> call_api(Io& io, std::string_view method, const std::string& target,
                               const std::string& body);

// For one path segment or query value.
std::string percent_encode(std::string_view text);

}  // namespace es::cli

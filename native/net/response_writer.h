// The bytes of an answer's head: status line, what the handler said, what every answer carries.
//
// Source: RFC 9112 section 4. A handler's field that is no valid field, that the response allow
// list (common/http/hardening.h) does not name, or that the server sets itself is left out.
#pragma once

#include "common/http/hardening.h"
#include "common/token/signature.h"
#include "native/net/http.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace es::net {

struct HeadParts {
  unsigned status = 200;
  std::span<const Field> fields;
  http::HeaderSet headers = http::HeaderSet::kApi;
  std::string_view date;
  std::optional<size_t> content_length;  // nullopt for what has no body by definition
  enum class After { kKeep, kClose } after = After::kKeep;
  // After a valid X-Edge-Signature: tells the edge that this answer is hardened.
  std::optional<token::AnswerProof> proof;
};

void append_response_head(std::string& out, const HeadParts& parts);

// `101 Switching Protocols`, `Connection: Upgrade` and these fields as they are, for the handlers
// of an Upgrade, whose fields are their protocol's.
void append_switching_head(std::string& out, std::span<const Field> fields);

// Whether an answer of that status has neither body nor Content-Length (RFC 9110 section 8.6).
constexpr bool has_no_body(unsigned status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace es::net

#include "native/api/answers.h"

namespace es::api {
namespace {

using control::Reason;
using net::Response;

Response no_store(Response response) {
  response.fields.push_back({"Cache-Control", "no-store"});
  return response;
}

unsigned status_of(Reason reason) {
  switch (reason) {
    case Reason::kInvalid:
      return 400;
    case Reason::kNotFound:
      return 404;
    case Reason::kConflict:
      return 409;
    case Reason::kRetryLater:
      return 503;
    case Reason::kBroken:
      break;
  }
  return 500;
}

}  // namespace

Response ok(std::string body) { return no_store(net::json_response(200, std::move(body))); }

Response error(unsigned status, std::string_view text) {
  Response response = no_store(net::error_response(status, text));
  if (status == 503) response.fields.push_back({"Retry-After", "1"});
  return response;
}

Response error(const BodyError& e) { return error(e.status, e.text); }

Response error(const control::Refusal& refusal) {
  return error(status_of(refusal.reason), refusal.text);
}

control::Answer<void> reply_empty(const net::Reply& reply) {
  return [reply](Result<void, control::Refusal> result) {
    reply(result.ok() ? ok("{}") : error(result.error()));
  };
}

std::optional<uint64_t> id_or_reply(std::string_view text, std::string_view complaint,
                                    const net::Reply& reply) {
  const auto id = parse_uint64(text);
  if (!id) reply(error(400, complaint));
  return id;
}

}  // namespace es::api

#include "native/cli/api_call.h"

#include <nlohmann/json.hpp>

namespace es::cli {
namespace {

// Nobody's answers are nested deeper; printing is recursive.
constexpr int kMaxDepth = 64;

std::optional<Json> parse_json(const std::string& text) {
  bool too_deep = false;
  Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kMaxDepth;
        return !too_deep;
      },
      false);
  if (too_deep || json.is_discarded()) return std::nullopt;
  return json;
}

bool is_web_page(const Answer& answer) {
  return answer.content_type.starts_with("text/html") || answer.body.starts_with("<");
}

// What the server itself says, in any of the shapes that Headscale's generations have.
std::string message_of(const std::optional<Json>& json) {
  if (!json || !json->is_object()) return {};
  for (const char* key : {"message", "detail", "title", "error"}) {
    if (json->contains(key) && (*json)[key].is_string()) return (*json)[key].get<std::string>();
  }
  return {};
}

Failure refusal(const Answer& answer, const std::optional<Json>& json) {
  const std::string status = "HTTP " + std::to_string(answer.status);
  const std::string message = message_of(json);
  switch (answer.status) {
    case 401:
      return Failure{
          "the server refused the API key (401): it is wrong, expired or revoked. 'edgescale "
          "apikeys create' on the server makes a new one; give it in HEADSCALE_CLI_API_KEY or with "
          "--api-key"};
    case 429:
      return Failure{"too many requests (429)" +
                     (answer.retry_after.empty() ? std::string()
                                                 : ": try again in " + answer.retry_after + "s")};
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return Failure{"the server redirects to " + answer.location + " (" + status +
                     "): use that as the --address"};
    default:
      break;
  }
  if (message == "Not Found") {  // of the router, not of what was asked for
    return Failure{"the server has no such call (" + status +
                   "): is the address right, and the server as new as this program?"};
  }
  if (!message.empty()) return Failure{message};
  if (is_web_page(answer)) {
    return Failure{"a web page came back instead of the API's answer (" + status +
                   "): is the address right, and is a proxy or a log-in in front of it?"};
  }
  return Failure{"the server answered " + status};
}

}  // namespace

Result<Json, Failure> call_api(Io& io, std::string_view method, const std::string& target,
                               const std::string& body) {
  auto called = io.call(method, target, body);
  if (!called.ok()) return Failure{called.error().text};
  const Answer& answer = called.value();
  std::optional<Json> json = parse_json(answer.body);
  if (answer.status < 200 || answer.status > 299) return refusal(answer, json);
  if (!json || !json->is_object()) {
    return is_web_page(answer)
               ? refusal(answer, json)
               : Failure{"what came back is not the API's JSON: is the address right?"};
  }
  return *std::move(json);
}

std::string percent_encode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return out;
}

}  // namespace es::cli

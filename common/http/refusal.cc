#include "common/http/refusal.h"

namespace es::http {
namespace {

// The gRPC code beside the HTTP status is what grpc-gateway would have sent (google.rpc.Code).
#define ES_BODY(code, status, title, message)                                         \
  "{\"code\":" #code ",\"message\":\"" message "\",\"details\":[],\"title\":\"" title \
  "\",\"status\":" #status ",\"detail\":\"" message "\"}"

constexpr RefusalText kTexts[] = {
    {0, "none", ""},
    {400, "bad_method", ES_BODY(3, 400, "Bad Request", "This method is not supported.")},
    {400, "bad_target",
     ES_BODY(3, 400, "Bad Request", "The request target is malformed: percent-encode it.")},
    {400, "control_character",
     ES_BODY(3, 400, "Bad Request", "Control characters are not allowed in a request.")},
    {400, "traversal", ES_BODY(3, 400, "Bad Request", "Dot segments are not allowed in a path.")},
    {400, "bad_host", ES_BODY(3, 400, "Bad Request", "Exactly one well-formed Host is required.")},
    {400, "bad_field", ES_BODY(3, 400, "Bad Request", "A header field is malformed.")},
    {400, "bad_framing",
     ES_BODY(3, 400, "Bad Request",
             "Content-Length and Transfer-Encoding are malformed or contradict each other.")},
    {400, "bad_upgrade",
     ES_BODY(3, 400, "Bad Request", "This is not a WebSocket upgrade that is possible here.")},
    {413, "body_too_large",
     ES_BODY(8, 413, "Content Too Large", "The request body is larger than allowed.")},
    {414, "target_too_long",
     ES_BODY(8, 414, "URI Too Long", "The request target is longer than allowed.")},
    {431, "fields_too_large",
     ES_BODY(8, 431, "Request Header Fields Too Large",
             "The request header is larger than allowed.")},
    // Under 100 bytes: clients of Headscale's API check that.
    {401, "unauthorized",
     "{\"code\":16,\"message\":\"Unauthorized\",\"details\":[],\"title\":\"Unauthorized\","
     "\"status\":401}"},
    {429, "too_many_requests",
     ES_BODY(8, 429, "Too Many Requests", "Too many requests: wait as Retry-After says.")},
    {429, "too_many_failures",
     ES_BODY(8, 429, "Too Many Requests",
             "Too many failed authentications: wait as Retry-After says.")},
    {426, "direct_path_only",
     ES_BODY(9, 426, "Upgrade Required",
             "Native clients cannot reach the control server through this edge: a Worker can "
             "forward WebSocket upgrades only. Use the origin's direct address as login server.")},
    {500, "internal",
     ES_BODY(13, 500, "Internal Server Error", "The edge met a fault of its own.")},
    {502, "bad_gateway",
     ES_BODY(14, 502, "Bad Gateway", "The origin cannot be reached or gave no valid answer.")},
    {503, "misconfigured",
     ES_BODY(14, 503, "Service Unavailable",
             "The edge is not configured: its operator finds the reason in its log.")},
    {504, "gateway_timeout",
     ES_BODY(4, 504, "Gateway Timeout", "The origin did not answer in time.")},
};
static_assert(sizeof(kTexts) / sizeof(kTexts[0]) == kNumRefusals);

#undef ES_BODY

}  // namespace

const RefusalText& refusal_text(Refusal refusal) { return kTexts[static_cast<size_t>(refusal)]; }

}  // namespace es::http

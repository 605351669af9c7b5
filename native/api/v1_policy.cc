// /api/v1/policy: the policy in service, another one, and what it says about a connection.
#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "native/api/answers.h"
#include "native/api/body.h"
#include "native/api/render.h"
#include "native/api/v1.h"

#include <optional>
#include <utility>

namespace es::api {
namespace {

using control::PolicyDocument;
using net::Reply;
using net::Request;

// Of a file the time is null: user interfaces then know that it cannot be written here.
void append_document(std::string& out, const PolicyDocument& document) {
  out += "{\"policy\":";
  append_json_string(out, document.text);
  out += ",\"updatedAt\":";
  if (document.updated_at) {
    append_json_string(out, format_rfc3339(*document.updated_at));
  } else {
    out += "null";
  }
  out += '}';
}

void append_decision(std::string& out, const control::PolicyDecision& d) {
  out += "{\"src\":";
  append_json_string(out, d.src);
  out += ",\"dst\":";
  append_json_string(out, d.dst);
  out += ",\"port\":" + std::to_string(d.port);
  out += d.allowed ? ",\"allowed\":true" : ",\"allowed\":false";
  out += ",\"line\":" + std::to_string(d.rule.line);
  out += ",\"column\":" + std::to_string(d.rule.column) + ",\"rule\":";
  append_json_string(out, d.rule_text);
  out += '}';
}

// By name or number; nothing: any of those that a rule without protocols means.
std::optional<int> protocol_of(std::string_view text) {
  if (text.empty() || text == "any") return 0;
  constexpr std::pair<std::string_view, int> kNames[] = {
      {"icmp", 1}, {"igmp", 2}, {"tcp", 6},        {"udp", 17},  {"gre", 47},
      {"esp", 50}, {"ah", 51},  {"ipv6-icmp", 58}, {"sctp", 132}};
  for (const auto& [name, number] : kNames) {
    if (text == name) return number;
  }
  const auto number = parse_uint64(text);
  if (!number || *number > 255) return std::nullopt;
  return static_cast<int>(*number);
}

}  // namespace

void V1::get_policy(const Request&, const Reply& reply) {
  const auto document = policy_.document();
  // Headscale's words, by which its user interfaces know that there is none yet.
  if (!document) return reply(error(500, "acl policy not found"));
  std::string body;
  append_document(body, *document);
  reply(ok(std::move(body)));
}

void V1::put_policy(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body, kMaxPolicyBodyLen);
  if (!body.ok()) return reply(error(body.error()));
  std::string text = body->text("policy");
  if (body->error()) return reply(error(*body->error()));
  policy_.put(std::move(text), request.received,
              reply_with<PolicyDocument>(reply, append_document));
}

void V1::check_policy(const Request& request, const Reply& reply) {
  auto body = Body::parse(request.body, kMaxPolicyBodyLen);
  if (!body.ok()) return reply(error(body.error()));
  std::string text = body->text("policy");
  if (body->error()) return reply(error(*body->error()));
  policy_.check(std::move(text), reply_empty(reply));
}

void V1::explain_policy(const Request& request, const Reply& reply) {
  const auto protocol = protocol_of(request.query_value("proto").value_or(""));
  if (!protocol) return reply(error(400, "proto: give a protocol's name or its number"));
  const auto decisions = policy_.explain(request.query_value("src").value_or(""),
                                         request.query_value("dst").value_or(""), *protocol);
  if (!decisions.ok()) return reply(error(decisions.error()));
  reply(ok(render_list("decisions", *decisions, append_decision)));
}

}  // namespace es::api

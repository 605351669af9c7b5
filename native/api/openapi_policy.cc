#include "native/api/openapi.h"

namespace es::api {
namespace {

constexpr std::string_view kPaths = R"json(  "/api/v1/policy": {
    "get": {"operationId": "getPolicy", "tags": ["Policy"], "summary": "The policy in service; 500 if there is none, and everything is allowed", "responses": {
      "200": {"$ref": "#/components/responses/Policy"},
      "default": {"$ref": "#/components/responses/Error"}}},
    "put": {"operationId": "setPolicy", "tags": ["Policy"], "summary": "Put another policy into service", "description": "Refused with every problem found if it does not parse, names what is not there, or fails its own tests; the one in service stays then. Refused too if policy.mode is file.", "requestBody": {"$ref": "#/components/requestBodies/Policy"},
      "responses": {
      "200": {"$ref": "#/components/responses/Policy"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/policy/check": {
    "post": {"operationId": "checkPolicy", "tags": ["Policy"], "summary": "Everything that PUT would do but putting it into service", "requestBody": {"$ref": "#/components/requestBodies/Policy"},
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/policy/explain": {
    "get": {"operationId": "explainPolicy", "tags": ["Policy"], "summary": "Which rule decides about a connection", "parameters": [
      {"name": "src", "in": "query", "required": true, "schema": {"type": "string"}, "description": "An address, a node's name or id, a tag, or a user"},
      {"name": "dst", "in": "query", "required": true, "schema": {"type": "string"}, "description": "The same, with :port after it"},
      {"name": "proto", "in": "query", "schema": {"type": "string"}, "description": "tcp, udp, a number; not set: any of those that rules mean without saying so"}],
      "responses": {
      "200": {"description": "One decision for each pair of addresses, at most 64", "content": {"application/json": {"schema": {"type": "object", "properties": {"decisions": {"type": "array", "items": {"type": "object", "properties": {
        "src": {"type": "string"}, "dst": {"type": "string"}, "port": {"type": "integer"}, "allowed": {"type": "boolean"},
        "line": {"type": "integer", "description": "Of the rule that allows it; 0: no rule does, or there is no policy"}, "column": {"type": "integer"},
        "rule": {"type": "string", "description": "Its first line"}}}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}}
  })json";

}  // namespace

std::string_view openapi_policy_paths() { return kPaths; }

}  // namespace es::api

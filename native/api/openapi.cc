#include "native/api/openapi.h"

#include <string>

namespace es::api {
namespace {

constexpr std::string_view kHead = R"json({
"openapi": "3.0.3",
"info": {
  "title": "Edgescale API",
  "version": "1",
  "description": "Headscale's REST API, version 1. Ids are decimal strings, times RFC 3339. Unknown members of a request are ignored, null means not set. Retries: a POST that makes a key is not idempotent: if its answer is lost the key may exist, and asking again makes another one; every other write may be repeated and then changes nothing or answers 404 or 409. 503 means that nothing was written: wait Retry-After seconds and try again."
},
"security": [{"bearer": []}],
"paths": {
  "/api/v1/health": {
    "get": {"operationId": "health", "tags": ["Health"], "summary": "Health check, including the database", "responses": {
      "200": {"description": "The database answers", "content": {"application/json": {"schema": {"type": "object", "properties": {"databaseConnectivity": {"type": "boolean"}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/openapi.json": {
    "get": {"operationId": "openapi", "tags": ["Health"], "summary": "This document", "responses": {
      "200": {"description": "OpenAPI 3.0", "content": {"application/json": {"schema": {"type": "object"}}}}}}
  },
  "/api/v1/user": {
    "get": {"operationId": "listUsers", "tags": ["Users"], "summary": "List users, ascending by id", "description": "Of several filters name wins over email, and email over id.", "parameters": [
      {"name": "id", "in": "query", "schema": {"type": "string", "format": "uint64"}},
      {"name": "name", "in": "query", "schema": {"type": "string"}},
      {"name": "email", "in": "query", "schema": {"type": "string"}}],
      "responses": {
      "200": {"description": "Users", "content": {"application/json": {"schema": {"type": "object", "properties": {"users": {"type": "array", "items": {"$ref": "#/components/schemas/User"}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}},
    "post": {"operationId": "createUser", "tags": ["Users"], "summary": "Create a user", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "name": {"type": "string", "description": "At least 2 bytes; a letter first, then letters, digits, '-', '.', '_' and at most one '@'"},
      "displayName": {"type": "string"}, "email": {"type": "string"}, "pictureUrl": {"type": "string"}, "role": {"$ref": "#/components/schemas/Role"}}, "required": ["name"]}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/User"},
      "409": {"$ref": "#/components/responses/Error"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/user/{oldId}/rename/{newName}": {
    "post": {"operationId": "renameUser", "tags": ["Users"], "summary": "Rename a user", "parameters": [
      {"name": "oldId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}},
      {"name": "newName", "in": "path", "required": true, "schema": {"type": "string"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/User"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/user/{id}/role": {
    "post": {"operationId": "setUserRole", "tags": ["Users"], "summary": "Give a user another role; not in Headscale", "parameters": [
      {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "role": {"$ref": "#/components/schemas/Role"}}, "required": ["role"]}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/User"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/user/{id}": {
    "delete": {"operationId": "deleteUser", "tags": ["Users"], "summary": "Delete a user and its pre-auth keys", "parameters": [
      {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/preauthkey": {
    "get": {"operationId": "listPreAuthKeys", "tags": ["PreAuthKeys"], "summary": "List pre-auth keys, masked, ascending by id", "responses": {
      "200": {"description": "Keys", "content": {"application/json": {"schema": {"type": "object", "properties": {"preAuthKeys": {"type": "array", "items": {"$ref": "#/components/schemas/PreAuthKey"}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}},
    "post": {"operationId": "createPreAuthKey", "tags": ["PreAuthKeys"], "summary": "Create a pre-auth key; the answer shows it this one time", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "user": {"type": "string", "format": "uint64", "description": "Owner; a key needs a user, tags or both"},
      "reusable": {"type": "boolean"}, "ephemeral": {"type": "boolean"},
      "expiration": {"type": "string", "format": "date-time", "nullable": true, "description": "Not set: does not expire"},
      "aclTags": {"type": "array", "items": {"type": "string", "pattern": "^tag:"}}}}}}},
      "responses": {
      "200": {"description": "The key", "content": {"application/json": {"schema": {"type": "object", "properties": {"preAuthKey": {"$ref": "#/components/schemas/PreAuthKey"}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}},
    "delete": {"operationId": "deletePreAuthKey", "tags": ["PreAuthKeys"], "summary": "Delete a pre-auth key", "parameters": [
      {"name": "id", "in": "query", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/preauthkey/expire": {
    "post": {"operationId": "expirePreAuthKey", "tags": ["PreAuthKeys"], "summary": "Expire a pre-auth key now", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"id": {"type": "string", "format": "uint64"}}, "required": ["id"]}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
)json"
                                   R"json(  "/api/v1/apikey": {
    "get": {"operationId": "listApiKeys", "tags": ["ApiKeys"], "summary": "List API keys, masked, ascending by id", "responses": {
      "200": {"description": "Keys", "content": {"application/json": {"schema": {"type": "object", "properties": {"apiKeys": {"type": "array", "items": {"$ref": "#/components/schemas/ApiKey"}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}},
    "post": {"operationId": "createApiKey", "tags": ["ApiKeys"], "summary": "Create an API key; the answer shows it this one time", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "expiration": {"type": "string", "format": "date-time", "nullable": true, "description": "Not set: does not expire"}}}}}},
      "responses": {
      "200": {"description": "The key", "content": {"application/json": {"schema": {"type": "object", "properties": {"apiKey": {"type": "string"}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}},
    "delete": {"operationId": "deleteApiKeyById", "tags": ["ApiKeys"], "summary": "Delete an API key by its id", "parameters": [
      {"name": "id", "in": "query", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/apikey/expire": {
    "post": {"operationId": "expireApiKey", "tags": ["ApiKeys"], "summary": "Expire an API key now, by its prefix or its id", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"prefix": {"type": "string"}, "id": {"type": "string", "format": "uint64"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/apikey/{prefix}": {
    "delete": {"operationId": "deleteApiKey", "tags": ["ApiKeys"], "summary": "Delete an API key by its prefix, as lists show it or bare", "parameters": [
      {"name": "prefix", "in": "path", "required": true, "schema": {"type": "string"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
)json";

constexpr std::string_view kTail = R"json(
},
"components": {
  "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key; the unix socket needs none"}},
  "requestBodies": {
    "Policy": {"content": {"application/json": {"schema": {"type": "object", "properties": {"policy": {"type": "string", "description": "HuJSON or YAML"}}}}}}
  },
  "responses": {
    "Policy": {"description": "The policy in service", "content": {"application/json": {"schema": {"type": "object", "properties": {
      "policy": {"type": "string", "description": "HuJSON or YAML, as it was given"}, "updatedAt": {"type": "string", "format": "date-time", "nullable": true, "description": "null: it is read from a file and cannot be set here"}}}}}},
    "Empty": {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}},
    "User": {"description": "The user", "content": {"application/json": {"schema": {"type": "object", "properties": {"user": {"$ref": "#/components/schemas/User"}}}}}},
    "Node": {"description": "The node", "content": {"application/json": {"schema": {"type": "object", "properties": {"node": {"$ref": "#/components/schemas/Node"}}}}}},
    "Error": {"description": "The reason", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
  },
  "schemas": {
    "User": {"type": "object", "properties": {
      "id": {"type": "string", "format": "uint64"}, "name": {"type": "string"}, "createdAt": {"type": "string", "format": "date-time"},
      "displayName": {"type": "string"}, "email": {"type": "string"}, "providerId": {"type": "string"},
      "provider": {"type": "string"}, "profilePicUrl": {"type": "string"}, "role": {"description": "Absent: member", "allOf": [{"$ref": "#/components/schemas/Role"}]}}},
    "Role": {"type": "string", "enum": ["member", "auditor", "billing-admin", "it-admin", "network-admin", "admin", "owner"]},
    "PreAuthKey": {"type": "object", "properties": {
      "user": {"nullable": true, "allOf": [{"$ref": "#/components/schemas/User"}]},
      "id": {"type": "string", "format": "uint64"}, "key": {"type": "string"}, "reusable": {"type": "boolean"},
      "ephemeral": {"type": "boolean"}, "used": {"type": "boolean"},
      "expiration": {"type": "string", "format": "date-time", "description": "0001-01-01T00:00:00Z: does not expire"},
      "createdAt": {"type": "string", "format": "date-time"},
      "aclTags": {"type": "array", "items": {"type": "string"}}}},
    "ApiKey": {"type": "object", "properties": {
      "id": {"type": "string", "format": "uint64"}, "prefix": {"type": "string"},
      "expiration": {"type": "string", "format": "date-time", "nullable": true},
      "createdAt": {"type": "string", "format": "date-time"},
      "lastSeen": {"type": "string", "format": "date-time", "nullable": true}}},
    "Node": {"type": "object", "properties": {
      "id": {"type": "string", "format": "uint64"}, "machineKey": {"type": "string"}, "nodeKey": {"type": "string"}, "discoKey": {"type": "string"},
      "ipAddresses": {"type": "array", "items": {"type": "string"}},
      "name": {"type": "string", "description": "What the host calls itself"},
      "user": {"nullable": true, "description": "Of tagged nodes: null in single answers, tagged-devices in lists", "allOf": [{"$ref": "#/components/schemas/User"}]},
      "lastSeen": {"type": "string", "format": "date-time", "nullable": true}, "expiry": {"type": "string", "format": "date-time", "nullable": true},
      "preAuthKey": {"nullable": true, "description": "Unset times are null here", "allOf": [{"$ref": "#/components/schemas/PreAuthKey"}]},
      "createdAt": {"type": "string", "format": "date-time"},
      "registerMethod": {"type": "string", "enum": ["REGISTER_METHOD_UNSPECIFIED", "REGISTER_METHOD_AUTH_KEY", "REGISTER_METHOD_CLI", "REGISTER_METHOD_OIDC"]},
      "givenName": {"type": "string", "description": "Its DNS label, unique"}, "online": {"type": "boolean"},
      "ephemeral": {"type": "boolean", "description": "There, and true, when the node is ephemeral and preAuthKey does not say so"},
      "approvedRoutes": {"type": "array", "items": {"type": "string"}, "description": "Allowed by an operator"},
      "availableRoutes": {"type": "array", "items": {"type": "string"}, "description": "Offered by the node"},
      "subnetRoutes": {"type": "array", "items": {"type": "string"}, "description": "Both, and served by this node now"},
      "tags": {"type": "array", "items": {"type": "string"}}}},
    "Error": {"type": "object", "properties": {
      "code": {"type": "integer", "description": "gRPC code"}, "message": {"type": "string"},
      "details": {"type": "array", "items": {}}, "title": {"type": "string"},
      "status": {"type": "integer"}, "detail": {"type": "string"}}}
  }
}
}
)json";

}  // namespace

std::string_view openapi_document() {
  static const std::string document = [] {
    std::string text(kHead);
    text += openapi_node_paths();
    text += ",\n";
    text += openapi_policy_paths();
    text += kTail;
    return text;
  }();
  return document;
}

}  // namespace es::api

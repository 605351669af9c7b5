#include "native/api/openapi.h"

namespace es::api {
namespace {

constexpr std::string_view kPaths = R"json(  "/api/v1/node": {
    "get": {"operationId": "listNodes", "tags": ["Nodes"], "summary": "List nodes, ascending by id", "parameters": [
      {"name": "user", "in": "query", "schema": {"type": "string"}, "description": "Only those of this user (name or id)"}],
      "responses": {
      "200": {"description": "Nodes", "content": {"application/json": {"schema": {"type": "object", "properties": {"nodes": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/{nodeId}": {
    "get": {"operationId": "getNode", "tags": ["Nodes"], "summary": "One node", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}},
    "delete": {"operationId": "deleteNode", "tags": ["Nodes"], "summary": "Delete a node; its connection ends", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/{nodeId}/expire": {
    "post": {"operationId": "expireNode", "tags": ["Nodes"], "summary": "Let the key of a node expire, now or at a time, or never", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}},
      {"name": "expiry", "in": "query", "schema": {"type": "string", "format": "date-time"}},
      {"name": "disableExpiry", "in": "query", "schema": {"type": "boolean"}}], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "expiry": {"type": "string", "format": "date-time", "nullable": true, "description": "Not set: now"},
      "disableExpiry": {"type": "boolean", "description": "Never; not together with expiry"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/{nodeId}/rename/{newName}": {
    "post": {"operationId": "renameNode", "tags": ["Nodes"], "summary": "Give a node another DNS label; the host no longer changes it", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}},
      {"name": "newName", "in": "path", "required": true, "schema": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}}],
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/{nodeId}/tags": {
    "post": {"operationId": "setTags", "tags": ["Nodes"], "summary": "Set all tags of a node, which then belongs to them and to no user", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^tag:"}}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/{nodeId}/approve_routes": {
    "post": {"operationId": "setApprovedRoutes", "tags": ["Nodes"], "summary": "Set all approved routes of a node", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "routes": {"type": "array", "items": {"type": "string"}, "description": "0.0.0.0/0 brings ::/0 and the reverse"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/register": {
    "post": {"operationId": "registerNode", "tags": ["Nodes"], "summary": "The older form of auth/register", "parameters": [
      {"name": "user", "in": "query", "schema": {"type": "string"}},
      {"name": "key", "in": "query", "schema": {"type": "string"}}], "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "user": {"type": "string"}, "key": {"type": "string"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/node/backfillips": {
    "post": {"operationId": "backfillNodeIPs", "tags": ["Nodes"], "summary": "Give and take addresses until every node fits the prefixes", "parameters": [
      {"name": "confirmed", "in": "query", "required": true, "schema": {"type": "boolean"}}],
      "responses": {
      "200": {"description": "What was changed", "content": {"application/json": {"schema": {"type": "object", "properties": {"changes": {"type": "array", "items": {"type": "string"}}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/debug/node": {
    "post": {"operationId": "debugCreateNode", "tags": ["Debug"], "summary": "Let a registration wait that no client asked for", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "user": {"type": "string"}, "key": {"type": "string", "pattern": "^hskey-authreq-[A-Za-z0-9_-]{24}$"}, "name": {"type": "string"}, "routes": {"type": "array", "items": {"type": "string"}}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/debug/node/{nodeId}/map": {
    "get": {"operationId": "debugMap", "tags": ["Debug"], "summary": "The map that the node would be sent first (tailcfg.MapResponse)", "parameters": [
      {"name": "nodeId", "in": "path", "required": true, "schema": {"type": "string", "format": "uint64"}}],
      "responses": {
      "200": {"description": "The map", "content": {"application/json": {"schema": {"type": "object", "properties": {"map": {"type": "object"}}}}}},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/auth/register": {
    "post": {"operationId": "authRegister", "tags": ["Auth"], "summary": "Let in the node whose registration waits under this id", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "user": {"type": "string", "description": "Name or id of the owner"}, "authId": {"type": "string", "pattern": "^hskey-authreq-[A-Za-z0-9_-]{24}$"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Node"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/auth/approve": {
    "post": {"operationId": "authApprove", "tags": ["Auth"], "summary": "Approve what waits under this id: an SSH log-in, or a registration, which needs a user", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "user": {"type": "string", "description": "Name or id of the owner"}, "authId": {"type": "string", "pattern": "^hskey-authreq-[A-Za-z0-9_-]{24}$"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  },
  "/api/v1/auth/reject": {
    "post": {"operationId": "authReject", "tags": ["Auth"], "summary": "Turn away what waits under this id", "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
      "authId": {"type": "string", "pattern": "^hskey-authreq-[A-Za-z0-9_-]{24}$"}}}}}},
      "responses": {
      "200": {"$ref": "#/components/responses/Empty"},
      "default": {"$ref": "#/components/responses/Error"}}}
  })json";

}  // namespace

std::string_view openapi_node_paths() { return kPaths; }

}  // namespace es::api

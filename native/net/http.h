// What a request handler of the origin sees: a request that has passed the gate, and its answer.
//
// A handler runs on an I/O thread: it must not block for long. It answers by calling `Reply`
// exactly once, at once or later, from any thread. If every copy of `Reply` is destroyed without
// a call, the client gets a 500; a second call is ignored; a call after the client or the deadline
// has gone is ignored.
#pragma once

#include "common/base/time.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

struct Field {
  std::string name;
  std::string value;
};

// Where a request came in; decides whether it needs a key.
enum class Trust {
  kNetwork,      // a TCP listener
  kLocalSocket,  // the unix socket: the file's permissions were the check, no key needed
};

// What the origin makes of X-Edge-Signature.
struct EdgeWord {
  std::string signature = "missing";  // "valid", "missing", "malformed", "forged", ...
  std::optional<Millis> age;          // of a valid one, by this clock; may be negative
};

struct Request {
  std::string method;  // upper case, as sent
  std::string target;  // as sent: path and query, percent-encoded
  std::string path;    // percent-decoded; the gate has refused traversal and control characters
  std::string query;   // as sent, without the '?'
  std::vector<Field> fields;   // as sent, in order, duplicates included
  std::string body;            // decoded from chunks; within the configured limit
  std::string client_address;  // without port; the real client, as the gate identified it
  Trust trust = Trust::kNetwork;
  EdgeWord edge;
  std::vector<std::string> path_args;  // the values of {name} in the route, percent-decoded
  WallTime received{};                 // when the head was complete

  // The first field of that name (any case); nullopt if there is none.
  std::optional<std::string_view> field(std::string_view name) const;
  // The first `name=value` of the query, percent-decoded ('+' is a space); nullopt if absent.
  std::optional<std::string> query_value(std::string_view name) const;
};

struct Response {
  unsigned status = 200;
  std::vector<Field> fields;  // Content-Length, Date and Connection are the server's own
  std::string body;
};

using Reply = std::function<void(Response)>;
using Handler = std::function<void(const Request&, Reply)>;

// A JSON answer: `body` is already encoded.
Response json_response(unsigned status, std::string body);
// A plain text answer.
Response text_response(unsigned status, std::string body);
// The error shape of /api/v1, a superset of Headscale's two generations:
// {"code","message","details","title","status","detail"}. `message` is escaped; code follows
// status.
Response error_response(unsigned status, std::string_view message);

// "Not Found" for 404; "Error" for one that RFC 9110 does not name.
std::string_view status_text(unsigned status);

// ASCII case-insensitive equality, as field names compare.
bool same_name(std::string_view a, std::string_view b);

enum class Plus { kIsPlus, kIsSpace };
// Percent-decoding of one path segment or query value; nullopt for a bad escape.
std::optional<std::string> percent_decode(std::string_view text, Plus plus);

}  // namespace es::net

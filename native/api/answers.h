// How operations of /api/v1 answer: JSON with Cache-Control: no-store, errors in
// net::error_response's shape. Internal to the room.
#pragma once

#include "native/api/body.h"
#include "native/control/directory.h"
#include "native/net/http.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace es::api {

net::Response ok(std::string body);
net::Response error(unsigned status, std::string_view text);
net::Response error(const BodyError& e);
net::Response error(const control::Refusal& refusal);

// The answer of a write that has nothing to say but that it is done.
control::Answer<void> reply_empty(const net::Reply& reply);

// `render(body, value)` appends the answer's JSON.
template <class T, class F>
control::Answer<T> reply_with(const net::Reply& reply, F render) {
  return [reply, render](const Result<T, control::Refusal>& result) {
    if (!result.ok()) return reply(error(result.error()));
    std::string body;
    render(body, *result);
    reply(ok(std::move(body)));
  };
}

// The id in a path or query; replies and returns nullopt when it is no number.
std::optional<uint64_t> id_or_reply(std::string_view text, std::string_view complaint,
                                    const net::Reply& reply);

// {"name":[row,row]}; `append(body, row)` appends one row.
template <class Rows, class F>
std::string render_list(std::string_view name, const Rows& rows, F append) {
  std::string body;
  body.reserve(32 + rows.size() * 256);
  body += "{\"";
  body += name;
  body += "\":[";
  bool first = true;
  for (const auto& row : rows) {
    if (!first) body += ',';
    first = false;
    append(body, row);
  }
  body += "]}";
  return body;
}

}  // namespace es::api

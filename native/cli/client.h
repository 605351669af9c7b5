// One HTTP request to a server, over its unix socket or a URL, and its answer. Synchronous.
//
// TLS verifies name and chain against the system's authorities unless told otherwise. Limits: an
// answer of at most `max_body` bytes, a head of 64 KiB; `timeout` covers everything from the
// look-up of the name to the last byte. (A look-up that the system does not end in time delays the
// return.) Threads: none shared; any number of calls may run at once.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace es::cli {

struct Endpoint {
  std::string socket_path;  // used when there is no url
  std::string url;          // http:// or https://, maybe with a path that is put in front
  std::string api_key;      // sent only to the url
  bool insecure = false;
  Millis timeout = std::chrono::seconds(5);
  uint64_t max_body = 32 * 1024 * 1024;
  // Who asks: a person at the command line, who can be told of flags, or the server itself.
  enum class For : uint8_t { kPerson, kServer } reader = For::kPerson;
};

struct Answer {
  unsigned status = 0;
  std::string content_type;
  std::string location;
  std::string retry_after;
  std::string body;
};

// Why there is no answer, and what to do about it: text for a person.
struct CallError {
  std::string text;
};

Result<Answer, CallError> call(const Endpoint& endpoint, std::string_view method,
                               std::string_view target, std::string_view body);

}  // namespace es::cli

// What both HTTP/2 sessions share: header lists, body pieces, error codes, limits.
//
// Source: RFC 9113; nghttp2 does the framing and HPACK.
#pragma once

#include "common/base/bytes.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::h2 {

using StreamId = int32_t;

struct Header {
  std::string name;  // lower case
  std::string value;
};

// The value of the first header of that name.
inline std::optional<std::string_view> find_header(const std::vector<Header>& headers,
                                                   std::string_view name) {
  for (const Header& h : headers) {
    if (h.name == name) return h.value;
  }
  return std::nullopt;
}

struct Request {
  std::string method;
  std::string path;  // with its query, as the client sent it
  std::string authority;
  std::string scheme;
  std::vector<Header> headers;  // without the pseudo headers
};

struct Response {
  int status = 0;
  std::vector<Header> headers;
};

enum class HasBody : uint8_t { kNo, kYes };

// RFC 9113 section 7, as far as we speak them.
enum class ErrorCode : uint32_t {
  kNoError = 0x0,
  kProtocolError = 0x1,
  kInternalError = 0x2,
  kRefusedStream = 0x7,
  kCancel = 0x8,
  kEnhanceYourCalm = 0xb,
};

// A piece of a body whose bytes somebody keeps alive: one rendering may be on its way to many
// connections at once.
struct Chunk {
  std::shared_ptr<const void> owner;
  Bytes bytes;

  static Chunk copy_of(Bytes bytes) {
    auto copy = std::make_shared<const std::vector<uint8_t>>(bytes.begin(), bytes.end());
    const Bytes view(*copy);
    return {std::move(copy), view};
  }
  static Chunk share(std::shared_ptr<const std::string> text) {
    const Bytes view = as_bytes(*text);
    return {std::move(text), view};
  }
};

// What became of a piece that was offered to a stream.
enum class Write : uint8_t {
  kTaken,  // go on
  kFull,   // not taken: on_writable() says when to offer it again
  kGone,   // the stream has ended
};

}  // namespace es::h2

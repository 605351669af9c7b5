// Internal to net: Beast's HTTP/1 parser, filling our Request.
//
// Fields are kept as sent, duplicates and order included; the gate judges them. Trailer fields are
// parsed and thrown away. Chunk extensions are ignored.
#pragma once

#include "native/net/http.h"

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <cstdint>

namespace es::net {

// At least so many bytes of a chunked body are still to come until it is done ("0\r\n\r\n"). Beast
// 1.81 must not be given less: its assertion fails when the last chunk arrives byte by byte.
inline constexpr size_t kLeastChunkedBytes = 5;

class RequestParser final : public boost::beast::http::basic_parser<true> {
 public:
  explicit RequestParser(Request& into) : into_(into) {}

  // After the head: 10 or 11.
  int version() const { return version_; }

 private:
  static constexpr size_t kReserve = 16 * 1024;

  using Error = boost::beast::error_code;
  using Text = boost::beast::string_view;
  using Verb = boost::beast::http::verb;
  using KnownField = boost::beast::http::field;

  void on_request_impl(Verb, Text method, Text target, int version, Error&) override {
    into_.method.assign(method.data(), method.size());
    into_.target.assign(target.data(), target.size());
    version_ = version;
  }
  void on_response_impl(int, Text, int, Error&) override {}
  void on_field_impl(KnownField, Text name, Text value, Error&) override {
    if (in_body_) return;
    into_.fields.push_back(
        {std::string(name.data(), name.size()), std::string(value.data(), value.size())});
  }
  void on_header_impl(Error&) override { in_body_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, Error&) override {
    // What is announced is not there yet: room for a usual body, the rest as it comes.
    if (length) into_.body.reserve(std::min<size_t>(static_cast<size_t>(*length), kReserve));
  }
  std::size_t on_body_impl(Text body, Error&) override {
    into_.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, Text, Error&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, Text body, Error&) override {
    into_.body.append(body.data(), body.size());
    return body.size();
  }
  void on_finish_impl(Error&) override {}

  Request& into_;
  int version_ = 11;
  bool in_body_ = false;
};

}  // namespace es::net

// The origin's way from bytes to a request: scanner, Beast's parser, our limits. Whatever passes
// the scanner and the parser holds no line end and no NUL in a name or value, stays within the
// limits, and reads the same when the bytes arrive one by one.
#include "native/net/head_scanner.h"
#include "native/net/http.h"
#include "native/net/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using es::net::HeadScanner;
using es::net::Request;
using es::net::RequestParser;

constexpr size_t kMaxBody = 512;

void expect(bool ok) {
  if (!ok) std::abort();
}

struct Parsed {
  bool ok = false;
  Request request;
};

Parsed parse(std::string_view head, std::string_view rest, size_t step) {
  Parsed parsed;
  RequestParser parser(parsed.request);
  parser.header_limit(16 * 1024);
  parser.body_limit(kMaxBody);
  boost::beast::error_code ec;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), ec);
  if (ec && ec != boost::beast::http::error::need_more) return parsed;
  if (!parser.is_header_done()) return parsed;
  parser.eager(true);
  size_t used = 0;
  size_t seen = 0;
  while (!parser.is_done()) {
    ec = {};
    if (!parser.chunked() || seen - used >= es::net::kLeastChunkedBytes) {
      used += parser.put(boost::asio::const_buffer(rest.data() + used, seen - used), ec);
    }
    if (ec && ec != boost::beast::http::error::need_more) return parsed;
    if (parser.is_done()) break;
    if (seen == rest.size()) return parsed;
    seen += step < rest.size() - seen ? step : rest.size() - seen;
  }
  parsed.ok = true;
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HeadScanner scanner;
  const HeadScanner::State state = scanner.scan(bytes);

  HeadScanner slow;
  HeadScanner::State slow_state = HeadScanner::State::kNeedMore;
  for (size_t n = 0; n <= size && slow_state == HeadScanner::State::kNeedMore; ++n) {
    slow_state = slow.scan(bytes.substr(0, n));
  }
  expect(slow_state == state);
  if (state != HeadScanner::State::kComplete) return 0;
  expect(slow.head_len() == scanner.head_len());

  const std::string_view head = bytes.substr(0, scanner.head_len());
  const std::string_view rest = bytes.substr(scanner.head_len());
  const Parsed whole = parse(head, rest, rest.size() + 1);
  const Parsed bytewise = parse(head, rest, 1);
  expect(whole.ok == bytewise.ok);
  if (!whole.ok) return 0;
  expect(whole.request.body == bytewise.request.body);
  expect(whole.request.body.size() <= kMaxBody);
  for (const es::net::Field& f : whole.request.fields) {
    constexpr std::string_view kNever("\r\n\0", 3);
    expect(!f.name.empty());
    expect(f.name.find_first_of(kNever) == std::string::npos);
    expect(f.value.find_first_of(kNever) == std::string::npos);
  }
  return 0;
}

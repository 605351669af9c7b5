#include "native/net/head_scanner.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::net {
namespace {

using State = HeadScanner::State;

TEST_CASE("a head ends at its empty line, however the bytes arrive") {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string bytes = head + "body\nwith\r\n\r\nanything";
  for (size_t first = 0; first <= head.size(); ++first) {
    HeadScanner scanner;
    const State state = scanner.scan(std::string_view(bytes).substr(0, first));
    CHECK(state == (first == head.size() ? State::kComplete : State::kNeedMore));
    if (state == State::kNeedMore) CHECK(scanner.scan(bytes) == State::kComplete);
    CHECK(scanner.head_len() == head.size());
    CHECK(scanner.request_line_len() == 16);
  }
}

TEST_CASE("lines that parsers disagree on are malformed") {
  for (const std::string& head : {
           std::string("GET / HTTP/1.1\nHost: a\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a\r\n\n"),
           std::string("GET / HTTP/1.1\r\nHost:\ra\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\n folded\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\n\tfolded\r\n\r\n"),
           std::string("GET /\0 HTTP/1.1\r\n\r\n", 20),
           std::string("\r\nGET / HTTP/1.1\r\n\r\n"),
           std::string("\n"),
           std::string(" GET / HTTP/1.1\r\n\r\n"),
       }) {
    INFO(head);
    HeadScanner scanner;
    CHECK(scanner.scan(head) == State::kMalformed);
  }
}

}  // namespace
}  // namespace es::net

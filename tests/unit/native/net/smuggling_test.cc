// Requests that two parsers may read in two ways: each gets one 4xx or one answer, and what follows
// it on the connection is never taken for a request.
#include "tests/unit/native/net/test_server.h"

#include <catch2/catch.hpp>

namespace es::net {
namespace {

// What would be seen if bytes of a body were taken for a request.
constexpr std::string_view kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Case {
  std::string name;
  std::string request;
};

TestServer::Options with_trap(std::atomic<int>& trapped) {
  TestServer::Options options = TestServer::options();
  options.routes = [&trapped](Router& router) {
    router.add("GET", "/smuggled", [&trapped](const Request&, Reply reply) {
      ++trapped;
      reply(text_response(200, "trap"));
    });
  };
  return options;
}

std::string posted(std::string_view fields, std::string_view rest) {
  return "POST /echo HTTP/1.1\r\nHost: localhost\r\n" + std::string(fields) + "\r\n" +
         std::string(rest);
}

TEST_CASE("ambiguous framing is refused, and the connection ends with it") {
  std::atomic<int> trapped{0};
  TestServer server(with_trap(trapped));
  const std::string smuggled(kSmuggled);
  const std::string len = std::to_string(smuggled.size());
  const std::vector<Case> cases{
      {"CL.TE", posted("Content-Length: " + len + "\r\nTransfer-Encoding: chunked\r\n",
                       "0\r\n\r\n" + smuggled)},
      {"TE.CL",
       posted("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n" + smuggled)},
      {"two different lengths",
       posted("Content-Length: 0\r\nContent-Length: " + len + "\r\n", smuggled)},
      {"two equal lengths",
       posted("Content-Length: " + len + "\r\nContent-Length: " + len + "\r\n", smuggled)},
      {"a list of lengths", posted("Content-Length: 0, " + len + "\r\n", smuggled)},
      {"a list of equal lengths", posted("Content-Length: 0, 0\r\n", smuggled)},
      {"a signed length", posted("Content-Length: +0\r\n", smuggled)},
      {"a negative length", posted("Content-Length: -1\r\n", smuggled)},
      {"a hexadecimal length", posted("Content-Length: 0x0\r\n", smuggled)},
      {"an empty length", posted("Content-Length: \r\n", smuggled)},
      {"a huge length", posted("Content-Length: 18446744073709551616\r\n", smuggled)},
      {"xchunked", posted("Transfer-Encoding: xchunked\r\n", smuggled)},
      {"identity", posted("Transfer-Encoding: identity\r\n", smuggled)},
      {"chunked, then identity",
       posted("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n" + smuggled)},
      {"gzip, chunked", posted("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n" + smuggled)},
      {"two codings fields", posted("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                    "0\r\n\r\n" + smuggled)},
      {"a vertical tab", posted("Transfer-Encoding: \x0b"
                                "chunked\r\n",
                                "0\r\n\r\n" + smuggled)},
      {"a space before the colon",
       posted("Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + smuggled)},
      {"a tab before the colon", posted("Content-Length\t: 0\r\n", smuggled)},
      {"a folded field",
       posted("X-A: b\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + smuggled)},
      {"a folded coding", posted("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + smuggled)},
      {"a bare LF before a field",
       "POST /echo HTTP/1.1\r\nHost: localhost\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
           smuggled},
      {"a bare CR in a value", posted("X-A: b\rTransfer-Encoding: chunked\r\n", smuggled)},
      {"a bare LF ends the head", "GET /hello HTTP/1.1\nHost: localhost\n\n" + smuggled},
      {"a NUL in a value", posted(std::string_view("X-A: b\0c\r\n", 10), smuggled)},
      {"a NUL in a name", posted(std::string_view("X\0A: b\r\n", 8), smuggled)},
      {"a field without a name", posted(": b\r\n", smuggled)},
      {"a field without a colon", posted("Nonsense\r\n", smuggled)},
      {"two hosts", "GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n" + smuggled},
      {"no host", "GET /hello HTTP/1.1\r\n\r\n" + smuggled},
      {"a host with a path", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n" + smuggled},
      {"an absolute target",
       "GET http://other/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"a body on GET",
       "GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + len + "\r\n\r\n" + smuggled},
      {"chunked on GET",
       "GET /hello HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
           smuggled},
      {"two spaces", "GET  /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"no version", "GET /hello\r\nHost: localhost\r\n\r\n" + smuggled},
      {"HTTP/2.0", "GET /hello HTTP/2.0\r\nHost: localhost\r\n\r\n" + smuggled},
      {"lower-case method", "get /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"an unknown method", "BREW /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"CONNECT", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"TRACE", "TRACE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled},
      {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled},
      {"chunked in HTTP/1.0",
       "POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
           smuggled},
      {"two empty lines first", "\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"},
      {"TLS on a plain port", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 12)},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    RawClient client(server.port());
    REQUIRE(client.send(c.request));
    client.shutdown_send();
    const std::string all = client.read_to_end();
    CAPTURE(all.substr(0, 200));
    REQUIRE(all.size() > 12);
    const int status = std::atoi(all.c_str() + 9);
    CHECK(((status >= 400 && status < 500) || status == 505));
    CHECK(all.find("\r\nHTTP/1.1 ", 5) == std::string::npos);
    CHECK(all.find("}HTTP/1.1 ") == std::string::npos);
    CHECK(trapped == 0);
  }
}

TEST_CASE("bad chunks are refused, and what follows is not a request") {
  std::atomic<int> trapped{0};
  TestServer server(with_trap(trapped));
  const std::string smuggled(kSmuggled);
  for (const std::string& chunks : {
           std::string("5\r\nhello0\r\n\r\n"),
           std::string("g\r\n\r\n"),
           std::string("-1\r\n\r\n"),
           std::string("0x5\r\nhello\r\n0\r\n\r\n"),
           std::string("ffffffffffffffffff\r\nx\r\n"),
           std::string("5\nhello\n0\n\n"),
           std::string("5 \r\nhello\r\nz\r\n\r\n"),
           std::string("\r\n5\r\nhello\r\n0\r\n\r\n"),
       }) {
    INFO(chunks);
    RawClient client(server.port());
    client.send(posted("Transfer-Encoding: chunked\r\n", chunks + smuggled));
    client.shutdown_send();
    const std::string all = client.read_to_end();
    CAPTURE(all.substr(0, 200));
    CHECK(trapped == 0);
    const int status = all.size() > 12 ? std::atoi(all.c_str() + 9) : 0;
    CHECK((status == 400 || status == 413));
  }
}

TEST_CASE("paths that lead elsewhere never reach a handler") {
  TestServer server(TestServer::options());
  for (const char* path : {"/%00", "/..%2f..%2fetc", "/../hello", "/./hello", "/hello/..",
                           "/hello%00", "/%2e%2e/hello", "/%252e%252e/x", "/hello?a=%00",
                           "/hello\\..", "//hello", "/hello%0d%0aX:y", "/%zz"}) {
    INFO(path);
    RawClient client(server.port());
    const int status = client.get(path).status;
    CHECK(status == 400);
  }
}

TEST_CASE("an encoded spelling of a path with a key has no handler") {
  TestServer server(TestServer::options());
  RawClient client(server.port());
  CHECK(client.get("/%61pi/v1/thing").status == 404);
  CHECK(client.get("/api%2fv1/thing").status == 404);
  CHECK(client.get("/API/v1/thing").status == 404);
  CHECK(client.get("/api/v1/thing").status == 401);
}

TEST_CASE("one empty line before a request is tolerated") {
  TestServer server(TestServer::options());
  RawClient client(server.port());
  CHECK(client.get("/hello").status == 200);
  client.send("\r\n");
  CHECK(client.get("/hello").status == 200);
}

}  // namespace
}  // namespace es::net

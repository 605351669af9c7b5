#include "common/http/fields.h"

#include "common/http/hardening.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace es::http {
namespace {

using Fields = std::vector<Field>;

FieldFacts check(const Fields& fields, Method method = Method::kGet) {
  return check_fields(fields, method, Limits{});
}

}  // namespace

TEST_CASE("what a browser or a client sends passes") {
  const FieldFacts facts = check({{"Host", "api.example.com"},
                                  {"User-Agent", "Go-http-client/1.1"},
                                  {"Accept", "*/*"},
                                  {"X-Odd", "tab\there, \xc3\xa9 and \"quotes\""},
                                  {"X-Empty", ""}});
  CHECK(facts.refusal == Refusal::kNone);
  CHECK(facts.upgrade == Upgrade::kNone);
  CHECK_FALSE(facts.has_body);
}

TEST_CASE("every control character but a tab is refused in a value") {
  for (int c = 0; c <= 0x7f; ++c) {
    const std::string value = std::string("a") + static_cast<char>(c) + "b";
    const bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    CAPTURE(c);
    CHECK(check({{"x-a", value}}).refusal ==
          (control ? Refusal::kControlCharacter : Refusal::kNone));
  }
}

TEST_CASE("a name is a token") {
  for (const std::string_view name :
       {"", "a b", "a:", "a\t", "\xc3\xa9", "a(b)", "a\"", "a/b", "a,b"}) {
    CAPTURE(name);
    CHECK(check({{name, "v"}}).refusal == Refusal::kBadField);
  }
  CHECK(check({{"x_forwarded_for", "1.2.3.4"}}).forward.bits == FieldSet{}.bits);
}

TEST_CASE("framing that two parties could read in two ways is refused") {
  const std::vector<Fields> bad{
      {{"content-length", "5"}, {"content-length", "5"}},
      {{"content-length", "5"}, {"Content-Length", "6"}},
      {{"content-length", "5, 5"}},
      {{"content-length", "+5"}},
      {{"content-length", "-1"}},
      {{"content-length", "0x5"}},
      {{"content-length", "5 "}},
      {{"content-length", ""}},
      {{"content-length", "9999999999999999"}},
      {{"transfer-encoding", "chunked"}, {"content-length", "5"}},
      {{"transfer-encoding", "chunked, chunked"}},
      {{"transfer-encoding", "chunked"}, {"transfer-encoding", "chunked"}},
      {{"transfer-encoding", "gzip, chunked"}},
      {{"transfer-encoding", "xchunked"}},
      {{"transfer-encoding", "identity"}},
      {{"transfer-encoding", ""}},
  };
  for (const Fields& fields : bad) {
    CAPTURE(fields[0].name, fields[0].value);
    CHECK(check(fields, Method::kPost).refusal == Refusal::kBadFraming);
  }
  CHECK(check({{"content-length", "5"}}, Method::kPost).has_body);
  CHECK(check({{"Transfer-Encoding", "Chunked"}}, Method::kPost).has_body);
  CHECK(check({{"content-length", "0"}}).refusal == Refusal::kNone);
  CHECK(check({{"content-length", "1"}}).refusal == Refusal::kBadFraming);
  CHECK(check({{"transfer-encoding", "chunked"}}, Method::kHead).refusal == Refusal::kBadFraming);
}

TEST_CASE("one host, in one field") {
  CHECK(check({{"host", "a"}, {"Host", "b"}}).refusal == Refusal::kBadHost);
  CHECK(check({{"host", "a, b"}}).refusal == Refusal::kBadHost);
}

TEST_CASE("sizes are refused one beyond the limit") {
  const Limits limits{.max_fields = 3, .max_fields_bytes = 100, .max_body_bytes = 10};
  const std::string big(98, 'v');
  const auto refusal = [&](const Fields& f) {
    return check_fields(f, Method::kPost, limits).refusal;
  };
  CHECK(refusal({{"a", "1"}, {"b", "2"}, {"c", "3"}}) == Refusal::kNone);
  CHECK(refusal({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}) == Refusal::kFieldsTooLarge);
  CHECK(refusal({{"ab", big}}) == Refusal::kNone);
  CHECK(refusal({{"abc", big}}) == Refusal::kFieldsTooLarge);
  CHECK(refusal({{"content-length", "10"}}) == Refusal::kNone);
  CHECK(refusal({{"content-length", "11"}}) == Refusal::kBodyTooLarge);
}

TEST_CASE("a websocket upgrade needs version and key") {
  const std::string_view key = "dGhlIHNhbXBsZSBub25jZQ==";
  CHECK(
      check({{"Upgrade", "WebSocket"}, {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", key}})
          .upgrade == Upgrade::kWebSocket);
  for (const Fields& fields : std::vector<Fields>{
           {{"upgrade", "websocket"}},
           {{"upgrade", "websocket"}, {"sec-websocket-version", "8"}, {"sec-websocket-key", key}},
           {{"upgrade", "websocket"}, {"sec-websocket-version", "13"}, {"sec-websocket-key", "x"}},
           {{"upgrade", "websocket, h2c"},
            {"sec-websocket-version", "13"},
            {"sec-websocket-key", key}},
           {{"upgrade", "websocket"},
            {"upgrade", "h2c"},
            {"sec-websocket-version", "13"},
            {"sec-websocket-key", key}},
           {{"upgrade", "tailscale-control-protocol"}}}) {
    CHECK(check(fields).upgrade == Upgrade::kOther);
  }
}

TEST_CASE("the forward mask names exactly the allowed fields that are there") {
  for (const std::string_view name : kRequestAllowList) {
    CHECK(check({{"x-other", "v"}, {name, "v"}}).forward.bits == FieldSet{{2}}.bits);
  }
  for (const std::string_view spoof : {"forwarded",
                                       "x-forwarded-for",
                                       "x-forwarded-host",
                                       "x-real-ip",
                                       "true-client-ip",
                                       "cf-connecting-ip",
                                       "cf-access-jwt-assertion",
                                       "x-edge-signature",
                                       "proxy",
                                       "proxy-authorization",
                                       "te",
                                       "trailer",
                                       "keep-alive",
                                       "connection",
                                       "upgrade",
                                       "http2-settings",
                                       "x-http-method-override",
                                       "x-original-url",
                                       "accept_",
                                       "user_agent"}) {
    CAPTURE(spoof);
    CHECK(check({{spoof, "v"}}).forward.bits == FieldSet{}.bits);
  }
}

TEST_CASE("methods are exact tokens") {
  for (const Method m : {Method::kGet, Method::kHead, Method::kPost, Method::kPut, Method::kPatch,
                         Method::kDelete, Method::kOptions}) {
    CHECK(parse_method(method_name(m)) == m);
  }
  for (const std::string_view bad : {"", "get", "GETT", "GE", "TRACE", "CONNECT", "GET ", "PRI"}) {
    CHECK_FALSE(parse_method(bad).has_value());
  }
}

}  // namespace es::http

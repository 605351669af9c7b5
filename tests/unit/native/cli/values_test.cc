#include "native/cli/values.h"

#include <catch2/catch.hpp>

namespace es::cli {

TEST_CASE("durations read as people and Go write them") {
  using namespace std::chrono_literals;
  const std::pair<const char*, Millis> good[] = {
      {"0", 0ms},         {"0s", 0ms},       {"30s", 30s},         {"1h30m", 90min},
      {"1h0m0s", 1h},     {"500ms", 500ms},  {"1.5h", 90min},      {"90d", 24h * 90},
      {"2w", 24h * 14},   {"1y", 24h * 365}, {"1m1s1ms", 61001ms}, {"1000us", 1ms},
      {"3000000ns", 3ms}, {"0.001s", 1ms},   {"1d12h", 36h},       {".5s", 500ms},
  };
  for (const auto& [text, value] : good) {
    INFO(text);
    CHECK(parse_duration(text) == value);
    CHECK(parse_duration(format_duration(value)) == value);
  }
  for (const char* text :
       {"",      "1",   "s",      "-1s",  "1 s", " 1s",   "1s ",   "1x",
        "1hh",   "1.s", "1.2.3s", "1e3s", "1us", "0.5ms", "1001y", "99999999999999999999y",
        "1h-1m", "+1s", "inf",    "1S",   "."}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(24h * 90) == "90d");
  CHECK(format_duration(0ms) == "0");
}

TEST_CASE("listen addresses are a host and a port in digits") {
  CHECK(parse_listen_address("127.0.0.1:8080") == ListenAddress{"127.0.0.1", 8080});
  CHECK(parse_listen_address(":8080") == ListenAddress{"", 8080});
  CHECK(parse_listen_address("[::1]:0") == ListenAddress{"::1", 0});
  CHECK(parse_listen_address("localhost:65535") == ListenAddress{"localhost", 65535});
  for (const char* text : {"", "8080", "127.0.0.1", "::1:8080", "[::1]", "[1.2.3.4]:1", "a:65536",
                           "a:-1", "a: 1", "a b:1", "a:", "a:http", "[]:1", "-a:1"}) {
    INFO(text);
    CHECK_FALSE(parse_listen_address(text));
  }
}

TEST_CASE("file modes are octal") {
  CHECK(parse_file_mode("0770") == FileMode{0770});
  CHECK(parse_file_mode("0o600") == FileMode{0600});
  CHECK(format_file_mode(FileMode{0070}) == "0070");
  for (const char* text : {"", "0", "770", "0778", "01777", "0o", "-0770", "0x1ff", "rwx"}) {
    INFO(text);
    CHECK_FALSE(parse_file_mode(text));
  }
}

TEST_CASE("prefixes know their family, their length and stray host bits") {
  const auto v4 = parse_cidr("100.64.0.0/10");
  REQUIRE(v4);
  CHECK(v4->family == IpFamily::kV4);
  CHECK(v4->bits == 10);
  CHECK_FALSE(v4->host_bits_set);
  CHECK(parse_cidr("100.64.0.1/10")->host_bits_set);
  CHECK_FALSE(parse_cidr("10.0.0.1/32")->host_bits_set);
  CHECK(parse_cidr("fd7a:115c:a1e0::/48")->family == IpFamily::kV6);
  CHECK(parse_cidr("fd00::1/127")->host_bits_set);
  for (const char* text : {"", "/", "1.2.3.4", "1.2.3.4/33", "::/129", "1.2.3/8", "1.2.3.4/",
                           "::/-1", "01.2.3.4/8", "1.2.3.4/0008"}) {
    INFO(text);
    CHECK_FALSE(parse_cidr(text));
  }
}

TEST_CASE("URLs are split into host, port and path") {
  const auto plain = parse_http_url("http://127.0.0.1:8080");
  REQUIRE(plain);
  CHECK_FALSE(plain->tls);
  CHECK(plain->port == 8080);
  const auto tls = parse_http_url("https://vpn.example.com/base");
  REQUIRE(tls);
  CHECK(tls->tls);
  CHECK(tls->host == "vpn.example.com");
  CHECK(tls->port == 443);
  CHECK(tls->path == "/base");
  CHECK(parse_http_url("http://[::1]")->host == "::1");
  CHECK(parse_http_url("http://[::1]:81")->port == 81);
  for (const char* text : {"", "vpn.example.com", "ftp://a", "http://", "http://:80", "http://a:0",
                           "http://u@a", "http://a?b", "http://a#b", "http://a b", "http:///a",
                           "http://a\\b", "HTTP://a", "http://\x80"}) {
    INFO(text);
    CHECK_FALSE(parse_http_url(text));
  }
}

TEST_CASE("DNS names keep the limits of DNS") {
  const std::string label(63, 'a');
  for (const std::string& text : {std::string("a"), std::string("example.com"),
                                  std::string("a-b.c."), label, std::string("_srv.a")}) {
    CHECK(is_dns_name(text));
  }
  for (const std::string& text :
       {std::string(), std::string("."), std::string("a..b"), label + "a", std::string("-a"),
        std::string("a-.b"), std::string("a b"), label + "." + label + "." + label + "." + label}) {
    INFO(text);
    CHECK_FALSE(is_dns_name(text));
  }
}

TEST_CASE("a near miss is suggested, a far one is not") {
  const std::string_view candidates[] = {"listen_addr", "server_url", "log"};
  CHECK(near_miss("listen_adress", candidates) == "listen_addr");
  CHECK(near_miss("sever_url", candidates) == "server_url");
  CHECK(near_miss("lgo", candidates).empty());
  CHECK(near_miss("lo", candidates) == "log");
  CHECK(near_miss("unrelated", candidates).empty());
}

}  // namespace es::cli

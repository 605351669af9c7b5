#include "common/http/target.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace es::http {
namespace {

constexpr size_t kMax = 8192;

std::string percent_encode(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

}  // namespace

TEST_CASE("ordinary targets pass") {
  for (const std::string_view target :
       {"/", "/health", "/key?v=142", "/api/v1/user/1/rename/new-name", "/a.b/..c/.d/e..",
        "/api/v1/user?name=a%20b", "/100%25", "/a%2fb", "/%E2%82%AC", "/x?redirect=../up",
        "/ts2021?X-Tailscale-Handshake=AGABAGA%2B%2F%3D", "/a//b", "/...", "/a;v=1/b", "/it's",
        "/a?b=[1]&c={2}|3^4`5", "/%25zz"}) {
    CAPTURE(target);
    CHECK(check_target(target, kMax) == Refusal::kNone);
  }
}

TEST_CASE("only origin-form passes") {
  for (const std::string_view target :
       {"", "*", "health", "http://evil.example/", "//evil.example/", "?v=1", " /", "/a b", "/a#b",
        "/a\\b", "/a\"b", "/<script>", "/\xc3\xa9", "/a\x80", "/a{b", "/a}b", "/a^b", "/a`b",
        "/a?b='c'"}) {
    CAPTURE(target);
    CHECK(check_target(target, kMax) == Refusal::kBadTarget);
  }
}

TEST_CASE("every control character is refused raw, encoded and doubly encoded") {
  std::vector<int> controls{0x7f};
  for (int c = 0; c < 0x20; ++c) controls.push_back(c);
  for (const int c : controls) {
    CAPTURE(c);
    const std::string raw(1, static_cast<char>(c));
    const std::string once = percent_encode(raw);
    const std::string twice = "%25" + once.substr(1);
    const std::string twice_in_full = percent_encode(once);
    for (const std::string& text : {raw, once, twice, twice_in_full}) {
      for (const std::string& target : {"/" + text, "/a" + text + "b", "/a?q=" + text}) {
        CHECK(check_target(target, kMax) == Refusal::kControlCharacter);
      }
    }
  }
}

TEST_CASE("dot segments are refused in every spelling, in the path only") {
  for (const std::string_view dots : {".", ".."}) {
    for (const std::string_view after : {"", ";x", ";x=1"}) {
      const std::string raw = std::string(dots) + std::string(after);
      const std::string once = percent_encode(raw);
      for (const std::string& segment : {raw, once, percent_encode(once)}) {
        for (const std::string& target :
             {"/" + segment, "/" + segment + "/b", "/a/" + segment, "/a/" + segment + "/b",
              "/a%2f" + segment + "%2fb", "/a%252F" + segment + "%252F", "/a%5c" + segment}) {
          CAPTURE(target);
          CHECK(check_target(target, kMax) == Refusal::kTraversal);
        }
        CHECK(check_target("/a?b=/" + raw + "/", kMax) == Refusal::kNone);
      }
    }
  }
  CHECK(check_target("/..%2f..%2fetc", kMax) == Refusal::kTraversal);
  CHECK(check_target("/.%2e/", kMax) == Refusal::kTraversal);
  CHECK(check_target("/%2e./", kMax) == Refusal::kTraversal);
}

TEST_CASE("a broken escape is refused in path and query") {
  for (const std::string_view target :
       {"/%", "/%1", "/%g0", "/%0g", "/%%20", "/a?b=%", "/a?b=%zz", "/%u0000", "/a%2"}) {
    CAPTURE(target);
    CHECK(check_target(target, kMax) == Refusal::kBadTarget);
  }
}

TEST_CASE("a target may be as long as the limit and no longer") {
  const std::string longest = "/" + std::string(kMax - 1, 'a');
  CHECK(check_target(longest, kMax) == Refusal::kNone);
  CHECK(check_target(longest + "a", kMax) == Refusal::kTargetTooLong);
  CHECK(check_target("/" + std::string(20480, 'a'), kMax) == Refusal::kTargetTooLong);
}

TEST_CASE("hosts are names or literals with an optional port") {
  for (const std::string_view host :
       {"example.com", "api.example.com:443", "127.0.0.1:8787", "localhost", "[::1]", "[::1]:8080",
        "[fd7a:115c:a1e0::1]:1", "a_b.example", "x:0", "x:65535"}) {
    CAPTURE(host);
    CHECK(is_valid_host(host));
  }
  for (const std::string_view host :
       {"", "a,b", "a b", "a/b", "a@b", "a:b", "a:", "a:65536", "a:123456", "a:1:2", "[::1", "[]",
        "[::1]8080", "[::1]:", "[g::]", "\xc3\xa9", "a\tb", ":80"}) {
    CAPTURE(host);
    CHECK_FALSE(is_valid_host(host));
  }
  CHECK_FALSE(is_valid_host(std::string(256, 'a')));
}

}  // namespace es::http

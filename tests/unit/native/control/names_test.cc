#include "native/control/names.h"

#include "native/control/letters.h"

#include <catch2/catch.hpp>

#include <string>

namespace es::control {
namespace {

TEST_CASE("user names that Headscale takes are taken") {
  for (const std::string name :
       {"ab", "ann", "a1", "ann.smith", "ann_smith", "ann-smith", "ann@example.com", "A9._-@",
        "\xC3\x89mile", "\xE5\xBC\xA0\xE4\xBC\x9F", "\xD0\x98\xD0\xB2\xD0\xB0\xD0\xBD",
        "a\xD9\xA1"}) {
    INFO(name);
    CHECK(check_user_name(name).ok());
  }
  CHECK(check_user_name("a" + std::string(254, 'b')).ok());
}

TEST_CASE("every other user name is refused with the rule that it breaks") {
  const auto why = [](std::string_view name) {
    const Status status = check_user_name(name);
    return status.ok() ? std::string("taken") : std::string(status.error().what);
  };
  using Catch::Contains;
  CHECK_THAT(why(""), Contains("at least 2"));
  CHECK_THAT(why("a"), Contains("at least 2"));
  CHECK_THAT(why("a" + std::string(255, 'b')), Contains("at most 255"));
  for (const std::string name : {"1a", "-a", "_a", ".a", "@a", " a",
                                 "\xD9\xA1"
                                 "a"}) {
    CHECK_THAT(why(name), Contains("start with a letter"));
  }
  CHECK_THAT(why("a@b@c"), Contains("more than one '@'"));
  for (const std::string name :
       {"a b", "a/b", "a\\b", "a+b", "a%b", "a:b", "a\"b", "a'b", "a<b", "a\nb", "ab ",
        "a\xE2\x80\xAE"
        "b",
        "a\xE2\x82\xAC", "a\xF0\x9F\x98\x80"}) {
    INFO(name);
    CHECK_THAT(why(name), Contains("invalid character"));
  }
  CHECK_THAT(why(std::string("a\0b", 3)), Contains("invalid character"));
  for (const std::string name :
       {"a\xff", "a\xC3", "a\xC0\xAF", "a\xED\xA0\x80", "a\xF5\x80\x80\x80", "a\x80",
        "a\xE2\x28\xA1", "a\xF4\x90\x80\x80"}) {
    CHECK_THAT(why(name), Contains("UTF-8"));
  }
}

TEST_CASE("tags are tag:name in lower case without spaces") {
  for (const std::string_view tag : {"tag:a", "tag:prod-db", "tag:1", "tag:a_b", "tag:\xC3\xA9"}) {
    CHECK(check_tag(tag).ok());
  }
  CHECK(check_tag("tag:" + std::string(251, 'a')).ok());
  for (const std::string tag : {"", "tag", "tag:", "badtag", "Tag:a", "tag:A", "tag:a b", " tag:a",
                                "tag:a\t", "tag:\xff", "group:a"}) {
    INFO(tag);
    CHECK(!check_tag(tag).ok());
  }
  CHECK(!check_tag("tag:" + std::string(252, 'a')).ok());
}

TEST_CASE("other texts of a user are bounded and free of control characters") {
  CHECK(check_display_name("").ok());
  CHECK(check_display_name("Ann \"A\" \xC3\x89 <x>").ok());
  CHECK(!check_display_name("a\x1b[31m").ok());
  CHECK(!check_display_name("a\xC2\x9b").ok());
  CHECK(!check_display_name("\xff").ok());
  CHECK(check_display_name(std::string(255, 'a')).ok());
  CHECK(!check_display_name(std::string(256, 'a')).ok());
  CHECK(check_email(std::string(254, 'a')).ok());
  CHECK(!check_email(std::string(255, 'a')).ok());
  CHECK(!check_email("a\n").ok());
  CHECK(check_picture_url(std::string(2048, 'a')).ok());
  CHECK(!check_picture_url(std::string(2049, 'a')).ok());
  CHECK(!check_picture_url("a\r").ok());
}

TEST_CASE("letters and digits follow Unicode's categories at the edges of their ranges") {
  for (const uint32_t c : {0x41U, 0x7aU, 0xaaU, 0xb5U, 0xc0U, 0xd6U, 0xd8U, 0x2c1U, 0x370U, 0x4e00U,
                           0x9fffU, 0xac00U, 0xd7a3U, 0x10000U, 0x20000U, 0x3134aU}) {
    CHECK(is_letter(c));
  }
  for (const uint32_t c : {0U, 0x30U, 0x40U, 0x5bU, 0x7fU, 0xa9U, 0xd7U, 0xf7U, 0x2c2U, 0x378U,
                           0xd800U, 0xe000U, 0x1f600U, 0x3134bU, 0x10ffffU, 0xffffffffU}) {
    CHECK(!is_letter(c));
  }
  for (const uint32_t c : {0x30U, 0x39U, 0x660U, 0x669U, 0xff10U, 0xff19U, 0x1d7ceU, 0x1d7ffU}) {
    CHECK(is_digit(c));
  }
  for (const uint32_t c : {0x2fU, 0x3aU, 0xb2U, 0x66aU, 0x2160U, 0xff1aU, 0x1d800U}) {
    CHECK(!is_digit(c));
  }
}

}  // namespace
}  // namespace es::control

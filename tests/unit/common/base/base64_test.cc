#include "common/base/base64.h"

#include <catch2/catch.hpp>

#include <array>
#include <vector>

namespace es {
namespace {

using enum Base64Alphabet;

std::optional<std::string> decode(std::string_view text, Base64Alphabet alphabet) {
  std::array<uint8_t, 64> buf{};
  const auto len = base64_decode(text, alphabet, buf);
  if (!len) return std::nullopt;
  return std::string(as_text(Bytes(buf).first(*len)));
}

}  // namespace

TEST_CASE("base64 passes the RFC 4648 section 10 vectors both ways") {
  struct Vector {
    std::string_view plain, padded, url;
  };
  for (const auto& v : std::vector<Vector>{{"", "", ""},
                                           {"f", "Zg==", "Zg"},
                                           {"fo", "Zm8=", "Zm8"},
                                           {"foo", "Zm9v", "Zm9v"},
                                           {"foob", "Zm9vYg==", "Zm9vYg"},
                                           {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                                           {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                           {"\xfb\xff\xfe", "+//+", "-__-"}}) {
    CHECK(base64_encode(as_bytes(v.plain), kStandardPadded) == v.padded);
    CHECK(base64_encode(as_bytes(v.plain), kUrlUnpadded) == v.url);
    CHECK(decode(v.padded, kStandardPadded) == v.plain);
    CHECK(decode(v.url, kUrlUnpadded) == v.plain);
  }
}

TEST_CASE("base64 refuses what is not canonical") {
  for (const std::string_view text : {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=",
                                      "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm-_", "Zm=v"}) {
    CAPTURE(text);
    CHECK_FALSE(decode(text, kStandardPadded).has_value());
  }
  for (const std::string_view text : {"Z", "Zg==", "Zh", "Zm9=", "Zm+/", "Zm9vY"}) {
    CAPTURE(text);
    CHECK_FALSE(decode(text, kUrlUnpadded).has_value());
  }
}

TEST_CASE("base64 refuses to write past its output") {
  std::array<uint8_t, 2> small{};
  CHECK_FALSE(base64_decode("Zm9v", kStandardPadded, small).has_value());
  CHECK(base64_decode("Zm8=", kStandardPadded, small) == 2);
}

}  // namespace es

#include "common/base/ascii.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>

namespace es::ascii {
namespace {

bool slow_is_alnum_or_dash(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool slow_has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool slow_has_upper_case(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) & 0x60) == 0x40; });
}

}  // namespace

TEST_CASE("every byte at every place of every short text is seen for what it is") {
  for (size_t len = 1; len <= 26; ++len) {
    for (size_t at = 0; at < len; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(len, 'a');
        text[at] = static_cast<char>(byte);
        CAPTURE(len, at, byte);
        if (is_alnum_or_dash(text) != slow_is_alnum_or_dash(text)) FAIL("is_alnum_or_dash");
        if (has_control(text) != slow_has_control(text)) FAIL("has_control");
        if (has_upper_case(text) != slow_has_upper_case(text)) FAIL("has_upper_case");
      }
    }
  }
}

TEST_CASE("random texts are seen as by a loop over their bytes") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 100'000; ++i) {
    std::string text(random() % 40, 'x');
    for (char& c : text) c = static_cast<char>(random() % 8 == 0 ? random() : 'A' + random() % 60);
    if (is_alnum_or_dash(text) != slow_is_alnum_or_dash(text)) FAIL(text);
    if (has_upper_case(text) != slow_has_upper_case(text)) FAIL(text);
    if (has_control(text) != slow_has_control(text)) FAIL(text);
  }
}

TEST_CASE("texts are compared but for the bit that tells upper from lower case") {
  for (size_t len = 1; len <= 32; ++len) {
    const std::string name(len, 'm');
    CHECK(equal_but_case_bits(name, std::string(len, 'M')));
    for (size_t at = 0; at < len; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string other = name;
        other[at] = static_cast<char>(byte);
        CAPTURE(len, at, byte);
        if (equal_but_case_bits(name, other) != ((byte | 0x20) == 'm')) FAIL("equal_but_case_bits");
      }
    }
  }
}

TEST_CASE("an empty text has nothing in it") {
  CHECK(is_alnum_or_dash(""));
  CHECK(!has_control(""));
  CHECK(!has_upper_case(""));
}

}  // namespace es::ascii

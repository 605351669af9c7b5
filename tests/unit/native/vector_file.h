// Test vectors as readable text, and the shared protocol facts beside the repository.
//
// A vector file holds blocks, each a `[name]` line and `key = value` lines; `#` begins a comment
// line. A key that the test did not read is a failure: call `unread()` last.
#pragma once

#include "common/base/bytes.h"
#include "common/base/hex.h"

#include <catch2/catch.hpp>

#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace es::test {

inline std::vector<uint8_t> from_hex(std::string_view text) {
  std::vector<uint8_t> out(text.size() / 2);
  INFO("hex: " << text);
  REQUIRE(hex_decode(text, out));
  return out;
}

template <size_t N>
std::array<uint8_t, N> array_from_hex(std::string_view text) {
  std::array<uint8_t, N> out;
  INFO("hex: " << text);
  REQUIRE(hex_decode(text, out));
  return out;
}

struct VectorBlock {
  std::string name;
  std::map<std::string, std::string> values;
  std::set<std::string> read;

  std::string text(const std::string& key) {
    INFO("block " << name << ", key " << key);
    REQUIRE(values.contains(key));
    read.insert(key);
    return values.at(key);
  }
  std::vector<uint8_t> hex(const std::string& key) { return from_hex(text(key)); }
  template <size_t N>
  std::array<uint8_t, N> array(const std::string& key) {
    return array_from_hex<N>(text(key));
  }
  std::string unread() const {
    std::string out;
    for (const auto& [key, value] : values) {
      if (!read.contains(key)) out += key + " ";
    }
    return out;
  }
};

// `path` is relative to the repository, where ctest starts every test.
inline std::vector<VectorBlock> read_vector_file(const std::string& path) {
  std::ifstream file(path);
  INFO("run from the repository: " << path);
  REQUIRE(file);
  std::vector<VectorBlock> blocks;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '[') {
      blocks.push_back({line.substr(1, line.size() - 2), {}, {}});
      continue;
    }
    const size_t at = line.find(" = ");
    INFO("line: " << line);
    REQUIRE((at != std::string::npos && !blocks.empty()));
    blocks.back().values[line.substr(0, at)] = line.substr(at + 3);
  }
  REQUIRE_FALSE(blocks.empty());
  return blocks;
}

// The text of ../shared/facts/protocol/NAME, or nullopt with a warning that says what was skipped.
inline std::optional<std::string> shared_vectors(const std::string& name) {
  std::ifstream file("../shared/facts/protocol/" + name);
  if (!file) {
    WARN("SKIPPED: ../shared/facts/protocol/" << name << " is not there");
    return std::nullopt;
  }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace es::test

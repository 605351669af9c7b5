// A YAML 1.2 document as a tree that remembers where each node stood. Decodes untrusted bytes:
// size, depth, number of nodes and expansion by aliases are limited, duplicate keys are refused.
// Pure; no threads.
#pragma once

#include "common/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace es::cli {

struct YamlEntry;

struct YamlNode {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;  // from 1
  int column = 0;
  bool quoted = false;             // kScalar: never a null, a number or a boolean
  std::string text;                // kScalar
  std::vector<YamlNode> items;     // kList
  std::vector<YamlEntry> entries;  // kMap, in the order of the text
};

struct YamlEntry {
  std::string key;
  int line = 0;
  int column = 0;
  YamlNode value;
};

struct YamlError {
  int line = 0;
  int column = 0;
  std::string reason;
};

inline constexpr size_t kMaxYamlBytes = 256 * 1024;
inline constexpr size_t kMaxYamlDepth = 16;
inline constexpr size_t kMaxYamlNodes = 20000;  // copies made by aliases included

// An empty text is a kNull node.
Result<YamlNode, YamlError> parse_yaml(std::string_view text);

}  // namespace es::cli

// The policy as YAML. Plain scalars follow YAML 1.2's core schema; anchors and aliases work, and
// what they expand to counts against ParseLimits::max_values.
#include "native/policy/value.h"

#include <yaml-cpp/yaml.h>

#include <unordered_set>

namespace es::policy {
namespace {

Position position(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
}

bool looks_like_number(std::string_view s) {
  size_t i = s[0] == '-' ? 1 : 0;
  if (i == s.size() || (s[i] == '0' && s.size() > i + 1 && s[i + 1] != '.')) return false;
  const size_t first = i;
  while (i < s.size() && s[i] >= '0' && s[i] <= '9') ++i;
  if (i == first) return false;
  if (i == s.size()) return true;
  if (s[i] != '.' || i + 1 == s.size()) return false;
  for (++i; i < s.size(); ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
  }
  return true;
}

class Converter {
 public:
  Converter(const ParseLimits& limits, Problems& problems) : limits_(limits), problems_(problems) {}

  bool convert(const YAML::Node& node, Value& out, size_t depth) {
    out.at = position(node.Mark());
    if (depth >= limits_.max_depth) {
      return fail(out.at, "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    if (++values_ > limits_.max_values) {
      return fail(out.at, "more than " + std::to_string(limits_.max_values) + " values");
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        scalar(node, out);
        return true;
      case YAML::NodeType::Sequence:
        out.kind = Value::Kind::kArray;
        for (const auto& item : node) {
          out.items.emplace_back();
          if (!convert(item, out.items.back(), depth + 1)) return false;
        }
        return true;
      case YAML::NodeType::Map:
        return map(node, out, depth);
      default:
        return true;
    }
  }

 private:
  bool fail(Position at, std::string text) {
    problems_.add(at, std::move(text));
    return false;
  }

  static void scalar(const YAML::Node& node, Value& out) {
    const std::string& text = node.Scalar();
    const bool plain = node.Tag() == "?";
    if (plain && (text.empty() || text == "~" || text == "null")) return;
    if (plain && (text == "true" || text == "false")) {
      out.kind = Value::Kind::kBool;
      out.boolean = text == "true";
      return;
    }
    out.kind = plain && looks_like_number(text) ? Value::Kind::kNumber : Value::Kind::kString;
    out.text = text;
  }

  bool map(const YAML::Node& node, Value& out, size_t depth) {
    out.kind = Value::Kind::kObject;
    std::unordered_set<std::string> names;
    for (const auto& entry : node) {
      const Position at = position(entry.first.Mark());
      if (!entry.first.IsScalar()) return fail(at, "a name must be a string");
      Member member;
      member.name = entry.first.Scalar();
      member.at = at;
      if (!names.insert(member.name).second) {
        return fail(at, "the name " + quoted(member.name) + " stands twice in this object");
      }
      if (!convert(entry.second, member.value, depth + 1)) return false;
      out.members.push_back(std::move(member));
    }
    return true;
  }

  const ParseLimits& limits_;
  Problems& problems_;
  size_t values_ = 0;
};

}  // namespace

Value parse_yaml(std::string_view text, const ParseLimits& limits, Problems& problems) {
  if (text.size() > limits.max_bytes) {
    problems.add({}, "the policy has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(limits.max_bytes) + " are allowed");
    return {};
  }
  Value value;
  try {
    const YAML::Node node = YAML::Load(std::string(text));
    if (!Converter(limits, problems).convert(node, value, 0)) return {};
  } catch (const YAML::Exception& e) {
    problems.add(position(e.mark), e.msg);
    return {};
  }
  return value;
}

}  // namespace es::policy

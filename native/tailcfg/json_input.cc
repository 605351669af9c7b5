#include "native/tailcfg/json_input.h"

#include <nlohmann/json.hpp>

namespace es::tailcfg {
namespace {

using nlohmann::json;

const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

}  // namespace

std::optional<json> parse_json_object(std::string_view text) {
  bool too_deep = false;
  const auto check_depth = [&](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  json parsed = json::parse(text, check_depth, /*allow_exceptions=*/false);
  if (too_deep || !parsed.is_object()) return std::nullopt;
  return parsed;
}

std::string text_member(const json& object, const char* name) {
  const json* value = member(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

int64_t int_member(const json& object, const char* name) {
  const json* value = member(object, name);
  if (value == nullptr || !value->is_number_integer()) return 0;
  if (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX) return 0;
  return value->get<int64_t>();
}

bool bool_member(const json& object, const char* name) {
  const json* value = member(object, name);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

std::vector<std::string> texts_member(const json& object, const char* name, size_t max) {
  std::vector<std::string> out;
  const json* list = member(object, name);
  if (list == nullptr || !list->is_array()) return out;
  for (const json& item : *list) {
    if (out.size() == max) break;
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

}  // namespace es::tailcfg

#include "native/policy/value.h"

#include "common/base/json_text.h"

namespace es::policy {
namespace {

void append(std::string& out, const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      out += "null";
      break;
    case Value::Kind::kBool:
      out += value.boolean ? "true" : "false";
      break;
    case Value::Kind::kNumber:
      out += value.text;
      break;
    case Value::Kind::kString:
      append_json_string(out, value.text);
      break;
    case Value::Kind::kArray:
      out += '[';
      for (const Value& item : value.items) {
        if (&item != value.items.data()) out += ',';
        append(out, item);
      }
      out += ']';
      break;
    case Value::Kind::kObject:
      out += '{';
      for (const Member& member : value.members) {
        if (&member != value.members.data()) out += ',';
        append_json_string(out, member.name);
        out += ':';
        append(out, member.value);
      }
      out += '}';
      break;
  }
}

}  // namespace

std::string_view kind_name(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return "true or false";
    case Value::Kind::kNumber:
      return "a number";
    case Value::Kind::kString:
      return "a string";
    case Value::Kind::kArray:
      return "an array";
    case Value::Kind::kObject:
      return "an object";
  }
  return "a value";
}

std::string to_json_text(const Value& value) {
  std::string out;
  append(out, value);
  return out;
}

}  // namespace es::policy

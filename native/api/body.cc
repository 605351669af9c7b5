#include "native/api/body.h"

#include "common/base/rfc3339.h"

#include <nlohmann/json.hpp>

#include <charconv>

namespace es::api {

// Builds only the top level; everything deeper is checked and forgotten.
class BodyReader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  explicit BodyReader(Body& body) : body_(body) {}

  bool null() { return value(Body::Null{}); }
  bool boolean(bool v) { return value(v); }
  bool number_integer(number_integer_t) { return value(Body::Other{}); }
  bool number_unsigned(number_unsigned_t v) { return value(uint64_t{v}); }
  bool number_float(number_float_t, const string_t&) { return value(Body::Other{}); }
  bool string(string_t& v) {
    if (depth_ == 2 && list_ != nullptr) {
      list_->push_back(std::move(v));
      return true;
    }
    return value(std::move(v));
  }
  bool binary(binary_t&) { return false; }  // not in JSON text

  bool start_object(size_t) {
    if (depth_ == 0) return open();
    return value(Body::Other{}) && open();
  }
  bool end_object() { return close(); }
  bool key(string_t& name) {
    if (depth_ != 1) return true;
    if (body_.members_.size() >= kMaxBodyMembers) return fail("the body has too many members");
    const auto [place, fresh] = body_.members_.try_emplace(std::move(name), Body::Null{});
    if (!fresh) return fail("the body has a member twice");
    member_ = &place->second;
    return true;
  }
  bool start_array(size_t) {
    if (depth_ == 0) return fail(kNotAnObject);
    if (depth_ == 1) {
      *member_ = std::vector<std::string>();
      list_ = std::get_if<std::vector<std::string>>(member_);
      return open();
    }
    return value(Body::Other{}) && open();
  }
  bool end_array() {
    if (depth_ == 2) list_ = nullptr;
    return close();
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) {
    return fail("the body is not well-formed JSON");
  }

  const std::string& failure() const { return failure_; }

 private:
  static constexpr const char* kNotAnObject = "the body must be a JSON object";

  bool fail(const char* text) {
    if (failure_.empty()) failure_ = text;
    return false;
  }
  bool open() {
    if (depth_ == kMaxBodyDepth) return fail("the body is nested too deeply");
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }
  bool value(Body::Value v) {
    if (depth_ == 0) return fail(kNotAnObject);
    if (depth_ == 1) {
      *member_ = std::move(v);
    } else if (depth_ == 2 && list_ != nullptr) {
      // Something that is no string in a top-level list: it is a list of other things.
      list_ = nullptr;
      *member_ = Body::Other{};
    }
    return true;
  }

  Body& body_;
  Body::Value* member_ = nullptr;             // of the top level, being read
  std::vector<std::string>* list_ = nullptr;  // set inside a top-level list of strings so far
  size_t depth_ = 0;
  std::string failure_;
};

Result<Body, BodyError> Body::parse(std::string_view json, size_t max_len) {
  if (json.size() > max_len) {
    return BodyError{413, "the body is larger than " + std::to_string(max_len / 1024) + " KiB"};
  }
  Body body;
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return body;
  BodyReader reader(body);
  if (!nlohmann::json::sax_parse(json, &reader)) {
    return BodyError{
        400, reader.failure().empty() ? "the body is not well-formed JSON" : reader.failure()};
  }
  return body;
}

const Body::Value* Body::find(std::string_view name, std::string_view other_name) {
  auto found = members_.find(name);
  if (found == members_.end() && !other_name.empty()) found = members_.find(other_name);
  if (found == members_.end() || std::holds_alternative<Null>(found->second)) return nullptr;
  return &found->second;
}

void Body::wrong(std::string_view name, std::string_view expected) {
  if (error_) return;
  error_ = BodyError{400, std::string(name)};
  error_->text += ": expected ";
  error_->text += expected;
}

std::string Body::text(std::string_view name, std::string_view other_name) {
  const Value* value = find(name, other_name);
  if (value == nullptr) return {};
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  wrong(name, "a string");
  return {};
}

bool Body::flag(std::string_view name) {
  const Value* value = find(name);
  if (value == nullptr) return false;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  wrong(name, "true or false");
  return false;
}

std::optional<uint64_t> Body::uint64(std::string_view name) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<uint64_t>(value)) return *number;
  if (const auto* text = std::get_if<std::string>(value)) {
    if (text->empty()) return std::nullopt;
    if (const auto number = parse_uint64(*text)) return number;
  }
  wrong(name, "a whole number from 0 to 18446744073709551615, as a string or a number");
  return std::nullopt;
}

std::optional<WallTime> Body::time(std::string_view name) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(value)) {
    if (const auto t = parse_rfc3339(*text)) return t;
  }
  wrong(name, "a time in RFC 3339 form, such as \"2030-01-31T12:00:00Z\"");
  return std::nullopt;
}

std::vector<std::string> Body::texts(std::string_view name, std::string_view other_name) {
  const Value* value = find(name, other_name);
  if (value == nullptr) return {};
  if (const auto* list = std::get_if<std::vector<std::string>>(value)) return *list;
  wrong(name, "a list of strings");
  return {};
}

std::optional<uint64_t> parse_uint64(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return value;
}

}  // namespace es::api

// The JSON body of an API request. Accept means: another parser takes it too, as one object, and
// agrees on the member that was read; a time that is taken is written and read back the same.
#include "common/base/json_text.h"
#include "common/base/rfc3339.h"
#include "native/api/body.h"

#include <nlohmann/json.hpp>

#include <cstdlib>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace es::api;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto parsed = Body::parse(text);
  if (!parsed.ok()) {
    require(!parsed.error().text.empty());
    return 0;
  }
  Body& body = *parsed;
  const std::string name = body.text("name", "other_name");
  const auto tags = body.texts("aclTags", "acl_tags");
  body.flag("reusable");
  body.uint64("id");
  if (const auto t = body.time("expiration")) {
    std::string written;
    es::append_rfc3339(written, *t);
    require(es::parse_rfc3339(written) == t);
  }
  const auto tree = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (tree.is_discarded()) {  // white space only
    require(text.find_first_not_of(" \t\r\n") == std::string_view::npos);
    return 0;
  }
  require(tree.is_object());
  if (!name.empty()) {
    require(tree.value("name", nlohmann::json()) == name ||
            tree.value("other_name", nlohmann::json()) == name);
    std::string again;
    es::append_json_string(again, name);
    require(nlohmann::json::parse(again) == name);
  }
  if (!tags.empty()) {
    require(tree.value("aclTags", nlohmann::json()) == tags ||
            tree.value("acl_tags", nlohmann::json()) == tags);
  }
  return 0;
}

#include "native/store/text_list.h"

#include <nlohmann/json.hpp>

namespace es::store {

std::string list_text(const std::vector<std::string>& list) {
  return nlohmann::json(list).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<std::vector<std::string>, StoreError> text_list(std::string_view text, const char* what) {
  const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> out;
  bool sound = parsed.is_array();
  if (sound) {
    for (const auto& item : parsed) {
      sound = sound && item.is_string();
      if (item.is_string()) out.push_back(item.get<std::string>());
    }
  }
  if (!sound) {
    return StoreError{StoreErrorKind::kBroken, std::string(what) + " are not a JSON list of texts"};
  }
  return out;
}

}  // namespace es::store

// Lists of texts in a column, as JSON. Internal to the room.
#pragma once

#include "native/store/store.h"

#include <string>
#include <string_view>
#include <vector>

namespace es::store {

std::string list_text(const std::vector<std::string>& list);
// `what` names the column in the error.
Result<std::vector<std::string>, StoreError> text_list(std::string_view text, const char* what);

}  // namespace es::store

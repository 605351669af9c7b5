// The fields of an HTML form (application/x-www-form-urlencoded).
//
// Source: the URL standard, "application/x-www-form-urlencoded parsing". Tolerant of empty and
// repeated fields: the first value of a name counts. A bad percent escape makes a value empty.
#pragma once

#include <string>
#include <string_view>

namespace es::api {

// Empty when the field is absent or malformed.
std::string form_value(std::string_view form, std::string_view name);

}  // namespace es::api

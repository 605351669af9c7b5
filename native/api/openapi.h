// The OpenAPI 3.0 document of what V1 answers. A test holds it to V1::operations().
#pragma once

#include <string_view>

namespace es::api {

std::string_view openapi_document();

}  // namespace es::api

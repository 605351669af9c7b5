// The OpenAPI 3.0 document of what V1 answers. A test holds it to V1::operations().
#pragma once

#include <string_view>

namespace es::api {

std::string_view openapi_document();

// Its part about nodes and registrations: members of "paths", no comma at the end.
std::string_view openapi_node_paths();
// The same about policies.
std::string_view openapi_policy_paths();

}  // namespace es::api

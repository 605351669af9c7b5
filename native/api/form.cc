#include "native/api/form.h"

#include "native/net/http.h"

namespace es::api {

std::string form_value(std::string_view form, std::string_view name) {
  while (!form.empty()) {
    const size_t end = form.find('&');
    const std::string_view field = form.substr(0, end);
    form = end == std::string_view::npos ? std::string_view{} : form.substr(end + 1);
    const size_t equals = field.find('=');
    if (field.substr(0, equals) != name || equals == std::string_view::npos) continue;
    return net::percent_decode(field.substr(equals + 1), net::Plus::kIsSpace).value_or("");
  }
  return {};
}

}  // namespace es::api

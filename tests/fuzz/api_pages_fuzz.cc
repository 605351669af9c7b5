// What strangers write into the log-in page: forms, ids, and the names of their machines. Whatever
// they are, an id that is read is one, and no name gets out of its place in the HTML.
#include "native/api/form.h"
#include "native/api/register_html.h"

#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

// The page between two marks, with the entities that escaping makes taken out.
std::string without_entities(std::string text) {
  for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"}) {
    for (size_t at = 0; (at = text.find(entity, at)) != std::string::npos;) {
      text.erase(at, entity.size());
    }
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);

  if (const auto id = es::control::parse_auth_id(input)) {
    require(id->size() == es::control::kAuthIdPrefix.size() + es::control::kAuthIdSecretLen);
    require(es::control::parse_auth_id(*id) == id);
  }

  for (const char* name : {"key", "action", "user", "ticket", ""}) {
    require(es::api::form_value(input, name).size() <= size);
  }

  const std::string shown = es::api::displayable(input);
  for (const char c : shown) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  for (const std::string& text : {es::api::escape_html(shown), es::api::escape_html(input)}) {
    const std::string rest = without_entities(text);
    require(rest.find_first_of("<>\"'&") == std::string::npos);
  }

  es::control::PendingRegistration registration;
  registration.auth_id = "hskey-authreq-000000000000000000000000";
  const std::string empty_page = es::api::registration_page(registration, es::WallTime{}, {});
  registration.hostname = input;
  registration.os = input;
  const std::string page = es::api::registration_page(registration, es::WallTime{}, {});
  // The same tags, whatever the name.
  const auto count = [](std::string_view text) {
    size_t n = 0;
    for (const char c : text) n += c == '<' ? 1 : 0;
    return n;
  };
  const size_t shown_dim = shown.empty() ? 0 : 4;  // two "not said" of <span> and </span>
  require(count(page) + shown_dim == count(empty_page));
  return 0;
}

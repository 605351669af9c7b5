// The records of the API as JSON, member for member as Headscale prints them (protojson rules): ids
// are strings, times RFC 3339, zero values are there, lists are never null.
//
// Unset times: a pre-auth key prints Go's zero time, an API key prints null.
#pragma once

#include "native/control/directory.h"

#include <span>
#include <string>
#include <string_view>

namespace es::api {

// With quotes. Input that is not UTF-8 gets U+FFFD; records never hold any.
void append_json_string(std::string& out, std::string_view text);

void append_user(std::string& out, const control::User& user);
// `text` is the secret where it is shown, else empty: then the masked form.
void append_pre_auth_key(std::string& out, const control::OwnedPreAuthKey& key,
                         std::string_view text = {});
void append_api_key(std::string& out, const control::ApiKey& key);

// The name that people see: of a user without one the email, the provider's identifier or the id.
std::string shown_name(const control::User& user);

}  // namespace es::api

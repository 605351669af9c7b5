#include "native/control/registration.h"

#include <catch2/catch.hpp>

namespace es::control {
namespace {

TEST_CASE("an id is read in full, bare, and out of a log-in address") {
  const std::string secret = "0123456789abcDEF-_234567";
  const std::string id = "hskey-authreq-" + secret;
  for (const std::string& text :
       {id, secret, "https://vpn.example/register/" + id, "http://[::1]:8080/x/register/" + id}) {
    INFO(text);
    CHECK(parse_auth_id(text) == id);
  }
}

TEST_CASE("what is no id is none") {
  const std::string secret = "0123456789abcDEF-_234567";
  for (const std::string& text :
       {std::string(), secret + "8", secret.substr(1), "hskey-authreq-" + secret + "8",
        "hskey-auth-" + secret, "/register/" + secret, "https://vpn.example/" + secret,
        "https://vpn.example/register/" + secret + "/",
        "https://vpn.example/register/" + secret + "?", secret.substr(1) + "/",
        secret.substr(1) + "%", " " + secret.substr(1), secret.substr(1) + std::string(1, '\0')}) {
    INFO(text);
    CHECK_FALSE(parse_auth_id(text).has_value());
  }
}

}  // namespace
}  // namespace es::control

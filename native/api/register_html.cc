#include "native/api/register_html.h"

#include "common/base/base64.h"
#include "native/api/render.h"
#include "native/control/letters.h"
#include "native/control/names.h"

#include <algorithm>

namespace es::api {
namespace {

using control::PendingRegistration;

constexpr size_t kMaxShown = 64;

std::string document(std::string_view title, std::string_view body) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<meta name=\"robots\" content=\"noindex\">"
      "<link rel=\"stylesheet\" href=\"/register/page.css\"><title>";
  out += escape_html(title);
  out += " - Edgescale</title></head>\n<body><main><h1>";
  out += escape_html(title);
  out += "</h1>\n";
  out += body;
  out += "</main></body></html>\n";
  return out;
}

// "[AbCdE]", as Tailscale's clients print keys.
template <class Key>
std::string short_key(const Key& key) {
  return "[" + base64_encode(key.raw(), Base64Alphabet::kStandardPadded).substr(0, 5) + "]";
}

void append_row(std::string& out, std::string_view name, std::string_view value) {
  out += "<tr><th scope=\"row\">";
  out += escape_html(name);
  out += "</th><td>";
  out += value.empty() ? "<span class=\"dim\">not said</span>" : escape_html(value);
  out += "</td></tr>\n";
}

std::string time_left(const PendingRegistration& registration, WallTime now) {
  const auto left = std::chrono::ceil<std::chrono::minutes>(registration.expires - now).count();
  const auto minutes = std::max<int64_t>(left, 1);
  return std::to_string(minutes) + (minutes == 1 ? " minute" : " minutes");
}

// Nothing where the client asks for nothing: most do not.
void append_list(std::string& out, std::string_view name, const std::vector<std::string>& values) {
  if (values.empty()) return;
  constexpr size_t kMostShown = 32;
  std::string text;
  for (size_t i = 0; i < std::min(values.size(), kMostShown); ++i) {
    text += (i == 0 ? "" : ", ") + displayable(values[i]);
  }
  if (values.size() > kMostShown) {
    text += " and " + std::to_string(values.size() - kMostShown) + " more";
  }
  append_row(out, name, text);
}

std::string facts(const PendingRegistration& registration, WallTime now) {
  std::string out = "<table>\n";
  append_row(out, "Host name", displayable(registration.hostname));
  append_row(out, "System", displayable(registration.os));
  append_row(out, "Client", displayable(registration.client_version));
  append_list(out, "Asks for tags", registration.tags);
  append_list(out, "Offers routes", registration.routes);
  if (registration.ephemeral) append_row(out, "Stays", "until it disconnects (ephemeral)");
  append_row(out, "Machine key", short_key(registration.machine_key));
  append_row(out, "Node key", short_key(registration.node_key));
  append_row(out, "Waits for", time_left(registration, now) + " more");
  out += "</table>\n";
  return out;
}

std::string complaint_text(std::string_view complaint) {
  if (complaint.empty()) return {};
  return "<p class=\"bad\" role=\"alert\">" + escape_html(complaint) + "</p>\n";
}

std::string form_head(const PendingRegistration& registration) {
  return "<form method=\"post\" action=\"/register/" + escape_html(registration.auth_id) + "\">\n";
}

}  // namespace

const std::string_view kRegisterStyle =
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;padding:1rem}"
    "main{max-width:44rem;margin:2rem auto}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th{text-align:left;font-weight:600;padding:.25rem 1.5rem .25rem 0;vertical-align:top}"
    "td{font-family:ui-monospace,monospace;overflow-wrap:anywhere}"
    "pre{padding:.75rem;border:1px solid #8888;border-radius:.4rem;white-space:pre-wrap;"
    "overflow-wrap:anywhere;user-select:all}"
    "label{display:block;margin:.75rem 0 .25rem}"
    "input,select,button{font:inherit;padding:.4rem .6rem;max-width:100%}"
    "input{width:28rem}"
    "button{margin:.75rem .5rem 0 0;cursor:pointer}"
    ".bad{color:#b3261e;font-weight:600}"
    ".dim{opacity:.7}"
    "@media(prefers-color-scheme:dark){.bad{color:#ff8a80}}\n";

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string displayable(std::string_view text) {
  std::string out;
  for (size_t n = 0; !text.empty(); ++n) {
    if (n == kMaxShown) return out + "...";
    const std::string_view before = text;
    const auto c = control::take_code_point(text);
    if (!c) text.remove_prefix(1);
    const bool plain =
        c && ((*c >= 0x20 && *c < 0x7f) || control::is_letter(*c) || control::is_digit(*c));
    if (plain) {
      out += before.substr(0, before.size() - text.size());
    } else {
      out += '?';
    }
  }
  return out;
}

std::string message_page(std::string_view title, std::string_view text, std::string_view command) {
  std::string body = "<p>" + escape_html(text) + "</p>\n";
  if (!command.empty()) body += "<pre>" + escape_html(command) + "</pre>\n";
  return document(title, body);
}

std::string registration_page(const PendingRegistration& registration, WallTime now,
                              std::string_view complaint) {
  std::string body = "<p>This machine asks to join the tailnet, and waits for an operator.</p>\n";
  body += facts(registration, now);
  body += "<h2>Approve on the server</h2>\n<pre>edgescale auth register --auth-id ";
  body += escape_html(registration.auth_id);
  body += " --user USERNAME</pre>\n<h2>Approve here</h2>\n";
  body += complaint_text(complaint);
  body += form_head(registration);
  body +=
      "<label for=\"key\">API key of an operator</label>\n"
      "<input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" "
      "required maxlength=\"256\">\n"
      "<p class=\"dim\">\"edgescale apikeys create\" on the server makes one. Compare the host "
      "name "
      "with the machine that you mean: whoever sent you this address may have sent a foreign "
      "one.</p>\n"
      "<button name=\"action\" value=\"sign-in\">Sign in</button>\n</form>\n";
  return document("Join the tailnet", body);
}

std::string decision_page(const PendingRegistration& registration, WallTime now,
                          std::string_view ticket,
                          std::span<const std::shared_ptr<const control::User>> users,
                          std::string_view complaint) {
  std::string body = "<p>Signed in for this machine, for ten minutes.</p>\n";
  body += facts(registration, now);
  body += complaint_text(complaint);
  body += form_head(registration);
  body += "<input type=\"hidden\" name=\"ticket\" value=\"" + escape_html(ticket) + "\">\n";
  if (users.empty()) {
    body +=
        "<p>There are no users yet: \"edgescale users create NAME\" on the server makes one.</p>\n";
  } else {
    body += "<label for=\"user\">Owner</label>\n<select id=\"user\" name=\"user\" required>\n";
    if (users.size() > 1) body += "<option value=\"\">Choose a user</option>\n";
    for (const auto& user : users) {
      body += "<option value=\"" + std::to_string(user->id) + "\">";
      body += escape_html(shown_name(*user));
      if (!user->display_name.empty()) body += " (" + escape_html(user->display_name) + ")";
      body += "</option>\n";
    }
    body += "</select>\n<br><button name=\"action\" value=\"approve\">Approve</button>\n";
  }
  // Rejecting needs no owner.
  body += "<button name=\"action\" value=\"reject\" formnovalidate>Reject</button>\n</form>\n";
  return document("Join the tailnet", body);
}

}  // namespace es::api

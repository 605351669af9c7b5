#include "native/api/register_html.h"

#include "common/base/base64.h"
#include "native/api/render.h"
#include "native/control/letters.h"
#include "native/control/names.h"

#include <algorithm>

namespace es::api {
namespace {

using control::PendingRegistration;
using control::PendingSshCheck;

constexpr size_t kMaxShown = 64;

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

std::string time_left(WallTime expires, WallTime now) {
  const auto left = std::chrono::ceil<std::chrono::minutes>(expires - now).count();
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
  append_row(out, "Keys",
             "machine " + short_key(registration.machine_key) + ", node " +
                 short_key(registration.node_key));
  append_row(out, "Waits for", time_left(registration.expires, now) + " more");
  out += "</table>\n";
  return out;
}

std::string period_text(std::chrono::seconds period) {
  if (period.count() <= 0) return "this one connection";
  const auto minutes = std::max<int64_t>(period.count() / 60, 1);
  const auto count = [](int64_t n, const char* unit) {
    return std::to_string(n) + unit + (n == 1 ? "" : "s");
  };
  std::string out = minutes >= 60 ? count(minutes / 60, " hour") : "";
  if (minutes % 60 != 0) out += (out.empty() ? "" : " ") + count(minutes % 60, " minute");
  return "the same for " + out;
}

std::string facts(const PendingSshCheck& check, WallTime now) {
  std::string out = "<table>\n";
  append_row(out, "From", displayable(check.source));
  append_row(out, "Owned by", displayable(check.source_owner));
  append_row(out, "To", displayable(check.destination));
  append_row(out, "As the user", displayable(check.login));
  append_row(out, "An approval is for", period_text(check.period));
  append_row(out, "Waits for", time_left(check.expires, now) + " more");
  out += "</table>\n";
  return out;
}

std::string lead(const PendingRegistration& registration, std::string_view text) {
  const std::string name = displayable(registration.hostname);
  return "<p><strong>" + (name.empty() ? "This machine" : escape_html(name)) + "</strong>" +
         std::string(text) + "</p>\n";
}

std::string complaint_text(std::string_view complaint) {
  if (complaint.empty()) return {};
  return "<p class=\"alert\" role=\"alert\">" + escape_html(complaint) + "</p>\n";
}

std::string form_head(const PendingRegistration& registration) {
  return "<form method=\"post\" action=\"/register/" + escape_html(registration.auth_id) + "\">\n";
}
std::string form_head(const PendingSshCheck& check) {
  return "<form method=\"post\" action=\"/auth/" + escape_html(check.auth_id) + "\">\n";
}

// The rest of the form where nobody is signed in, and what stands below it; `hint` and `command`
// are HTML already.
std::string sign_in_rest(std::string_view hint, std::string_view command) {
  std::string out =
      "<label for=\"key\">API key of an operator</label>\n"
      "<input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" "
      "required maxlength=\"256\" placeholder=\"tskey-api-...\" aria-describedby=\"hint\">\n"
      "<div class=\"buttons\"><button class=\"yes\" name=\"action\" value=\"sign-in\">"
      "Sign in to decide</button></div>\n</form>\n"
      "<p id=\"hint\" class=\"dim small\">";
  out += hint;
  out +=
      " Not an operator? Send this page's address to one.</p>\n"
      "<details><summary>Or decide on the server</summary>\n<pre>";
  out += command;
  return out +
         "</pre>\n<p class=\"dim small\">An API key is made there with "
         "<code>edgescale apikeys create</code>.</p></details>\n";
}

std::string ticket_field(std::string_view ticket) {
  return "<input type=\"hidden\" name=\"ticket\" value=\"" + escape_html(ticket) + "\">\n";
}

// The end of the form of who is signed in for `what`. Enter presses the first button.
std::string decision_rest(bool can_approve, std::string_view what) {
  std::string out = "<div class=\"buttons\">";
  if (can_approve) {
    out += "<button class=\"yes\" name=\"action\" value=\"approve\">Approve</button>\n";
  }
  out +=
      "<button class=\"no\" name=\"action\" value=\"reject\" formnovalidate>Reject</button>"
      "</div>\n</form>\n<p class=\"dim small\">You are signed in for this ";
  out += what;
  return out + ", for ten minutes.</p>\n";
}

}  // namespace

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

std::string message_page(std::string_view title, std::string_view text, std::string_view command,
                         Tone tone) {
  std::string body = "<p>" + escape_html(text) + "</p>\n";
  if (!command.empty()) body += "<pre>" + escape_html(command) + "</pre>\n";
  return page_document(title, body, tone);
}

std::string registration_page(const PendingRegistration& registration, WallTime now,
                              std::string_view complaint) {
  std::string body = lead(registration, " asks to join the tailnet, and waits for an operator.");
  body += facts(registration, now);
  body += complaint_text(complaint);
  body += form_head(registration);
  body += sign_in_rest(
      "Compare the host name with the machine that you mean: whoever sent you this address may "
      "have sent a foreign one.",
      "edgescale auth register --auth-id " + escape_html(registration.auth_id) +
          " --user USERNAME");
  return page_document("Join the tailnet", body);
}

std::string decision_page(const PendingRegistration& registration, WallTime now,
                          std::string_view ticket,
                          std::span<const std::shared_ptr<const control::User>> users,
                          std::string_view complaint) {
  std::string body = lead(registration, " asks to join the tailnet.");
  body += facts(registration, now);
  body += complaint_text(complaint);
  body += form_head(registration);
  body += ticket_field(ticket);
  if (users.empty()) {
    body +=
        "<p>There are no users yet. On the server, this makes one:</p>\n"
        "<pre>edgescale users create NAME</pre>\n";
  } else {
    body += "<label for=\"user\">Owner</label>\n<select id=\"user\" name=\"user\" required>\n";
    if (users.size() > 1) body += "<option value=\"\">Choose a user</option>\n";
    for (const auto& user : users) {
      body += "<option value=\"" + std::to_string(user->id) + "\">";
      body += escape_html(shown_name(*user));
      if (!user->display_name.empty()) body += " (" + escape_html(user->display_name) + ")";
      body += "</option>\n";
    }
    body += "</select>\n";
  }
  body += decision_rest(!users.empty(), "machine");  // rejecting needs no owner
  return page_document("Join the tailnet", body);
}

std::string ssh_check_page(const PendingSshCheck& check, WallTime now, std::string_view complaint) {
  std::string body =
      "<p>Somebody connects by SSH, where the policy asks for an operator's approval.</p>\n";
  body += facts(check, now);
  body += complaint_text(complaint);
  body += form_head(check);
  body += sign_in_rest(
      "Approve only if you know that the person at that machine is connecting just now.",
      "edgescale auth approve --auth-id " + escape_html(check.auth_id));
  return page_document("Connect by SSH", body);
}

std::string ssh_decision_page(const PendingSshCheck& check, WallTime now, std::string_view ticket) {
  std::string body = "<p>Somebody connects by SSH and waits for your decision.</p>\n";
  body += facts(check, now);
  body += form_head(check);
  body += ticket_field(ticket);
  body += decision_rest(true, "connection");
  return page_document("Connect by SSH", body);
}

}  // namespace es::api

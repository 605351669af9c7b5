#include "native/api/register_pages.h"

#include "common/base/hex.h"
#include "common/token/hmac.h"
#include "common/token/token.h"
#include "native/api/body.h"
#include "native/api/form.h"
#include "native/api/register_html.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace es::api {
namespace {

using control::PendingRegistration;
using control::PendingSshCheck;
using net::Reply;
using net::Request;
using net::Response;

// What a page is about.
using Waiting = std::variant<PendingRegistration, PendingSshCheck>;

// /auth/... is a log-in by SSH, /register/... a machine.
constexpr std::string_view kSshPath = "/auth/";

constexpr Millis kTicketLifetime{10 * 60'000};
constexpr size_t kMaxFormLen = 4096;
constexpr size_t kLimiterBytes = 256 * 1024;  // some 4,000 clients

constexpr std::string_view kTooMany =
    "Too many failed attempts from your address: wait a minute and try again.";

Response page(unsigned status, std::string html) {
  // The gate adds the headers that keep it out of caches, frames and Referer.
  return {status, {{"Content-Type", "text/html; charset=utf-8"}}, std::move(html)};
}

Response not_an_id() {
  return page(400, message_page("This is no log-in address",
                                "The address that your terminal shows is longer, or different: "
                                "copy all of it."));
}

Response nothing_waits() {
  return page(404, message_page("Nothing waits here",
                                "This log-in has been decided, or it is too old. If your machine "
                                "is not connected, ask for a new address:",
                                "tailscale up"));
}

Response no_ssh_waits() {
  return page(404, message_page("Nothing waits here",
                                "This connection has been decided, or it is too old: connect "
                                "again for a new address."));
}

const std::string& auth_id_of(const Waiting& waiting) {
  return std::visit([](const auto& w) -> const std::string& { return w.auth_id; }, waiting);
}

// For whoever has not signed in.
std::string page_of(const Waiting& waiting, WallTime now, std::string_view complaint) {
  if (const auto* check = std::get_if<PendingSshCheck>(&waiting)) {
    return ssh_check_page(*check, now, complaint);
  }
  return registration_page(std::get<PendingRegistration>(waiting), now, complaint);
}

Response too_many() {
  Response response = page(429, message_page("Please wait", kTooMany));
  response.fields.push_back({"Retry-After", "60"});
  return response;
}

// What people paste has blanks around it.
std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

token::HmacKey random_mac_key(const RegisterOptions& options) {
  std::array<uint8_t, 32> raw{};
  options.random(raw);
  const token::HmacKey key{Bytes(raw)};
  wipe(raw);
  return key;
}

class RegisterPages : public std::enable_shared_from_this<RegisterPages> {
 public:
  RegisterPages(control::Directory& directory, control::Tailnet& tailnet,
                control::SshChecks& ssh_checks, RegisterOptions options)
      : directory_(directory),
        tailnet_(tailnet),
        ssh_checks_(ssh_checks),
        options_(std::move(options)),
        ticket_key_(random_mac_key(options_)) {}

  // As PrepareFailureLimit; nothing is served before the first.
  Result<std::function<void()>> prepare_limit(const limit::Limit& limit);
  void show(const Request& request, const Reply& reply);
  void act(const Request& request, const Reply& reply);

 private:
  // What waits under the id that the path names; replies when nothing does.
  std::optional<Waiting> find(const Request& request, const Reply& reply);
  void sign_in(const Waiting& waiting, const Request& request, const Reply& reply);
  void decide(const Waiting& waiting, const Request& request, const Reply& reply);
  void decide_ssh(const PendingSshCheck& waiting, std::string_view key_id, const Request& request,
                  const Reply& reply);
  void approve(const PendingRegistration& waiting, std::string_view key_id, const Request& request,
               const Reply& reply);
  void reject(const PendingRegistration& waiting, const Reply& reply);

  std::string ticket(std::string_view auth_id, std::string_view key_id, WallTime now) const;
  // The id of the API key that signed in; nullopt: this is no ticket, or no longer one.
  std::optional<std::string> signed_in(std::string_view ticket, std::string_view auth_id,
                                       WallTime now) const;
  token::Sha256Digest ticket_mac(std::string_view auth_id, std::string_view claims) const;
  bool is_live_key(std::string_view key_id, WallTime now) const;
  bool blocked(const Request& request);
  void note_failure(const Request& request);

  control::Directory& directory_;
  control::Tailnet& tailnet_;
  control::SshChecks& ssh_checks_;
  const RegisterOptions options_;
  const token::HmacKey ticket_key_;
  struct Failures {
    limit::Limit limit;
    std::vector<uint8_t> memory;
    std::optional<limit::Limiter> limiter;
  };
  std::mutex mutex_;
  std::shared_ptr<Failures> failures_;  // with all that it points at, under the mutex
};

Result<std::function<void()>> RegisterPages::prepare_limit(const limit::Limit& limit) {
  limit::SipKey seed;
  std::array<uint8_t, sizeof(limit::SipKey)> random{};
  options_.random(random);
  std::memcpy(&seed, random.data(), sizeof seed);
  const auto fresh = std::make_shared<Failures>(
      Failures{limit, std::vector<uint8_t>(kLimiterBytes), std::nullopt});
  ES_TRY(fresh->limiter, limit::Limiter::create(limit, fresh->memory, seed));
  return std::function<void()>([self = shared_from_this(), fresh] {
    const std::lock_guard lock(self->mutex_);
    if (self->failures_ == nullptr || self->failures_->limit != fresh->limit) {
      self->failures_ = fresh;
    }
  });
}

bool RegisterPages::blocked(const Request& request) {
  const std::lock_guard lock(mutex_);
  return !failures_->limiter->peek(limit::client_key(request.client_address), request.received)
              .granted();
}

void RegisterPages::note_failure(const Request& request) {
  const std::lock_guard lock(mutex_);
  (void)failures_->limiter->admit(limit::client_key(request.client_address), request.received);
}

// "<end, Unix ms>.<id of the API key>.<mac>"
std::string RegisterPages::ticket(std::string_view auth_id, std::string_view key_id,
                                  WallTime now) const {
  std::string claims = std::to_string(unix_ms(now + kTicketLifetime)) + ".";
  claims += key_id;
  return claims + "." + hex_encode(ticket_mac(auth_id, claims));
}

token::Sha256Digest RegisterPages::ticket_mac(std::string_view auth_id,
                                              std::string_view claims) const {
  token::Hmac mac(ticket_key_);
  // With its length before each part, no two lists of parts are one message.
  for (const std::string_view part : {std::string_view("register"), auth_id, claims}) {
    std::array<uint8_t, 4> len{};
    ByteWriter(len).u32be(static_cast<uint32_t>(part.size()));
    mac.update(len);
    mac.update(as_bytes(part));
  }
  return mac.finish();
}

std::optional<std::string> RegisterPages::signed_in(std::string_view ticket,
                                                    std::string_view auth_id, WallTime now) const {
  const size_t last_dot = ticket.rfind('.');
  if (last_dot == std::string_view::npos) return std::nullopt;
  const std::string_view claims = ticket.substr(0, last_dot);
  token::Sha256Digest mac{};
  if (!hex_decode(ticket.substr(last_dot + 1), mac)) return std::nullopt;
  if (!equal_constant_time(mac, ticket_mac(auth_id, claims))) return std::nullopt;
  // Ours from here on.
  const size_t dot = claims.find('.');
  const auto end_ms = parse_uint64(claims.substr(0, dot));
  std::string key_id(claims.substr(dot + 1));
  if (!end_ms || static_cast<int64_t>(*end_ms) <= unix_ms(now)) return std::nullopt;
  if (!is_live_key(key_id, now)) return std::nullopt;
  return key_id;
}

// So that revoking a key ends what was signed in with it.
bool RegisterPages::is_live_key(std::string_view key_id, WallTime now) const {
  const auto keys = directory_.api_keys();
  return std::any_of(keys.begin(), keys.end(), [&](const control::ApiKey& key) {
    return key.prefix == key_id && !key.expired(now);
  });
}

std::optional<Waiting> RegisterPages::find(const Request& request, const Reply& reply) {
  if (blocked(request)) {
    reply(too_many());
    return std::nullopt;
  }
  const std::string& text = request.path_args.at(0);
  const auto id = control::parse_auth_id(text);
  // In this form only: the page of what waits has one address.
  if (!id || *id != text) {
    reply(not_an_id());
    return std::nullopt;
  }
  const bool ssh = request.path.starts_with(kSshPath);
  std::optional<Waiting> waiting;
  if (ssh) {
    waiting = ssh_checks_.pending(*id, request.received);
  } else {
    waiting = tailnet_.registration(*id);
  }
  const auto expires = [](const auto& w) { return w.expires; };
  if (!waiting || std::visit(expires, *waiting) <= request.received) {
    note_failure(request);
    reply(ssh ? no_ssh_waits() : nothing_waits());
    return std::nullopt;
  }
  return waiting;
}

void RegisterPages::show(const Request& request, const Reply& reply) {
  const auto waiting = find(request, reply);
  if (waiting) reply(page(200, page_of(*waiting, request.received, {})));
}

void RegisterPages::act(const Request& request, const Reply& reply) {
  const std::string_view type = request.field("Content-Type").value_or("");
  if (!type.starts_with("application/x-www-form-urlencoded")) {
    return reply(page(415, message_page("This is no form", "Use the buttons of the page.")));
  }
  if (request.body.size() > kMaxFormLen) {
    return reply(page(413, message_page("This is too much", "Use the buttons of the page.")));
  }
  const auto waiting = find(request, reply);
  if (!waiting) return;
  const std::string action = form_value(request.body, "action");
  if (action == "approve" || action == "reject") return decide(*waiting, request, reply);
  // Enter in the key's field may send no button.
  sign_in(*waiting, request, reply);
}

void RegisterPages::sign_in(const Waiting& waiting, const Request& request, const Reply& reply) {
  std::string key = form_value(request.body, "key");
  const auto verdict = directory_.verify_api_key(trimmed(key), request.received);
  const auto parsed = token::parse_token(trimmed(key));
  const std::string key_id(parsed.ok() ? parsed->id : std::string_view());
  wipe(MutableBytes(reinterpret_cast<uint8_t*>(key.data()), key.size()));
  if (verdict != control::ApiKeyVerdict::kValid) {
    note_failure(request);
    return reply(page(
        403, page_of(waiting, request.received, "This API key is wrong, expired or revoked.")));
  }
  const std::string signed_in = ticket(auth_id_of(waiting), key_id, request.received);
  if (const auto* check = std::get_if<PendingSshCheck>(&waiting)) {
    return reply(page(200, ssh_decision_page(*check, request.received, signed_in)));
  }
  const auto users = directory_.users();
  reply(page(200, decision_page(std::get<PendingRegistration>(waiting), request.received, signed_in,
                                users.rows, {})));
}

void RegisterPages::decide(const Waiting& waiting, const Request& request, const Reply& reply) {
  const auto key_id =
      signed_in(form_value(request.body, "ticket"), auth_id_of(waiting), request.received);
  if (!key_id) {
    note_failure(request);
    return reply(page(
        403, page_of(waiting, request.received, "You are no longer signed in: sign in again.")));
  }
  if (const auto* check = std::get_if<PendingSshCheck>(&waiting)) {
    return decide_ssh(*check, *key_id, request, reply);
  }
  const auto& registration = std::get<PendingRegistration>(waiting);
  if (form_value(request.body, "action") == "approve")
    return approve(registration, *key_id, request, reply);
  reject(registration, reply);
}

void RegisterPages::decide_ssh(const PendingSshCheck& waiting, std::string_view key_id,
                               const Request& request, const Reply& reply) {
  const bool approves = form_value(request.body, "action") == "approve";
  const std::string by = "API key " + std::string(key_id);
  const auto done = approves ? ssh_checks_.approve(waiting.auth_id, by, request.received)
                             : ssh_checks_.reject(waiting.auth_id, by, request.received);
  if (!done.ok()) {
    return reply(page(409, message_page("Not decided", done.error().text, {}, Tone::kBad)));
  }
  if (approves) {
    return reply(
        page(200, message_page("Approved", "The connection opens. This page can be closed.", {},
                               Tone::kGood)));
  }
  reply(page(200, message_page("Rejected", "The connection was refused.", {}, Tone::kBad)));
}

void RegisterPages::approve(const PendingRegistration& waiting, std::string_view key_id,
                            const Request& request, const Reply& reply) {
  const auto id = parse_uint64(form_value(request.body, "user"));
  const auto owner = id ? directory_.user(*id) : nullptr;
  if (owner == nullptr) {
    const auto users = directory_.users();
    return reply(page(400, decision_page(waiting, request.received,
                                         ticket(waiting.auth_id, key_id, request.received),
                                         users.rows, "Choose the user who owns this machine.")));
  }
  tailnet_.approve(
      waiting.auth_id, owner->id, request.received,
      [reply](const Result<control::NodePtr, control::Refusal>& result) {
        if (!result.ok()) {
          const bool gone = result.error().reason == control::Reason::kNotFound;
          return reply(page(gone ? 404 : 503, message_page("Not approved", result.error().text)));
        }
        reply(page(200, message_page("Approved",
                                     "The machine is in the tailnet as \"" +
                                         (*result)->row.given_name + "\". This page can be closed.",
                                     {}, Tone::kGood)));
      });
}

void RegisterPages::reject(const PendingRegistration& waiting, const Reply& reply) {
  tailnet_.reject(waiting.auth_id, [reply](Result<void, control::Refusal> result) {
    if (!result.ok()) return reply(page(409, message_page("Not rejected", result.error().text)));
    reply(page(200, message_page("Rejected", "The machine was told that it may not join.", {},
                                 Tone::kBad)));
  });
}

}  // namespace

Result<PrepareFailureLimit> add_register_pages(net::Router& router, control::Directory& directory,
                                               control::Tailnet& tailnet,
                                               control::SshChecks& ssh_checks,
                                               RegisterOptions options) {
  const limit::Limit failures = options.failures;
  const auto pages =
      std::make_shared<RegisterPages>(directory, tailnet, ssh_checks, std::move(options));
  ES_TRY(const auto begin, pages->prepare_limit(failures));
  begin();
  router.add("GET", kPageStylePath, [](const Request&, const Reply& reply) {
    reply({200, {{"Content-Type", "text/css; charset=utf-8"}}, std::string(kPageStyle)});
  });
  router.add("GET", kPageIconPath, [](const Request&, const Reply& reply) {
    reply({200, {{"Content-Type", "image/svg+xml"}}, std::string(kPageIcon)});
  });
  const auto show = [pages](const Request& request, const Reply& reply) {
    pages->show(request, reply);
  };
  const auto act = [pages](const Request& request, const Reply& reply) {
    pages->act(request, reply);
  };
  for (const char* pattern : {"/register/{authId}", "/auth/{authId}"}) {
    router.add("GET", pattern, show);
    router.add("POST", pattern, act);
  }
  // An address that was cut off, or got a tail.
  for (const char* pattern : {"/register/*", "/auth/*"}) {
    router.add("GET", pattern, [](const Request&, const Reply& reply) { reply(not_an_id()); });
  }
  return PrepareFailureLimit(
      [pages](const limit::Limit& limit) { return pages->prepare_limit(limit); });
}

}  // namespace es::api

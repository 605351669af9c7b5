#include "common/gate/gate.h"

#include "common/http/target.h"
#include "common/token/token.h"

#include <array>
#include <utility>

namespace es::gate {
namespace {

using http::Refusal;

// WebAssembly is the edge's alone: what only the origin does is not in its module.
#ifdef __wasm__
constexpr bool is_edge(const Config&) { return true; }
#else
bool is_edge(const Config& config) { return config.role == Role::kEdge; }
#endif

bool refuse_with(Decision& decision, Refusal refusal) {
  decision.verdict = Verdict::kRefuse;
  decision.refusal = refusal;
  return false;
}

bool refuse_until(Decision& decision, Refusal refusal, uint32_t remaining, Millis retry_after) {
  decision.remaining = remaining;
  decision.retry_after = retry_after;
  return refuse_with(decision, refusal);
}

AddressText text_of(const std::optional<IpAddress>& address) {
  AddressText text;
  if (!address) {
    text.assign(token::kUnknownAddress);
    return text;
  }
  std::array<uint8_t, kMaxIpAddressText> buf{};
  ByteWriter out(buf);
  write_ip_address(*address, out);
  text.assign(as_text(out.written()));
  return text;
}

bool waits_for_host(Verdict verdict) {
  return verdict == Verdict::kAskLimiter || verdict == Verdict::kWaitLimiter ||
         verdict == Verdict::kCheckAccess || verdict == Verdict::kFetchAccessKeys ||
         verdict == Verdict::kReadFields;
}

bool needs_key(const Decision& decision) {
  return http::policy_of(decision.route).key == http::RoutePolicy::Key::kBearer;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  constexpr std::string_view kNames[] = {"forward",      "websocket",         "status",
                                         "refuse",       "ask_limiter",       "wait_limiter",
                                         "check_access", "fetch_access_keys", "read_fields"};
  static_assert(std::size(kNames) == kNumVerdicts);
  return kNames[static_cast<size_t>(verdict)];
}

Result<Gate> Gate::create(const Config& config, const Parts& parts) {
  if (parts.key_check.check == nullptr) return bug("the gate needs a key check");
  if (is_edge(config) && parts.signature_key == nullptr) {
    return bug("the edge needs a signature key");
  }
  // One seed serves all tables: they are separate memories, and nobody outside sees a hash.
  ES_TRY(auto requests, limit::Limiter::create(config.requests, parts.request_memory, parts.seed));
  ES_TRY(auto failures,
         limit::Limiter::create(config.auth_failures, parts.failure_memory, parts.seed));
  Gate gate(config, parts, requests, failures);
  if (!parts.lease_memory.empty()) {
    ES_TRY(auto leases, limit::LeaseTable::create(config.requests, parts.lease_memory, parts.seed));
    gate.leases_ = leases;
  }
  return gate;
}

Decision Gate::decide(const Request& request, WallTime now) {
  Decision decision;
  if (const Refusal r = validate(request, decision); r != Refusal::kNone) {
    refuse_with(decision, r);
    return decision;
  }
  identify(request, now, decision);
  decision.client_hash = limit::hash_of(parts_.seed, decision.client);
  const bool counted = is_counted(request, decision);
  if (counted && !within_limit(now, decision)) return decision;
  const bool passes = authenticate(request, now, decision) && look_at_fields(request, decision);
  if (waits_for_host(decision.verdict)) return decision;
  if (passes && counted && leases_) {
    take_lease(request.limiter_object, now, decision);
    if (waits_for_host(decision.verdict)) return decision;
    // Refused by the authority: nothing was granted, so nothing counts here either.
    if (decision.verdict == Verdict::kRefuse) return decision;
  }
  if (counted) (void)requests_.admit(decision.client, decision.client_hash, now, 1);
  return decision;
}

Refusal Gate::validate(const Request& request, Decision& decision) const {
  const auto method = http::parse_method(request.method);
  if (!method) return Refusal::kBadMethod;
  decision.method = *method;
  if (const Refusal r = http::check_target(request.target, config_.http.max_target);
      r != Refusal::kNone) {
    return r;
  }
  decision.route = http::route_of(http::path_of(request.target));
  if (!http::is_valid_host(request.host)) return Refusal::kBadHost;
  if (is_edge(config_) && decision.route == http::Route::kControl &&
      *method == http::Method::kPost) {
    return Refusal::kDirectPathOnly;
  }
  return Refusal::kNone;
}

void Gate::identify(const Request& request, WallTime now, Decision& decision) const {
  std::optional<IpAddress> address = parse_ip_address(request.peer);
  if (!is_edge(config_)) {
    if (parts_.signature_key != nullptr) {
      const token::SignatureCheck check =
          token::verify_signature(*parts_.signature_key, {request.method, request.target},
                                  request.edge_signature, now, config_.signature_window);
      decision.signature = check.verdict;
      if (check.verdict == token::SignatureVerdict::kValid) {
        decision.client = limit::client_key(check.client_address);
        decision.client_address.assign(check.client_address);
        decision.answer_proof = check.proof;
        return;
      }
    }
    if (address) address = client_behind(*address, request.forwarded_for, parts_.trusted_proxies);
  }
  decision.client = address ? limit::client_key(*address) : limit::kUnknownClient;
  decision.client_address = text_of(address);
}

// The edge has already counted what it signed; a second count could only refuse what it granted.
bool Gate::is_counted(const Request& request, const Decision& decision) const {
  return request.channel == Channel::kNetwork &&
         decision.signature != token::SignatureVerdict::kValid;
}

bool Gate::within_limit(WallTime now, Decision& decision) const {
  const limit::Admission admission = requests_.peek(decision.client, decision.client_hash, now, 1);
  if (admission.granted()) return true;
  return refuse_until(decision, Refusal::kTooManyRequests, admission.remaining,
                      admission.retry_after);
}

bool Gate::authenticate(const Request& request, WallTime now, Decision& decision) {
  if (!needs_key(decision) || request.channel == Channel::kLocalSocket) return true;
  const limit::Admission failures = failures_.peek(decision.client, decision.client_hash, now, 1);
  if (!failures.granted()) {
    return refuse_until(decision, Refusal::kTooManyFailures, 0, failures.retry_after);
  }
  if (!check_access(request, now, decision)) return false;
  if (const Result<std::string_view> token = token::bearer_token(request.authorization)) {
    decision.key = parts_.key_check.check(parts_.key_check.context, *token, now);
  }
  const bool enough = decision.route == http::Route::kEdgeStatus && is_edge(config_)
                          ? decision.key == KeyVerdict::kOperator
                          : decision.key != KeyVerdict::kInvalid;
  if (enough) return true;
  (void)failures_.admit(decision.client, now);
  return refuse_with(decision, Refusal::kUnauthorized);
}

bool Gate::check_access(const Request& request, WallTime now, Decision& decision) {
  if (parts_.access == nullptr) return true;
  decision.access = parts_.access->begin(request.access_jwt, now);
  switch (decision.access.outcome) {
    case token::AccessOutcome::kAccepted:
      return true;
    case token::AccessOutcome::kCheckSignature:
      decision.verdict = Verdict::kCheckAccess;
      return false;
    case token::AccessOutcome::kRefreshKeys:
      decision.verdict = Verdict::kFetchAccessKeys;
      return false;
    case token::AccessOutcome::kRefused:
      break;
  }
  (void)failures_.admit(decision.client, now);
  return refuse_with(decision, Refusal::kUnauthorized);
}

bool Gate::look_at_fields(const Request& request, Decision& decision) const {
  if (request.fields.read == nullptr) {
    decision.verdict = Verdict::kReadFields;
    return false;
  }
  const auto fields = request.fields.read(request.fields.context);
  if (!fields) return refuse_with(decision, Refusal::kFieldsTooLarge);
  const http::FieldFacts facts = http::check_fields(*fields, decision.method, config_.http);
  if (facts.refusal != Refusal::kNone) return refuse_with(decision, facts.refusal);
  decision.forward_fields = facts.forward;
  decision.body = facts.has_body ? Decision::Body::kPresent : Decision::Body::kNone;

  const bool edge = is_edge(config_);
  const bool takes_websockets =
      http::policy_of(decision.route).websocket == http::RoutePolicy::WebSocket::kAllowed;
  decision.verdict = Verdict::kForward;
  if (edge && decision.route == http::Route::kEdgeStatus) decision.verdict = Verdict::kAnswerStatus;
  switch (facts.upgrade) {
    case http::Upgrade::kNone:
      return true;
    case http::Upgrade::kWebSocket:
      // workerd would forward any other method as GET.
      if (!takes_websockets || decision.method != http::Method::kGet) {
        return refuse_with(decision, Refusal::kBadUpgrade);
      }
      decision.verdict = Verdict::kForwardWebSocket;
      return true;
    case http::Upgrade::kOther:
      // Elsewhere an unknown Upgrade may be ignored (RFC 9110 section 7.8), and at the origin the
      // control and DERP handlers take it.
      if (!edge || !takes_websockets) return true;
      return refuse_with(decision, decision.route == http::Route::kEcho ? Refusal::kBadUpgrade
                                                                        : Refusal::kDirectPathOnly);
  }
  return true;
}

void Gate::take_lease(LimiterObject object, WallTime now, Decision& decision) {
  const limit::LeaseDecision lease = leases_->take(decision.client, decision.client_hash, now);
  // What the authority has granted or refused stands, also while it cannot be asked for more.
  const bool settled = lease.outcome == limit::LeaseDecision::Outcome::kGranted ||
                       lease.outcome == limit::LeaseDecision::Outcome::kRefused;
  if (!settled && object == LimiterObject::kUnreachable) {
    // within_limit() let it pass; the authority hears of it as soon as it can be asked again.
    leases_->note_unleased(decision.client);
    return;
  }
  switch (lease.outcome) {
    case limit::LeaseDecision::Outcome::kGranted:
      return;
    case limit::LeaseDecision::Outcome::kRefused:
      refuse_until(decision, Refusal::kTooManyRequests, lease.remaining, lease.retry_after);
      return;
    case limit::LeaseDecision::Outcome::kAsk:
      decision.verdict = Verdict::kAskLimiter;
      return;
    case limit::LeaseDecision::Outcome::kWait:
      decision.verdict = Verdict::kWaitLimiter;
      return;
  }
}

Status Gate::sign(const Request& request, const Decision& decision, WallTime now, ByteWriter& out,
                  token::AnswerProof& proof) const {
  if (parts_.signature_key == nullptr) return bug("no key to sign with");
  return token::sign_request(*parts_.signature_key, {request.method, request.target},
                             decision.client_address.view(), now, out, proof);
}

void Gate::on_answer(const Decision& decision, uint16_t status, WallTime now) {
  if (status == 401 && needs_key(decision) && decision.key == KeyVerdict::kAskOrigin) {
    (void)failures_.admit(decision.client, now);
  }
}

}  // namespace es::gate

// The exports of edge.wasm: see abi.h for the buffers. Nothing here decides anything; it carries
// texts and words between the host and the gate.
#include "common/analytics/event.h"
#include "common/gate/edge_key_check.h"
#include "common/gate/gate.h"
#include "common/gate/hardened_mark.h"
#include "common/gate/rate_limit_fields.h"
#include "common/limit/lease_authority.h"
#include "common/token/edge_keys.h"
#include "edge/abi.h"
#include "edge/config.h"
#include "edge/tables.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <optional>

#define ES_EXPORT(name) extern "C" __attribute__((export_name(#name), used))

namespace es::edge {
namespace {

// Memory of the tables: 32 bytes a client and more for busy ones; 64 bytes a leaseholder.
constexpr size_t kRequestMemory = 3 << 20;
constexpr size_t kFailureMemory = 1 << 20;
constexpr size_t kLeaseMemory = 2 << 20;
// Refusals in one second beyond this many are terse.
constexpr uint32_t kFullRefusals = 100;
constexpr size_t kMaxFields = kMaxFieldViews;
static_assert(kMaxFields == http::Limits{}.max_fields && kMaxFields <= http::FieldSet::kMost);
// Beyond the refusals, the verdicts that the log knows.
constexpr uint8_t kWebSocketVerdict = http::kNumRefusals;
constexpr uint8_t kStatusVerdict = http::kNumRefusals + 1;
constexpr size_t kNumLogVerdicts = http::kNumRefusals + 2;
constexpr uint8_t kNoMethod = 0xff;

alignas(16) uint8_t in[kInLen];
alignas(16) uint8_t out[kOutLen];
alignas(16) uint32_t words[kNumWords];
alignas(16) uint32_t lengths[2 * kMaxFields];
alignas(16) uint8_t config_text[8 * 1024];
alignas(16) uint8_t request_memory[kRequestMemory];
alignas(16) uint8_t failure_memory[kFailureMemory];
alignas(16) uint8_t lease_memory[kLeaseMemory];
http::Field field_views[kMaxFields];

// What an instance that was configured holds; never destroyed.
struct State {
  Settings settings;
  token::EdgeKeys keys;
  limit::SipKey hash_key;
  std::optional<gate::EdgeKeyCheck> key_check;
  std::optional<token::AccessVerifier> access;
  std::optional<gate::Gate> gate;
  std::array<std::string_view, http::kNumRoutes> route_names;
  std::array<std::string_view, 7> method_names;
  std::array<std::string_view, kNumLogVerdicts> verdict_names;
  int64_t refusal_second = 0;
  uint32_t num_refusals = 0;
};
alignas(State) uint8_t state_memory[sizeof(State)];
State* state = nullptr;

WallTime time_of(double now_ms) { return wall_time_ms(static_cast<int64_t>(now_ms)); }

std::string_view in_text(size_t at, size_t len) {
  return {reinterpret_cast<const char*>(in) + at, len};
}

ByteWriter writer_at(size_t at, size_t end = kOutLen) {
  return ByteWriter(MutableBytes(out).subspan(at, end - at));
}

using Fields = std::optional<std::span<const http::Field>>;

// The fields of a request, whose texts stand in `in` from `at` on.
Fields fields_at(size_t at, uint32_t num) {
  if (num > kMaxFields || at > kInLen) return std::nullopt;
  for (size_t i = 0; i < num; ++i) {
    const size_t name_len = lengths[2 * i];
    const size_t value_len = lengths[2 * i + 1];
    const size_t left = kInLen - at;
    if (name_len > left || value_len > left - name_len) return std::nullopt;
    field_views[i] = {in_text(at, name_len), in_text(at + name_len, value_len)};
    at += name_len + value_len;
  }
  return std::span<const http::Field>(field_views, num);
}

// The texts of one request.
struct RequestTexts {
  std::string_view method, url, address, authorization, access_jwt, country;
};

gate::Request as_request(const RequestTexts& texts) {
  gate::Request request;
  request.method = texts.method;
  // "http://host/target": everything behind the scheme is as the client sent it.
  const size_t scheme = texts.url.find("://");
  if (scheme != std::string_view::npos) {
    const std::string_view rest = texts.url.substr(scheme + 3);
    const size_t slash = std::min(rest.find('/'), rest.size());
    request.host = rest.substr(0, slash);
    request.target = rest.substr(slash);
  }
  request.peer = texts.address;
  request.authorization = texts.authorization;
  request.access_jwt = texts.access_jwt;
  return request;
}

// The context word: what es_answer must know of the decision.
uint32_t pack_context(const gate::Decision& decision) {
  const bool websocket = decision.verdict == gate::Verdict::kForwardWebSocket;
  const uint8_t method = decision.refusal == http::Refusal::kBadMethod
                             ? kNoMethod
                             : static_cast<uint8_t>(decision.method);
  return static_cast<uint32_t>(decision.client.kind) | static_cast<uint32_t>(decision.key) << 2 |
         (websocket ? 1U : 0U) << 4 | static_cast<uint32_t>(decision.route) << 8 |
         static_cast<uint32_t>(method) << 16;
}

limit::ClientKey unpack_client(uint32_t low, uint32_t high, uint32_t context) {
  return {static_cast<uint64_t>(high) << 32 | low,
          static_cast<limit::ClientKey::Kind>(context & 3)};
}

uint8_t route_in(uint32_t context) { return static_cast<uint8_t>(context >> 8); }
uint8_t method_in(uint32_t context) { return static_cast<uint8_t>(context >> 16); }

void record(analytics::Event& event, const limit::ClientKey& client, uint32_t context) {
  event.route = route_in(context);
  event.method = method_in(context);
  event.colo = state->settings.colo;
  event.version = state->settings.version;
  event.client_hash = limit::hash_of(state->hash_key, client);
  const analytics::NameTables names{state->route_names, state->method_names, state->verdict_names};
  ByteWriter log = writer_at(kLogAt, kPointAt);
  words[kClientAt] = static_cast<uint32_t>(analytics::write_log_line(event, names, log));
  words[kLogLen] = static_cast<uint32_t>(log.written().size());
  ByteWriter point = writer_at(kPointAt, kTextAt);
  analytics::write_data_point(event, names, point);
  words[kPointLen] = static_cast<uint32_t>(point.written().size());
}

bool is_terse(int64_t second) {
  if (second != state->refusal_second) {
    state->refusal_second = second;
    state->num_refusals = 0;
  }
  return ++state->num_refusals > kFullRefusals;
}

void refuse_now(const gate::Decision& decision, WallTime now, std::string_view country) {
  words[kRefusal] = static_cast<uint32_t>(decision.refusal);
  words[kStatus] = http::refusal_text(decision.refusal).status;
  if (is_terse(unix_seconds(now))) words[kFlags] |= kTerse;
  if (decision.retry_after.count() > 0) {
    const Seconds wait = gate::retry_after_seconds(decision.retry_after);
    words[kRetryAfter] = static_cast<uint32_t>(wait.count());
    ByteWriter text = writer_at(kTextAt);
    gate::write_rate_limit(decision.remaining, wait, text);
    words[kTextLen] = static_cast<uint32_t>(text.written().size());
  }
  analytics::Event event;
  event.time = now;
  event.verdict = static_cast<uint8_t>(decision.refusal);
  event.status = static_cast<uint16_t>(words[kStatus]);
  event.country = country;
  record(event, decision.client, words[kContext]);
}

void ask_limiter(const gate::Decision& decision, WallTime now, uint32_t wanted) {
  ByteWriter text = writer_at(kTextAt);
  limit::write_client_key(decision.client, text);
  words[kTextLen] = static_cast<uint32_t>(text.written().size());
  const auto [message, nonce] = state->gate->leases()->ask(decision.client, now, wanted);
  text.bytes(message);
  words[kSecondLen] = message.size();
  words[kExtra] = nonce;
}

// The signed text, its signature, the key's modulus and its exponent (which is the rest).
void check_access(const token::AccessStep& step) {
  ByteWriter text = writer_at(kTextAt);
  text.text(step.signing_input);
  text.bytes(step.signature);
  text.bytes(step.key->modulus());
  text.bytes(step.key->exponent());
  words[kTextLen] = static_cast<uint32_t>(step.signing_input.size());
  words[kSecondLen] = static_cast<uint32_t>(step.signature.size());
  words[kThirdLen] = static_cast<uint32_t>(step.key->modulus().size());
  words[kFourthLen] = static_cast<uint32_t>(step.key->exponent().size());
  words[kExtra] = step.keys_generation;
}

// The origin sees its own name as Host, whatever the client called the edge.
bool sign(gate::Request request, const gate::Decision& decision, WallTime now) {
  request.host = state->settings.origin_host;
  ByteWriter text = writer_at(kSignatureAt, kLogAt);
  token::AnswerProof proof;
  const bool signed_it = state->gate->sign(request, decision, now, text, proof).ok();
  words[kSignatureLen] = static_cast<uint32_t>(text.written().size());
  gate::write_hardened_mark(proof, text);
  words[kMarkLen] = static_cast<uint32_t>(text.written().size()) - words[kSignatureLen];
  return signed_it;
}

void fill_names() {
  for (size_t i = 0; i < state->route_names.size(); ++i) {
    state->route_names[i] = http::policy_of(static_cast<http::Route>(i)).name;
  }
  for (size_t i = 0; i < state->method_names.size(); ++i) {
    state->method_names[i] = http::method_name(static_cast<http::Method>(i));
  }
  for (size_t i = 0; i < http::kNumRefusals; ++i) {
    state->verdict_names[i] = http::refusal_text(static_cast<http::Refusal>(i)).name;
  }
  state->verdict_names[0] = "forward";
  state->verdict_names[kWebSocketVerdict] = "websocket";
  state->verdict_names[kStatusVerdict] = "status";
}

bool access_config(const Settings& settings, token::AccessConfig& config) {
  std::array<uint8_t, 160> buf;
  ByteWriter issuer(buf);
  issuer.text("https://");
  issuer.text(settings.access_team_domain);
  return issuer.ok() && config.issuer.assign(as_text(issuer.written())) &&
         config.audience.assign(settings.access_audience) &&
         token::AccessVerifier::check_config(config).ok();
}

std::optional<ConfigProblem> make_state(const Settings& settings, const limit::SipKey& seed) {
  const auto keys = token::derive_edge_keys(settings.token_key);
  if (!keys.ok()) {
    return ConfigProblem{"EDGE_TOKEN_KEY",
                         "must be 64 random hexadecimal digits: openssl rand -hex 32"};
  }
  state = new (state_memory) State{.settings = settings, .keys = keys.value()};
  const auto digest = state->keys.hash.mac(as_bytes("analytics client"));
  std::memcpy(&state->hash_key, digest.data(), sizeof state->hash_key);
  const auto key_check = gate::EdgeKeyCheck::create(settings.operator_key, state->keys.seal);
  if (!key_check.ok()) return ConfigProblem{"HEADSCALE_API_KEY", key_check.error().what};
  state->key_check = key_check.value();
  if (!settings.access_team_domain.empty()) {
    token::AccessConfig config;
    if (!access_config(settings, config)) return ConfigProblem{"ACCESS_AUD", "is malformed"};
    state->access.emplace(config);
  }
  gate::Config config;
  config.role = gate::Role::kEdge;
  config.requests = settings.requests;
  config.auth_failures = settings.auth_failures;
  gate::Parts parts;
  parts.request_memory = request_memory;
  parts.failure_memory = failure_memory;
  parts.lease_memory = lease_memory;
  parts.seed = seed;
  parts.key_check = state->key_check->as_key_check();
  parts.signature_key = &state->keys.signature;
  parts.access = state->access ? &*state->access : nullptr;
  auto gate = gate::Gate::create(config, parts);
  if (!gate.ok()) return ConfigProblem{"RATE_LIMIT_REQUESTS", gate.error().what};
  state->gate.emplace(gate.value());
  fill_names();
  return std::nullopt;
}

int32_t decide(const RequestTexts& texts, gate::ReadFields fields, uint32_t flags, double now_ms) {
  gate::Request request = as_request(texts);
  request.fields = fields;
  if ((flags & 1) != 0) request.limiter_object = gate::LimiterObject::kUnreachable;
  // No token at all is refused, and counted, like one that is wrong.
  if ((flags & 2) != 0) request.access_jwt = {};
  const WallTime now = time_of(now_ms);
  std::memset(words, 0, sizeof words);
  gate::Decision decision = state->gate->decide(request, now);
  words[kClientLow] = static_cast<uint32_t>(decision.client.value);
  words[kClientHigh] = static_cast<uint32_t>(decision.client.value >> 32);
  words[kContext] = pack_context(decision);
  switch (decision.verdict) {
    case gate::Verdict::kRefuse:
      refuse_now(decision, now, texts.country);
      break;
    case gate::Verdict::kForward:
    case gate::Verdict::kForwardWebSocket:
      std::memcpy(words + kForwardFields, decision.forward_fields.bits.data(),
                  sizeof decision.forward_fields.bits);
      if (!sign(request, decision, now)) {
        decision.verdict = gate::Verdict::kRefuse;
        decision.refusal = http::Refusal::kInternal;
        refuse_now(decision, now, texts.country);
      }
      break;
    case gate::Verdict::kAskLimiter:
      ask_limiter(decision, now, 1 + (flags >> 8));
      break;
    case gate::Verdict::kCheckAccess:
      check_access(decision.access);
      break;
    case gate::Verdict::kAnswerStatus:
    case gate::Verdict::kWaitLimiter:
    case gate::Verdict::kFetchAccessKeys:
    case gate::Verdict::kReadFields:
      break;
  }
  return static_cast<int32_t>(decision.verdict);
}

}  // namespace
}  // namespace es::edge

using namespace es;        // NOLINT: the exports below are the whole rest of the file
using namespace es::edge;  // NOLINT

// Eight words: address and length of in, out, words and lengths.
ES_EXPORT(es_layout) const uint32_t* es_layout() {
  static uint32_t layout[8];
  const auto address = [](const void* p) {
    return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p));
  };
  const uint32_t values[8] = {address(in),    kInLen,    address(out),     kOutLen,
                              address(words), kNumWords, address(lengths), 2 * kMaxFields};
  std::memcpy(layout, values, sizeof layout);
  return layout;
}

// `in`: 16 random bytes, then the text of config.h, `len` in all. 1: ready, and the tables stand at
// out + 0, kTextLen long. 0: the problem as "NAME reason" stands there, and behind it (kSecondLen)
// the tables, without settings. Call once.
ES_EXPORT(es_configure) int32_t es_configure(uint32_t len) {
  constexpr size_t kSeedLen = sizeof(limit::SipKey);
  ByteWriter text = writer_at(0);
  const auto fail = [&](const ConfigProblem& problem) {
    text.text(problem.name);
    text.text(" ");
    text.text(problem.reason);
    const size_t problem_len = text.written().size();
    write_tables(Settings{}, text);
    words[kTextLen] = static_cast<uint32_t>(problem_len);
    words[kSecondLen] = static_cast<uint32_t>(text.written().size() - problem_len);
    return 0;
  };
  if (len < kSeedLen || len - kSeedLen > sizeof config_text) {
    return fail({"environment", "is too large"});
  }
  limit::SipKey seed;
  std::memcpy(&seed, in, kSeedLen);
  std::memcpy(config_text, in + kSeedLen, len - kSeedLen);
  wipe(MutableBytes(in, len));
  const auto settings =
      read_settings(std::string_view(reinterpret_cast<char*>(config_text), len - kSeedLen));
  if (!settings.ok()) return fail(settings.error());
  if (const auto problem = make_state(settings.value(), seed)) return fail(*problem);
  write_tables(settings.value(), text);
  words[kTextLen] = static_cast<uint32_t>(text.written().size());
  return 1;
}

// `in`: the texts, one behind the other. `flags`: bit 0, the limiter object is unreachable for this
// request; bit 1, es_access_verified refused its Access token; bit 2, its fields do not fit; from
// bit 8, how many other requests of this client wait for a lease. Returns the gate::Verdict:
//   kRefuse                       kRefusal, kStatus, kRetryAfter; the RateLimit field at kTextAt
//   kForward, kForwardWebSocket   kForwardFields, signature and mark; call es_answer in the end
//   kAnswerStatus                 call es_answer in the end
//   kAskLimiter                   kTextAt: the object's name, then a message; kExtra: its nonce
//   kCheckAccess                  kTextAt: signed text, signature, modulus, exponent; kExtra: keys'
//                                 generation
//   kReadFields                   call es_decide_all
ES_EXPORT(es_decide)
int32_t es_decide(uint32_t method_len, uint32_t url_len, uint32_t address_len,
                  uint32_t authorization_len, uint32_t jwt_len, uint32_t country_len,
                  uint32_t flags, double now_ms) {
  size_t at = 0;
  const auto take = [&](uint32_t len) {
    const std::string_view text = in_text(at, len);
    at += len;
    return text;
  };
  RequestTexts texts;
  texts.method = take(method_len);
  texts.url = take(url_len);
  texts.address = take(address_len);
  texts.authorization = take(authorization_len);
  texts.access_jwt = take(jwt_len);
  texts.country = take(country_len);
  gate::ReadFields fields;
  if ((flags & 4) != 0) fields.read = [](void*) { return Fields(); };
  return decide(texts, fields, flags, now_ms);
}

// As es_decide, with all fields of a request that has at most kMaxFieldViews of them. `in`: method
// and URL, then names and values; `lengths`: two for each field.
ES_EXPORT(es_decide_all)
int32_t es_decide_all(uint32_t method_len, uint32_t url_len, uint32_t num_fields, uint32_t flags,
                      double now_ms) {
  static Fields fields;
  fields = fields_at(method_len + url_len, num_fields);
  RequestTexts texts;
  texts.method = in_text(0, method_len);
  texts.url = in_text(method_len, url_len);
  if (fields) {
    for (const auto& [name, value] : *fields) {
      // Told apart by length first: most are none of these.
      switch (name.size()) {
        case 12:
          if (name == "cf-ipcountry") texts.country = value;
          break;
        case 13:
          if (name == "authorization") texts.authorization = value;
          break;
        case 16:
          if (name == "cf-connecting-ip") texts.address = value;
          break;
        case 23:
          if (name == "cf-access-jwt-assertion") texts.access_jwt = value;
          break;
        default:
          break;
      }
    }
  }
  const int32_t verdict = decide(texts, {[](void*) { return fields; }}, flags, now_ms);
  if (!texts.country.empty()) {
    words[kCountryAt] = static_cast<uint32_t>(texts.country.data() - in_text(0, 0).data());
    words[kCountryLen] = static_cast<uint32_t>(texts.country.size());
  }
  return verdict;
}

// The outcome of a request that was let pass: the status that the client gets, and the refusal that
// stands behind it when the origin gave none. Writes the log line and the data point. `in` holds
// the country.
ES_EXPORT(es_answer)
void es_answer(uint32_t client_low, uint32_t client_high, uint32_t context, uint32_t status,
               uint32_t refusal, uint32_t country_len, double response_bytes, double began_ms,
               double now_ms) {
  const WallTime now = time_of(now_ms);
  const limit::ClientKey client = unpack_client(client_low, client_high, context);
  gate::Decision decision;
  decision.client = client;
  decision.route = static_cast<http::Route>(route_in(context));
  decision.key = static_cast<gate::KeyVerdict>(context >> 2 & 3);
  state->gate->on_answer(decision, static_cast<uint16_t>(status), now);

  analytics::Event event;
  event.time = now;
  event.status = static_cast<uint16_t>(status);
  event.verdict = static_cast<uint8_t>(refusal);
  if (refusal == 0 && (context >> 4 & 1) != 0) event.verdict = kWebSocketVerdict;
  if (decision.route == http::Route::kEdgeStatus) event.verdict = kStatusVerdict;
  const double elapsed = now_ms > began_ms ? now_ms - began_ms : 0;
  event.latency_ms = static_cast<uint32_t>(std::min(elapsed, 4e9));
  event.origin_latency_ms = event.latency_ms;
  event.response_bytes = response_bytes > 0 ? static_cast<uint64_t>(response_bytes) : 0;
  event.country = in_text(0, country_len);
  record(event, client, context);
}

// The limiter object's answer to kAskLimiter, in `in`; len 0: there was none. `nonce` is that of
// the message. 1: taken in.
ES_EXPORT(es_lease_reply)
int32_t es_lease_reply(uint32_t client_low, uint32_t client_high, uint32_t context, uint32_t nonce,
                       uint32_t len, double now_ms) {
  limit::LeaseTable* leases = state->gate->leases();
  const limit::ClientKey client = unpack_client(client_low, client_high, context);
  if (len > 0 && leases->on_reply(client, time_of(now_ms), Bytes(in, len)).ok()) return 1;
  leases->on_failure(client, nonce);
  return 0;
}

// The limiter object's side. `in`: the message, then the saved state, which may be empty. Writes
// the answer at out + 0 (kTextLen long) and the new state behind it (kSecondLen); kExtra: ms until
// the state may be forgotten. 0: the message is malformed.
ES_EXPORT(es_authority) int32_t es_authority(uint32_t state_len, double now_ms) {
  const auto request = limit::decode_lease_request(Bytes(in, limit::kLeaseRequestLen));
  if (!request.ok()) return 0;
  const WallTime now = time_of(now_ms);
  const limit::LeaseTerms terms{state->settings.lease, state->settings.lease_permits};
  const limit::Limit& limit = state->settings.requests;
  const Bytes saved(in + limit::kLeaseRequestLen, state_len);
  auto authority = limit::LeaseAuthority::load(limit, terms, now, saved);
  if (!authority.ok()) authority = limit::LeaseAuthority::fresh(limit, terms, now);
  if (!authority.ok()) return 0;
  ByteWriter text = writer_at(0);
  const auto reply = limit::encode(authority->handle(request.value(), now));
  text.bytes(reply);
  words[kTextLen] = reply.size();
  authority->save(text);
  words[kSecondLen] = static_cast<uint32_t>(text.written().size() - reply.size());
  const int64_t idle_ms = authority->idle_after(now).count();
  words[kExtra] = static_cast<uint32_t>(std::clamp<int64_t>(idle_ms, 0, 0x7fffffff));
  return 1;
}

// The team's key document, in `in`; len 0: it could not be fetched. 1: taken in.
ES_EXPORT(es_access_keys) int32_t es_access_keys(uint32_t len, double now_ms) {
  if (!state->access) return 0;
  const WallTime now = time_of(now_ms);
  if (len > 0 && state->access->load_keys(in_text(0, len), now).ok()) return 1;
  state->access->on_fetch_failed(now);
  return 0;
}

// The host's verdict on kCheckAccess; the token itself stands in `in` again. 0: it is refused;
// decide again with bit 1. 1: decide again.
ES_EXPORT(es_access_verified)
int32_t es_access_verified(uint32_t jwt_len, uint32_t generation, uint32_t good, double now_ms) {
  if (!state->access) return 0;
  const auto result = good != 0 ? token::SignatureResult::kGood : token::SignatureResult::kBad;
  const token::AccessStep step =
      state->access->finish(in_text(0, jwt_len), generation, result, time_of(now_ms));
  return step.outcome == token::AccessOutcome::kRefused ? 0 : 1;
}

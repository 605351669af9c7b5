#include "native/net/gatekeeper.h"

#include "common/gate/rate_limit_fields.h"
#include "common/http/target.h"
#include "common/token/edge_keys.h"

#include <array>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>

namespace es::net {
namespace {

constexpr size_t kFailureBytes = 4 * 1024 * 1024;
constexpr size_t kVerifierBytes = 1024 * 1024;  // relays are few

// Zero pages from the system: a table costs what it uses.
class ZeroedMemory {
 public:
  explicit ZeroedMemory(size_t len)
      : data_(static_cast<uint8_t*>(std::calloc(len, 1)), &std::free),
        len_(data_ != nullptr ? len : 0) {}
  MutableBytes bytes() { return {data_.get(), len_}; }

 private:
  std::unique_ptr<uint8_t, decltype(&std::free)> data_;
  size_t len_;
};

bool same(const GatekeeperOptions& a, const GatekeeperOptions& b) {
  return a.http.max_target == b.http.max_target && a.http.max_fields == b.http.max_fields &&
         a.http.max_fields_bytes == b.http.max_fields_bytes &&
         a.http.max_body_bytes == b.http.max_body_bytes && a.requests == b.requests &&
         a.auth_failures == b.auth_failures && a.verifications == b.verifications &&
         a.trusted_proxies == b.trusted_proxies && a.edge_token_key == b.edge_token_key &&
         a.limiter_bytes == b.limiter_bytes;
}

// One gate and all that it points at; never moves.
struct GateBox {
  GateBox(const GatekeeperOptions& options, KeyChecker k)
      : keys(std::move(k)), request_memory(options.limiter_bytes), failure_memory(kFailureBytes) {}

  Result<void, std::string> open(const GatekeeperOptions& options, limit::SipKey seed) {
    for (const std::string& text : options.trusted_proxies) {
      const auto cidr = gate::parse_trusted_proxy(text);
      if (!cidr.ok()) return "trusted_proxies: " + text + ": " + std::string(cidr.error().what);
      proxies.push_back(*cidr);
    }
    if (!options.edge_token_key.empty()) {
      auto derived = token::derive_edge_keys(options.edge_token_key);
      if (!derived.ok()) return "edge.token_key: " + std::string(derived.error().what);
      edge_keys.emplace(std::move(derived).value());
    }
    gate::Config config;
    config.role = gate::Role::kOrigin;
    config.http = options.http;
    config.requests = options.requests;
    config.auth_failures = options.auth_failures;
    config.signature_window = options.signature_window;
    gate::Parts parts;
    parts.request_memory = request_memory.bytes();
    parts.failure_memory = failure_memory.bytes();
    parts.seed = seed;
    parts.key_check = {[](void* self, std::string_view token, WallTime now) {
                         return static_cast<GateBox*>(self)->keys(token, now);
                       },
                       this};
    parts.signature_key = edge_keys ? &edge_keys->signature : nullptr;
    parts.trusted_proxies = proxies;
    auto made = gate::Gate::create(config, parts);
    if (!made.ok()) return "limits: " + std::string(made.error().what);
    gate.emplace(std::move(made).value());
    return {};
  }

  KeyChecker keys;
  ZeroedMemory request_memory;
  ZeroedMemory failure_memory;
  std::vector<IpPrefix> proxies;
  std::optional<token::EdgeKeys> edge_keys;
  std::optional<gate::Gate> gate;
};

// The value of a field that may stand once; several are joined, which no check accepts.
void append_joined(std::string& joined, std::string_view value) {
  if (!joined.empty()) joined += ',';
  joined += value;
}

struct NamedFields {
  std::string host;
  std::string authorization;
  std::string signature;
  std::string forwarded_for;
};

NamedFields pick_fields(const std::vector<Field>& fields) {
  NamedFields named;
  for (const Field& f : fields) {
    switch (f.name.size()) {
      case 4:
        if (same_name(f.name, "host")) append_joined(named.host, f.value);
        break;
      case 13:
        if (same_name(f.name, "authorization")) append_joined(named.authorization, f.value);
        break;
      case 15:
        if (same_name(f.name, "x-forwarded-for")) append_joined(named.forwarded_for, f.value);
        break;
      case 16:
        if (same_name(f.name, "x-edge-signature")) append_joined(named.signature, f.value);
        break;
      default:
        break;
    }
  }
  return named;
}

template <class Write>
std::string written(Write write) {
  std::array<uint8_t, gate::kMaxRateLimitLen> buffer{};
  ByteWriter out(buffer);
  write(out);
  return std::string(as_text(out.written()));
}

}  // namespace

struct Gatekeeper::State {
  mutable std::mutex mutex;
  std::unique_ptr<GateBox> box;
  std::unique_ptr<GateBox> verifiers;  // the same gate with a limiter of its own, for /verify
  KeyChecker keys;
  limit::SipKey seed;
  GatekeeperOptions options;
  // RateLimit-Policy of either limit.
  std::string request_policy;
  std::string failure_policy;
  std::string verification_policy;

  void note_policies() {
    const auto policy = [](const limit::Limit& limit) {
      return written([&](ByteWriter& out) { gate::write_rate_limit_policy(limit, out); });
    };
    request_policy = policy(box->gate->config().requests);
    failure_policy = policy(box->gate->config().auth_failures);
    verification_policy = policy(verifiers->gate->config().requests);
  }
};

namespace {

GatekeeperOptions for_verifiers(GatekeeperOptions options) {
  options.requests = options.verifications;
  options.limiter_bytes = kVerifierBytes;
  return options;
}

bool is_verification(const Request& request) {
  return request.method == "POST" && http::path_of(request.target) == "/verify";
}

}  // namespace

Gatekeeper::Gatekeeper(std::unique_ptr<State> state) : state_(std::move(state)) {}
Gatekeeper::~Gatekeeper() = default;

Result<std::unique_ptr<Gatekeeper>, std::string> Gatekeeper::create(
    const GatekeeperOptions& options, KeyChecker keys, limit::SipKey seed) {
  auto state = std::make_unique<State>();
  state->keys = keys;
  state->seed = seed;
  state->options = options;
  state->box = std::make_unique<GateBox>(options, keys);
  ES_CHECK(state->box->open(options, seed));
  const GatekeeperOptions verifiers = for_verifiers(options);
  state->verifiers = std::make_unique<GateBox>(verifiers, std::move(keys));
  ES_CHECK(state->verifiers->open(verifiers, seed));
  state->note_policies();
  return std::unique_ptr<Gatekeeper>(new Gatekeeper(std::move(state)));
}

gate::Decision Gatekeeper::decide(const Asked& asked) {
  const NamedFields named = pick_fields(asked.request.fields);
  thread_local std::vector<http::Field> views;
  views.clear();
  for (const Field& f : asked.request.fields) views.push_back({f.name, f.value});

  gate::Request request;
  request.method = asked.request.method;
  request.target = asked.request.target;
  request.host = named.host;
  request.peer = asked.peer;
  request.authorization = named.authorization;
  request.edge_signature = named.signature;
  request.forwarded_for = named.forwarded_for;
  request.channel =
      asked.trust == Trust::kLocalSocket ? gate::Channel::kLocalSocket : gate::Channel::kNetwork;
  const std::lock_guard lock(state_->mutex);
  GateBox& box = is_verification(asked.request) ? *state_->verifiers : *state_->box;
  const size_t max_fields = box.gate->config().http.max_fields;
  struct Reader {
    const std::vector<http::Field>* views;
    size_t max_fields;
  } reader{&views, max_fields};
  request.fields = {[](void* context) -> std::optional<std::span<const http::Field>> {
                      const auto* r = static_cast<const Reader*>(context);
                      if (r->views->size() > r->max_fields) return std::nullopt;
                      return std::span<const http::Field>(*r->views);
                    },
                    &reader};
  return box.gate->decide(request, asked.now);
}

Response Gatekeeper::refusal(const Request& request, const gate::Decision& decision) const {
  const http::RefusalText& text = http::refusal_text(decision.refusal);
  Response response = json_response(text.status, std::string(text.body));
  if (text.status == 401) {
    response.fields.push_back({"WWW-Authenticate", "Bearer realm=\"edgescale\""});
  }
  if (text.status == 429) {
    const Seconds wait = gate::retry_after_seconds(decision.retry_after);
    response.fields.push_back({"Retry-After", std::to_string(wait.count())});
    response.fields.push_back({"RateLimit", written([&](ByteWriter& out) {
                                 gate::write_rate_limit(decision.remaining, wait, out);
                               })});
    const std::lock_guard lock(state_->mutex);
    response.fields.push_back(
        {"RateLimit-Policy", decision.refusal == http::Refusal::kTooManyFailures
                                 ? state_->failure_policy
                             : is_verification(request) ? state_->verification_policy
                                                        : state_->request_policy});
  }
  return response;
}

Result<std::function<void()>, std::string> Gatekeeper::prepare_reload(
    const GatekeeperOptions& options) {
  // Called by one thread, so the options need no lock.
  if (same(options, state_->options)) return std::function<void()>([] {});
  struct Boxes {
    std::unique_ptr<GateBox> all;
    std::unique_ptr<GateBox> verifiers;
  };
  // std::function must be able to copy what it holds.
  const auto next = std::make_shared<Boxes>();
  next->all = std::make_unique<GateBox>(options, state_->keys);
  ES_CHECK(next->all->open(options, state_->seed));
  const GatekeeperOptions verifiers = for_verifiers(options);
  next->verifiers = std::make_unique<GateBox>(verifiers, state_->keys);
  ES_CHECK(next->verifiers->open(verifiers, state_->seed));
  return std::function<void()>([this, next, options] {
    const std::lock_guard lock(state_->mutex);
    state_->box.swap(next->all);
    state_->verifiers.swap(next->verifiers);
    state_->options = options;
    state_->note_policies();
  });
}

bool Gatekeeper::is_trusted_proxy(std::string_view address) const {
  const auto parsed = parse_ip_address(address);
  if (!parsed) return false;
  const std::lock_guard lock(state_->mutex);
  for (const IpPrefix& cidr : state_->box->proxies) {
    if (cidr.contains(*parsed)) return true;
  }
  return false;
}

limit::LimiterStats Gatekeeper::limiter_stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->box->gate->request_limiter().stats();
}

std::string_view signature_name(token::SignatureVerdict verdict) {
  switch (verdict) {
    case token::SignatureVerdict::kValid:
      return "valid";
    case token::SignatureVerdict::kMissing:
      return "missing";
    case token::SignatureVerdict::kMalformed:
      return "malformed";
    case token::SignatureVerdict::kForged:
      return "forged";
    case token::SignatureVerdict::kOutsideWindow:
      return "outside-window";
  }
  return "unknown";
}

}  // namespace es::net

// The pipeline that every request passes in both twins: validate, identify, limit, authenticate.
//
// decide() is synchronous and pure but for the gate's own tables. Cheap checks come first: the
// complete header is read (through ReadFields) only when everything else has passed, so that a
// refusal costs next to nothing. Order: request line; who asks; is that client over its limit; is
// its key good; header fields; at the edge a permit of the client's lease.
//
// A verdict that asks the host for something (kAskLimiter, kWaitLimiter, kCheckAccess,
// kFetchAccessKeys, kReadFields) has consumed nothing: the host does what it says and calls
// decide() again with the same request. Every other verdict counts the request once.
//
// Threads: callers of one Gate must not overlap. No allocation after create().
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/gate/identity.h"
#include "common/gate/key_check.h"
#include "common/http/fields.h"
#include "common/http/hardening.h"
#include "common/http/message.h"
#include "common/http/refusal.h"
#include "common/http/route.h"
#include "common/limit/client_key.h"
#include "common/limit/lease.h"
#include "common/limit/limiter.h"
#include "common/token/access_jwt.h"
#include "common/token/hmac.h"
#include "common/token/jwks.h"
#include "common/token/signature.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace es::gate {

enum class Role : uint8_t {
  kEdge,    // trusts the address that Cloudflare gives; signs what it forwards
  kOrigin,  // trusts its socket, its trusted proxies, and the edge's signature
};

struct Config {
  Role role = Role::kOrigin;
  http::Limits http;
  limit::Limit requests{100, Millis{60'000}, 20};
  // Failed authentications of one client; beyond it none of its keys is looked at.
  limit::Limit auth_failures{10, Millis{60'000}, 0};
  token::SignatureWindow signature_window;
};

// How the request reached this process.
enum class Channel : uint8_t {
  kNetwork,
  kLocalSocket,  // a unix socket: the file's permissions were the check; no limit and no key
};

enum class LimiterObject : uint8_t {
  kInUse,        // permits come from leases
  kUnreachable,  // the gate's own limit decides what no lease or refusal in hand does
};

// All header fields as received, or nullopt when there are more than Limits::max_fields. Without
// `read` a request that would pass gets kReadFields.
struct ReadFields {
  std::optional<std::span<const http::Field>> (*read)(void* context) = nullptr;
  void* context = nullptr;
};

// What the host says about a request. Absent fields are empty.
struct Request {
  std::string_view method;
  std::string_view host;    // of the URL at the edge, the Host field at the origin
  std::string_view target;  // raw path and query
  std::string_view peer;    // CF-Connecting-IP at the edge, the socket's peer at the origin
  std::string_view authorization;
  std::string_view access_jwt;      // edge: Cf-Access-Jwt-Assertion
  std::string_view edge_signature;  // origin: X-Edge-Signature
  std::string_view forwarded_for;   // origin: X-Forwarded-For, lines joined with ","
  ReadFields fields;
  Channel channel = Channel::kNetwork;
  LimiterObject limiter_object = LimiterObject::kInUse;
};

enum class Verdict : uint8_t {
  kForward,
  kForwardWebSocket,
  kAnswerStatus,     // edge: the host reports its own state
  kRefuse,           // answer Decision::refusal
  kAskLimiter,       // edge: Gate::ask_limiter(), then its reply or failure, then decide() again
  kWaitLimiter,      // edge: another request of this client is asking: wait, then decide() again
  kCheckAccess,      // edge: verify Decision::access by RS256, finish_access(), decide() again
  kFetchAccessKeys,  // edge: fetch the JWKS, load or report failure, decide() again
  kReadFields,       // edge: decide() again with Request::fields
};
inline constexpr size_t kNumVerdicts = static_cast<size_t>(Verdict::kReadFields) + 1;
std::string_view verdict_name(Verdict verdict);

using AddressText = token::BoundedText<kMaxIpAddressText>;

struct Decision {
  Verdict verdict = Verdict::kRefuse;
  http::Refusal refusal = http::Refusal::kNone;
  http::Method method = http::Method::kGet;
  http::Route route = http::Route::kOther;
  limit::ClientKey client;
  uint64_t client_hash = 0;    // where the gate's tables keep it
  AddressText client_address;  // canonical, or "unknown"
  token::SignatureVerdict signature = token::SignatureVerdict::kMissing;  // origin
  token::AnswerProof answer_proof{};      // origin, with a valid signature: for hardened_mark.h
  KeyVerdict key = KeyVerdict::kInvalid;  // where the route needs one
  http::FieldSet forward_fields;          // those of the request that may go on; kForward only
  enum class Body : uint8_t { kNone, kPresent } body = Body::kNone;
  // For the RateLimit fields of a 429: see rate_limit_fields.h.
  uint32_t remaining = 0;
  Millis retry_after{0};
  token::AccessStep access;  // kCheckAccess
};

struct Parts {
  MutableBytes request_memory;  // all zero; see limit::Limiter
  MutableBytes failure_memory;  // likewise
  MutableBytes lease_memory;    // edge: all zero; empty: no leases, the own limit decides alone
  limit::SipKey seed;
  KeyCheck key_check;
  const token::HmacKey* signature_key = nullptr;  // origin: null accepts no signature
  token::AccessVerifier* access = nullptr;        // edge: null requires no Access token
  std::span<const IpPrefix> trusted_proxies;      // origin
};

class Gate {
 public:
  // The parts must outlive the gate.
  static Result<Gate> create(const Config& config, const Parts& parts);

  Decision decide(const Request& request, WallTime now);

  // X-Edge-Signature for a request that decide() lets pass; at most token::kMaxSignatureLen.
  // `proof` is what the origin's mark on its answer will hold (hardened_mark.h).
  Status sign(const Request& request, const Decision& decision, WallTime now, ByteWriter& out,
              token::AnswerProof& proof) const;

  // Call once the answer's status is known: a key that only the origin could judge and found wrong
  // counts as a failed authentication here too.
  void on_answer(const Decision& decision, uint16_t status, WallTime now);

  limit::LeaseTable* leases() { return leases_ ? &*leases_ : nullptr; }
  token::AccessVerifier* access() { return parts_.access; }
  const limit::Limiter& request_limiter() const { return requests_; }
  const Config& config() const { return config_; }

 private:
  Gate(const Config& config, const Parts& parts, limit::Limiter requests, limit::Limiter failures)
      : config_(config), parts_(parts), requests_(requests), failures_(failures) {}

  http::Refusal validate(const Request& request, Decision& decision) const;
  void identify(const Request& request, WallTime now, Decision& decision) const;
  // The three below return false when `decision` is final (or waits for the host).
  bool within_limit(WallTime now, Decision& decision) const;
  bool authenticate(const Request& request, WallTime now, Decision& decision);
  bool check_access(const Request& request, WallTime now, Decision& decision);
  bool look_at_fields(const Request& request, Decision& decision) const;
  void take_lease(LimiterObject object, WallTime now, Decision& decision);
  bool is_counted(const Request& request, const Decision& decision) const;

  Config config_;
  Parts parts_;
  limit::Limiter requests_;
  limit::Limiter failures_;
  std::optional<limit::LeaseTable> leases_;
};

}  // namespace es::gate

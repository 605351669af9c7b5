// The origin's gate: common/gate with its tables, behind a lock, fed from a request as received.
//
// Every listener asks it before anything else happens to a request: validation, who asks, rate
// limit, key. Nothing that a client sends changes whom the limiter counts, unless the peer is a
// trusted proxy or the edge's signature is valid.
//
// Threads: any. One decision holds the lock for about a microsecond; KeyChecker runs under it, so
// it must be quick and must not call back.
#pragma once

#include "common/base/result.h"
#include "common/gate/gate.h"
#include "native/net/http.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

// Says whose API key this is; the same time for every wrong key of one length.
using KeyChecker = std::function<gate::KeyVerdict(std::string_view token, WallTime now)>;

struct GatekeeperOptions {
  http::Limits http;
  limit::Limit requests{100, Millis{60'000}, 20};
  limit::Limit auth_failures{10, Millis{60'000}, 0};
  // POST /verify, which a relay asks for each of its clients: counted apart from `requests`.
  limit::Limit verifications{2400, Millis{60'000}, 600};
  token::SignatureWindow signature_window;
  std::vector<std::string> trusted_proxies;  // CIDRs
  std::string edge_token_key;                // hexadecimal; empty: no signature is accepted
  size_t limiter_bytes = 32 * 1024 * 1024;   // of the request limiter's table
};

class Gatekeeper {
 public:
  // `seed` is 16 random bytes. The error names the option that is wrong.
  static Result<std::unique_ptr<Gatekeeper>, std::string> create(const GatekeeperOptions& options,
                                                                 KeyChecker keys,
                                                                 limit::SipKey seed);
  ~Gatekeeper();

  struct Asked {
    const Request& request;  // method, target and fields as received
    std::string_view peer;   // the socket's address
    Trust trust = Trust::kNetwork;
    WallTime now;
  };
  gate::Decision decide(const Asked& asked);

  // The answer to this request's Decision::refusal, with the fields that its status asks for.
  Response refusal(const Request& request, const gate::Decision& decision) const;

  // What exchanges limits, trusted proxies and keys when it is called, which cannot fail; until
  // then nothing changes. If any of them changed, counting starts afresh. Threads: one caller.
  Result<std::function<void()>, std::string> prepare_reload(const GatekeeperOptions& options);

  bool is_trusted_proxy(std::string_view address) const;
  limit::LimiterStats limiter_stats() const;

 private:
  struct State;
  explicit Gatekeeper(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// "valid", "missing", ...: for logs, metrics and /api/v1/edge.
std::string_view signature_name(token::SignatureVerdict verdict);

}  // namespace es::net

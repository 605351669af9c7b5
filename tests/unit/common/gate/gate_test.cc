#include "common/gate/gate.h"

#include "common/gate/edge_key_check.h"
#include "common/limit/lease_authority.h"
#include "common/token/edge_keys.h"

#include <catch2/catch.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace es::gate {
namespace {

using http::Refusal;

constexpr std::string_view kOperator = "operator-key-0123456789";
constexpr std::string_view kWebSocketKey = "dGhlIHNhbXBsZSBub25jZQ==";
const WallTime kStart = wall_time_ms(1'800'000'000'000);

// A gate with its memory, and a request that passes unless a test changes it.
class Bench {
 public:
  explicit Bench(Role role, size_t lease_memory = 0)
      : keys_(*token::derive_edge_keys(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")),
        key_check_(*EdgeKeyCheck::create(kOperator, keys_.seal)),
        memory_(2 * kTableLen + lease_memory) {
    Config config;
    config.role = role;
    Parts parts;
    const MutableBytes all(memory_);
    parts.request_memory = all.first(kTableLen);
    parts.failure_memory = all.subspan(kTableLen, kTableLen);
    parts.lease_memory = all.subspan(2 * kTableLen);
    parts.seed = {1, 2};
    parts.key_check = key_check_.as_key_check();
    parts.signature_key = &keys_.signature;
    parts.trusted_proxies = trusted_;
    gate_ = std::make_unique<Gate>(*Gate::create(config, parts));
    request.method = "GET";
    request.host = "api.example.com";
    request.target = "/health";
    request.peer = "203.0.113.9";
    request.fields = {read, this};
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  Decision decide(WallTime now = kStart) { return gate_->decide(request, now); }
  Gate& gate() { return *gate_; }
  const token::EdgeKeys& keys() const { return keys_; }

  Request request;
  std::vector<http::Field> fields{{"host", "api.example.com"}, {"user-agent", "curl/7.88.1"}};
  int num_reads = 0;

 private:
  static constexpr size_t kTableLen = 64 * 1024;

  static std::optional<std::span<const http::Field>> read(void* context) {
    Bench& self = *static_cast<Bench*>(context);
    ++self.num_reads;
    return std::span<const http::Field>(self.fields);
  }

  token::EdgeKeys keys_;
  EdgeKeyCheck key_check_;
  std::vector<uint8_t> memory_;
  std::vector<IpPrefix> trusted_{*parse_trusted_proxy("10.0.0.0/8")};
  std::unique_ptr<Gate> gate_;
};

std::string bearer(std::string_view token) { return "Bearer " + std::string(token); }

}  // namespace

TEST_CASE("a request that would pass without its fields asks for them and consumes nothing") {
  Bench bench(Role::kEdge);
  const ReadFields read = bench.request.fields;
  bench.request.fields = {};
  for (int i = 0; i < 1000; ++i) REQUIRE(bench.decide().verdict == Verdict::kReadFields);
  bench.request.fields = read;
  for (int i = 0; i < 120; ++i) REQUIRE(bench.decide().verdict == Verdict::kForward);
  bench.request.fields = {};
  CHECK(bench.decide().refusal == Refusal::kTooManyRequests);
}

TEST_CASE("a refusal needs no fields") {
  Bench bench(Role::kEdge);
  bench.request.fields = {};
  bench.request.target = "/%00";
  CHECK(bench.decide().refusal == Refusal::kControlCharacter);
  bench.request.target = "/api/v1/user";
  CHECK(bench.decide().refusal == Refusal::kUnauthorized);
}

TEST_CASE("an ordinary request passes in both twins") {
  for (const Role role : {Role::kEdge, Role::kOrigin}) {
    Bench bench(role);
    const Decision d = bench.decide();
    CHECK(d.verdict == Verdict::kForward);
    CHECK(d.refusal == Refusal::kNone);
    CHECK(d.route == http::Route::kHealth);
    CHECK(d.client_address.view() == "203.0.113.9");
    CHECK(d.forward_fields.bits != http::FieldSet{}.bits);
  }
}

TEST_CASE("a bad request line is refused before anything else is looked at") {
  struct Case {
    std::string_view method, host, target;
    Refusal refusal;
  };
  for (const Role role : {Role::kEdge, Role::kOrigin}) {
    for (const Case& c : std::vector<Case>{{"TRACE", "a", "/", Refusal::kBadMethod},
                                           {"get", "a", "/", Refusal::kBadMethod},
                                           {"GET", "a", "*", Refusal::kBadTarget},
                                           {"GET", "a", "/%00", Refusal::kControlCharacter},
                                           {"GET", "a", "/..%2f..%2fetc", Refusal::kTraversal},
                                           {"GET", "", "/", Refusal::kBadHost},
                                           {"GET", "x, y", "/", Refusal::kBadHost}}) {
      Bench bench(role);
      bench.request.method = c.method;
      bench.request.host = c.host;
      bench.request.target = c.target;
      const Decision d = bench.decide();
      CHECK(d.verdict == Verdict::kRefuse);
      CHECK(d.refusal == c.refusal);
      CHECK(bench.num_reads == 0);
    }
  }
}

TEST_CASE("120 requests pass, then 429 says when to come back, and it is true") {
  for (const Role role : {Role::kEdge, Role::kOrigin}) {
    Bench bench(role);
    for (int i = 0; i < 120; ++i) {
      REQUIRE(bench.decide(kStart + Millis{i}).verdict == Verdict::kForward);
    }
    const int reads = bench.num_reads;
    const WallTime now = kStart + Millis{500};
    const Decision refused = bench.decide(now);
    CHECK(refused.refusal == Refusal::kTooManyRequests);
    CHECK(refused.retry_after == Millis{59'500});
    CHECK(bench.num_reads == reads);
    CHECK(bench.decide(now + refused.retry_after - Millis{1}).verdict == Verdict::kRefuse);
    CHECK(bench.decide(now + refused.retry_after).verdict == Verdict::kForward);

    bench.request.peer = "203.0.113.10";
    CHECK(bench.decide(now).verdict == Verdict::kForward);
  }
}

TEST_CASE("requests refused for other reasons count too") {
  Bench bench(Role::kEdge);
  bench.fields.push_back({"x-bad", "a\x01"});
  for (int i = 0; i < 120; ++i) {
    REQUIRE(bench.decide().refusal == Refusal::kControlCharacter);
  }
  CHECK(bench.decide().refusal == Refusal::kTooManyRequests);
}

TEST_CASE("clients without an address share one limit") {
  Bench bench(Role::kEdge);
  const std::vector<std::string_view> peers{"", "unknown", "1.2.3.4, 5.6.7.8", "junk"};
  for (size_t i = 0; i < 120; ++i) {
    bench.request.peer = peers[i % peers.size()];
    REQUIRE(bench.decide().verdict == Verdict::kForward);
  }
  bench.request.peer = "another";
  const Decision d = bench.decide();
  CHECK(d.refusal == Refusal::kTooManyRequests);
  CHECK(d.client_address.view() == "unknown");
}

TEST_CASE("the API needs a good key and gives no hint") {
  Bench bench(Role::kEdge);
  bench.request.target = "/api/v1/user";
  const std::vector<std::string> bad{"",
                                     "Bearer",
                                     "Bearer ",
                                     "Basic b3BlcmF0b3I6",
                                     bearer("operator-key-0123456788"),
                                     std::string(kOperator),
                                     "Bearer  " + std::string(kOperator),
                                     bearer(kOperator) + ", Bearer x"};
  for (const std::string& authorization : bad) {
    CAPTURE(authorization);
    bench.request.authorization = authorization;
    const Decision d = bench.decide();
    CHECK(d.refusal == Refusal::kUnauthorized);
    CHECK(bench.num_reads == 0);
  }
  const std::string good = bearer(kOperator);
  bench.request.authorization = good;
  CHECK(bench.decide().verdict == Verdict::kForward);
}

TEST_CASE("failed authentications meet a stricter limit than requests") {
  Bench bench(Role::kOrigin);
  bench.request.target = "/api/v1/user";
  const uint32_t permits = Config{}.auth_failures.permits();
  for (uint32_t i = 0; i < permits; ++i) {
    REQUIRE(bench.decide().refusal == Refusal::kUnauthorized);
  }
  CHECK(bench.decide().refusal == Refusal::kTooManyFailures);
  const std::string good = bearer(kOperator);
  bench.request.authorization = good;
  const Decision d = bench.decide();
  CHECK(d.refusal == Refusal::kTooManyFailures);
  CHECK(d.retry_after == Config{}.auth_failures.window);
  // What needs no key is not affected, and the limit ends.
  bench.request.target = "/health";
  CHECK(bench.decide().verdict == Verdict::kForward);
  bench.request.target = "/api/v1/user";
  CHECK(bench.decide(kStart + d.retry_after).verdict == Verdict::kForward);
}

TEST_CASE("a key that the origin finds wrong counts as a failure at the edge") {
  Bench bench(Role::kEdge);
  bench.request.target = "/api/v1/user";
  const std::string foreign = bearer("hskey-api-0123456789ab-" + std::string(64, 'a'));
  bench.request.authorization = foreign;
  const uint32_t permits = Config{}.auth_failures.permits();
  for (uint32_t i = 0; i < permits; ++i) {
    const Decision d = bench.decide();
    REQUIRE(d.verdict == Verdict::kForward);
    bench.gate().on_answer(d, 401, kStart);
  }
  CHECK(bench.decide().refusal == Refusal::kTooManyFailures);
}

TEST_CASE("the origin takes the signed address, and nothing else that a client says") {
  Bench edge(Role::kEdge);
  edge.request.peer = "2001:db8:0:0:0:0:0:7";
  const Decision passed = edge.decide();
  std::array<uint8_t, token::kMaxSignatureLen> buf{};
  ByteWriter out(buf);
  token::AnswerProof proof;
  REQUIRE(edge.gate().sign(edge.request, passed, kStart, out, proof).ok());
  const std::string signature(as_text(out.written()));

  Bench origin(Role::kOrigin);
  origin.request.peer = "198.51.100.1";
  origin.request.host = "100.64.0.10:8080";
  origin.request.edge_signature = signature;
  Decision d = origin.decide();
  CHECK(d.signature == token::SignatureVerdict::kValid);
  CHECK(d.answer_proof == proof);
  CHECK(d.client_address.view() == "2001:db8::7");
  // The edge has counted it: the origin's own limit does not apply.
  for (int i = 0; i < 200; ++i) REQUIRE(origin.decide().verdict == Verdict::kForward);

  struct Case {
    std::string_view method, target;
    Millis later;
    token::SignatureVerdict verdict;
  };
  const token::SignatureWindow window = Config{}.signature_window;
  for (const Case& c : std::vector<Case>{
           {"HEAD", "/health", Millis{0}, token::SignatureVerdict::kForged},
           {"GET", "/healthy", Millis{0}, token::SignatureVerdict::kForged},
           {"GET", "/health?x", Millis{0}, token::SignatureVerdict::kForged},
           {"GET", "/health", window.past, token::SignatureVerdict::kValid},
           {"GET", "/health", window.past + Millis{1}, token::SignatureVerdict::kOutsideWindow},
           {"GET", "/health", -window.future - Millis{1},
            token::SignatureVerdict::kOutsideWindow}}) {
    origin.request.method = c.method;
    origin.request.target = c.target;
    d = origin.decide(kStart + c.later);
    CAPTURE(c.method, c.target, c.later.count());
    CHECK(d.signature == c.verdict);
    CHECK(d.client_address.view() ==
          (c.verdict == token::SignatureVerdict::kValid ? "2001:db8::7" : "198.51.100.1"));
  }
}

TEST_CASE("a forwarded address counts behind a trusted proxy only") {
  Bench bench(Role::kOrigin);
  bench.request.forwarded_for = "1.2.3.4";
  CHECK(bench.decide().client_address.view() == "203.0.113.9");
  bench.request.peer = "10.1.2.3";
  CHECK(bench.decide().client_address.view() == "1.2.3.4");
  Bench edge(Role::kEdge);
  edge.request.peer = "10.1.2.3";
  edge.request.forwarded_for = "1.2.3.4";
  CHECK(edge.decide().client_address.view() == "10.1.2.3");
}

TEST_CASE("the local socket needs no key and has no limit, but bad requests stay bad") {
  Bench bench(Role::kOrigin);
  bench.request.channel = Channel::kLocalSocket;
  bench.request.peer = "";
  bench.request.target = "/api/v1/user";
  for (int i = 0; i < 300; ++i) REQUIRE(bench.decide().verdict == Verdict::kForward);
  bench.fields.push_back({"x", "\x01"});
  CHECK(bench.decide().refusal == Refusal::kControlCharacter);
}

TEST_CASE("websockets pass where they belong, as GET") {
  const std::vector<http::Field> upgrade{{"upgrade", "websocket"},
                                         {"sec-websocket-version", "13"},
                                         {"sec-websocket-key", kWebSocketKey}};
  for (const Role role : {Role::kEdge, Role::kOrigin}) {
    for (const std::string_view target : {"/ts2021?X-Tailscale-Handshake=AAAA", "/derp"}) {
      Bench bench(role);
      bench.fields = upgrade;
      bench.request.target = target;
      CHECK(bench.decide().verdict == Verdict::kForwardWebSocket);
      bench.request.method = "PUT";
      CHECK(bench.decide().refusal == Refusal::kBadUpgrade);
    }
    Bench bench(role);
    bench.fields = upgrade;
    CHECK(bench.decide().refusal == Refusal::kBadUpgrade);  // /health
  }
}

TEST_CASE("native upgrades are told about the direct path at the edge and pass at the origin") {
  Bench edge(Role::kEdge);
  edge.request.method = "POST";
  edge.request.target = "/ts2021";
  CHECK(edge.decide().refusal == Refusal::kDirectPathOnly);
  edge.request.method = "GET";
  edge.request.target = "/derp";
  edge.fields = {{"upgrade", "DERP"}};
  CHECK(edge.decide().refusal == Refusal::kDirectPathOnly);

  Bench origin(Role::kOrigin);
  origin.request.method = "POST";
  origin.request.target = "/ts2021";
  origin.fields = {{"upgrade", "tailscale-control-protocol"}, {"content-length", "0"}};
  CHECK(origin.decide().verdict == Verdict::kForward);
}

TEST_CASE("the edge's state is for the operator's own key") {
  Bench bench(Role::kEdge);
  bench.request.target = "/edge/status";
  const std::string foreign = bearer("hskey-api-0123456789ab-" + std::string(64, 'a'));
  bench.request.authorization = foreign;
  CHECK(bench.decide().refusal == Refusal::kUnauthorized);
  const std::string good = bearer(kOperator);
  bench.request.authorization = good;
  CHECK(bench.decide().verdict == Verdict::kAnswerStatus);
}

TEST_CASE("at the edge permits come from leases, ten or more requests a call") {
  Bench bench(Role::kEdge, 64 * 1024);
  limit::LeaseAuthority authority =
      *limit::LeaseAuthority::fresh(Config{}.requests, limit::LeaseTerms{}, kStart);
  int num_calls = 0;
  int num_granted = 0;
  for (int i = 0; i < 121; ++i) {
    const WallTime now = kStart + Millis{i};
    Decision d = bench.decide(now);
    if (d.verdict == Verdict::kAskLimiter) {
      CHECK(bench.decide(now).verdict == Verdict::kAskLimiter);  // nothing was consumed
      ++num_calls;
      const auto ask =
          limit::decode_lease_request(bench.gate().leases()->ask(d.client, now).message);
      REQUIRE(ask.ok());
      CHECK(bench.decide(now).verdict == Verdict::kWaitLimiter);
      const limit::LeaseReplyBytes reply = limit::encode(authority.handle(*ask, now));
      REQUIRE(bench.gate().leases()->on_reply(d.client, now, reply).ok());
      d = bench.decide(now);
    }
    num_granted += d.verdict == Verdict::kForward ? 1 : 0;
    if (d.verdict == Verdict::kRefuse) CHECK(d.refusal == Refusal::kTooManyRequests);
  }
  CHECK(num_granted == 120);
  CHECK(num_calls <= 13);
}

TEST_CASE("with the limiter object unreachable the isolate's own limit decides") {
  Bench bench(Role::kEdge, 64 * 1024);
  bench.request.limiter_object = LimiterObject::kUnreachable;
  for (int i = 0; i < 120; ++i) REQUIRE(bench.decide().verdict == Verdict::kForward);
  CHECK(bench.decide().refusal == Refusal::kTooManyRequests);
}

TEST_CASE("what the authority refused stays refused when it becomes unreachable") {
  Bench bench(Role::kEdge, 64 * 1024);
  const limit::Limit one{1, Millis{60'000}, 0};
  limit::LeaseAuthority authority = *limit::LeaseAuthority::fresh(one, limit::LeaseTerms{}, kStart);
  Verdict last = Verdict::kRefuse;
  for (int i = 0; i < 2; ++i) {
    Decision d = bench.decide();
    REQUIRE(d.verdict == Verdict::kAskLimiter);
    const auto ask =
        limit::decode_lease_request(bench.gate().leases()->ask(d.client, kStart).message);
    const limit::LeaseReplyBytes reply = limit::encode(authority.handle(*ask, kStart));
    REQUIRE(bench.gate().leases()->on_reply(d.client, kStart, reply).ok());
    last = bench.decide().verdict;
  }
  REQUIRE(last == Verdict::kRefuse);
  bench.request.limiter_object = LimiterObject::kUnreachable;
  CHECK(bench.decide().refusal == Refusal::kTooManyRequests);
}

TEST_CASE("a gate that could fall open is not made") {
  CHECK_FALSE(Gate::create(Config{}, Parts{}).ok());
}

}  // namespace es::gate

#include "native/net/net_metrics.h"

#include "native/net/gatekeeper.h"

#include <array>
#include <atomic>
#include <string>
#include <unordered_map>

namespace es::net {
namespace {

constexpr std::array<std::string_view, 4> kClosedNames{"header", "body", "idle", "write"};
constexpr unsigned kFirstStatus = 100;
constexpr unsigned kNumStatuses = 500;
constexpr std::string_view kUnmatched = "unmatched";

std::string text(std::string_view view) { return std::string(view); }

}  // namespace

struct NetMetrics::State {
  // One route: its histogram, and its counters by status, made when first needed.
  struct PerRoute {
    std::string method;
    std::string pattern;
    telemetry::Histogram* latency = nullptr;
    std::array<std::atomic<telemetry::Counter*>, kNumStatuses> by_status{};
  };

  explicit State(telemetry::Metrics& m)
      : metrics(m),
        opened(m.counter("edgescale_connections_total", "Connections accepted.")),
        open(m.gauge("edgescale_connections_open", "Connections that are open.")),
        tls_failures(m.counter("edgescale_tls_handshake_failures_total", "TLS handshakes failed.")),
        bytes_in(m.counter("edgescale_http_received_bytes_total", "Bytes of request bodies.")),
        bytes_out(m.counter("edgescale_http_sent_bytes_total", "Bytes of answers.")),
        handler_failures(m.counter("edgescale_http_handler_failures_total",
                                   "Requests whose handler threw or answered too late.")),
        auth_ok(m.counter("edgescale_authentications_total", "API keys judged, by outcome.",
                          {{"outcome", "accepted"}})),
        auth_failed(m.counter("edgescale_authentications_total", "API keys judged, by outcome.",
                              {{"outcome", "refused"}})) {
    for (size_t i = 0; i < timeouts.size(); ++i) {
      timeouts[i] = &m.counter("edgescale_connection_timeouts_total",
                               "Connections ended because the peer was too slow.",
                               {{"phase", text(kClosedNames[i])}});
    }
    for (size_t i = 1; i < refusals.size(); ++i) {
      const auto& refusal = http::refusal_text(static_cast<http::Refusal>(i));
      refusals[i] = &m.counter("edgescale_gate_refusals_total", "Requests refused by the gate.",
                               {{"reason", text(refusal.name)}});
    }
    for (const std::string_view reason : {"total", "address"}) {
      refused_connection(reason);
    }
    make_route(unmatched, "any", kUnmatched);
  }

  void make_route(PerRoute& route, std::string_view method, std::string_view pattern) {
    route.method = method;
    route.pattern = pattern;
    route.latency = &metrics.histogram("edgescale_http_request_duration_seconds",
                                       "From a request's last byte to its answer's last byte.",
                                       {{"route", route.pattern}});
  }

  telemetry::Counter& refused_connection(std::string_view reason) {
    return metrics.counter("edgescale_connections_refused_total",
                           "Connections closed at once because of a limit.",
                           {{"limit", text(reason)}});
  }

  telemetry::Counter& signature(std::string_view verdict) {
    return metrics.counter("edgescale_edge_signatures_total",
                           "Requests by what X-Edge-Signature was.", {{"verdict", text(verdict)}});
  }

  telemetry::Counter& by_status(PerRoute& route, unsigned status) {
    const unsigned index = status - kFirstStatus < kNumStatuses ? status - kFirstStatus : 0;
    std::atomic<telemetry::Counter*>& slot = route.by_status[index];
    telemetry::Counter* counter = slot.load(std::memory_order_acquire);
    if (counter == nullptr) {
      counter = &metrics.counter("edgescale_http_requests_total", "Requests answered.",
                                 {{"method", route.method},
                                  {"route", route.pattern},
                                  {"status", std::to_string(index + kFirstStatus)}});
      slot.store(counter, std::memory_order_release);
    }
    return *counter;
  }

  telemetry::Metrics& metrics;
  telemetry::Counter& opened;
  telemetry::Gauge& open;
  telemetry::Counter& tls_failures;
  telemetry::Counter& bytes_in;
  telemetry::Counter& bytes_out;
  telemetry::Counter& handler_failures;
  telemetry::Counter& auth_ok;
  telemetry::Counter& auth_failed;
  std::array<telemetry::Counter*, kClosedNames.size()> timeouts{};
  std::array<telemetry::Counter*, http::kNumRefusals> refusals{};
  std::array<std::atomic<telemetry::Counter*>, 16> signatures{};
  PerRoute unmatched;
  std::unordered_map<const Route*, std::unique_ptr<PerRoute>> routes;
};

NetMetrics::NetMetrics(telemetry::Metrics& metrics) : state_(std::make_unique<State>(metrics)) {}
NetMetrics::~NetMetrics() = default;

void NetMetrics::watch(const Router& router) {
  router.for_each([this](const Route& route) {
    auto& slot = state_->routes[&route];
    slot = std::make_unique<State::PerRoute>();
    state_->make_route(*slot, route.method, route.pattern);
  });
}

void NetMetrics::connection_opened() {
  state_->opened.add();
  state_->open.add(1);
}

void NetMetrics::connection_closed() { state_->open.add(-1); }

void NetMetrics::connection_refused(std::string_view reason) {
  state_->refused_connection(reason).add();
}

void NetMetrics::connection_timed_out(Closed why) {
  state_->timeouts[static_cast<size_t>(why)]->add();
}

void NetMetrics::tls_failed() { state_->tls_failures.add(); }

void NetMetrics::answered(const Route* route, unsigned status, int64_t duration_us, size_t bytes_in,
                          size_t bytes_out) {
  const auto it = state_->routes.find(route);
  State::PerRoute& per_route = it == state_->routes.end() ? state_->unmatched : *it->second;
  state_->by_status(per_route, status).add();
  per_route.latency->observe_us(duration_us);
  state_->bytes_in.add(bytes_in);
  state_->bytes_out.add(bytes_out);
}

void NetMetrics::decided(const gate::Decision& decision) {
  if (decision.refusal != http::Refusal::kNone) {
    state_->refusals[static_cast<size_t>(decision.refusal)]->add();
  }
  if (decision.refusal == http::Refusal::kUnauthorized) state_->auth_failed.add();
  if (decision.key == gate::KeyVerdict::kValid) state_->auth_ok.add();
  const auto verdict = static_cast<size_t>(decision.signature);
  std::atomic<telemetry::Counter*>& slot = state_->signatures[verdict];
  telemetry::Counter* counter = slot.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &state_->signature(signature_name(decision.signature));
    slot.store(counter, std::memory_order_release);
  }
  counter->add();
}

void NetMetrics::handler_failed() { state_->handler_failures.add(); }

}  // namespace es::net

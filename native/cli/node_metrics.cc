#include "native/cli/node_metrics.h"

#include <utility>

namespace es::cli {
namespace {

using Kind = telemetry::Metrics::Kind;

// Series of one source: `stats` is a function that gives all of them at once.
template <class Source>
class Series {
 public:
  Series(telemetry::Metrics& metrics, const Source& source) : metrics_(metrics), source_(source) {}

  template <class Stats, class T>
  void add(const char* name, const char* help, Kind kind, T Stats::*field,
           telemetry::Labels labels = {}) {
    metrics_.read_on_demand(
        name, help, kind,
        [&source = source_, field] { return static_cast<double>(source.stats().*field); },
        std::move(labels));
  }

 private:
  telemetry::Metrics& metrics_;
  const Source& source_;
};

}  // namespace

void add_tailnet_metrics(telemetry::Metrics& metrics, const control::Tailnet& tailnet) {
  using S = control::TailnetStats;
  Series<control::Tailnet> series(metrics, tailnet);
  series.add("edgescale_nodes", "Registered nodes.", Kind::kGauge, &S::nodes);
  series.add("edgescale_nodes_active", "Nodes that are connected.", Kind::kGauge, &S::online);
  series.add("edgescale_map_sessions", "Open map streams.", Kind::kGauge, &S::sessions);
  constexpr const char* kMaps = "edgescale_maps_sent_total";
  constexpr const char* kMapsHelp = "Messages in map streams.";
  series.add(kMaps, kMapsHelp, Kind::kCounter, &S::full_maps, {{"kind", "full"}});
  series.add(kMaps, kMapsHelp, Kind::kCounter, &S::delta_maps, {{"kind", "delta"}});
  series.add("edgescale_map_queue_overflows_total",
             "Deltas of a slow client that became one whole map.", Kind::kCounter, &S::overflows);
  constexpr const char* kRegistrations = "edgescale_registrations_total";
  constexpr const char* kRegistrationsHelp = "Register requests that were decided.";
  series.add(kRegistrations, kRegistrationsHelp, Kind::kCounter, &S::registrations,
             {{"outcome", "accepted"}});
  series.add(kRegistrations, kRegistrationsHelp, Kind::kCounter, &S::refused_registrations,
             {{"outcome", "refused"}});
}

void add_relay_metrics(telemetry::Metrics& metrics, const derp::Hub& hub) {
  using S = derp::ServerStats;
  Series<derp::Hub> series(metrics, hub);
  series.add("edgescale_derp_connections", "Open DERP connections.", Kind::kGauge, &S::connections);
  series.add("edgescale_derp_connections_handshaking",
             "DERP connections that are not admitted yet.", Kind::kGauge, &S::handshaking);
  series.add("edgescale_derp_clients", "Node keys with a DERP connection.", Kind::kGauge,
             &S::clients);
  series.add("edgescale_derp_home_clients", "Clients whose home this relay is.", Kind::kGauge,
             &S::home_clients);
  series.add("edgescale_derp_queued_bytes", "Bytes that wait for slow clients.", Kind::kGauge,
             &S::queued_bytes);
  series.add("edgescale_derp_duplicate_keys", "Node keys with several connections.", Kind::kGauge,
             &S::duplicate_keys);
  series.add("edgescale_derp_connections_total", "DERP connections that were opened.",
             Kind::kCounter, &S::accepted);
  constexpr const char* kRefused = "edgescale_derp_connections_refused_total";
  constexpr const char* kRefusedHelp = "DERP connections that were not served.";
  series.add(kRefused, kRefusedHelp, Kind::kCounter, &S::refused_full, {{"reason", "limit"}});
  series.add(kRefused, kRefusedHelp, Kind::kCounter, &S::handshake_failed,
             {{"reason", "handshake"}});
  constexpr const char* kBytes = "edgescale_derp_bytes_total";
  constexpr const char* kBytesHelp = "Bytes of packets, without frame headers and keys.";
  series.add(kBytes, kBytesHelp, Kind::kCounter, &S::bytes_in, {{"direction", "in"}});
  series.add(kBytes, kBytesHelp, Kind::kCounter, &S::bytes_out, {{"direction", "out"}});
  constexpr const char* kPackets = "edgescale_derp_packets_total";
  constexpr const char* kPacketsHelp = "Packets that clients sent and got.";
  series.add(kPackets, kPacketsHelp, Kind::kCounter, &S::packets_in, {{"direction", "in"}});
  series.add(kPackets, kPacketsHelp, Kind::kCounter, &S::packets_out, {{"direction", "out"}});
  constexpr const char* kDropped = "edgescale_derp_packets_dropped_total";
  constexpr const char* kDroppedHelp = "Packets that nobody got.";
  series.add(kDropped, kDroppedHelp, Kind::kCounter, &S::dropped_queue, {{"reason", "queue_full"}});
  series.add(kDropped, kDroppedHelp, Kind::kCounter, &S::dropped_unknown,
             {{"reason", "unknown_destination"}});
  series.add(kDropped, kDroppedHelp, Kind::kCounter, &S::dropped_duplicate,
             {{"reason", "duplicate_key"}});
  constexpr const char* kGone = "edgescale_derp_peer_gone_total";
  constexpr const char* kGoneHelp = "PeerGone frames that were sent.";
  series.add(kGone, kGoneHelp, Kind::kCounter, &S::peer_gone_not_here, {{"reason", "not_here"}});
  series.add(kGone, kGoneHelp, Kind::kCounter, &S::peer_gone_disconnected,
             {{"reason", "disconnected"}});
  series.add("edgescale_derp_pings_total", "Pings of clients.", Kind::kCounter, &S::pings);
}

void add_handshake_metrics(telemetry::Metrics& metrics, const ts2021::HalfOpen& half_open) {
  metrics.read_on_demand("edgescale_control_connections_half_open",
                         "Control connections whose machine is not known yet.", Kind::kGauge,
                         [&half_open] { return half_open.taken(); });
  metrics.read_on_demand("edgescale_control_connections_waiting",
                         "Control connections whose machine waits for an approval.", Kind::kGauge,
                         [&half_open] { return half_open.waiting(); });
  metrics.read_on_demand("edgescale_control_connections_refused_total",
                         "Control connections that were refused because too many are half open.",
                         Kind::kCounter,
                         [&half_open] { return static_cast<double>(half_open.refused()); });
  metrics.read_on_demand("edgescale_control_connections_evicted_total",
                         "Control connections of unknown machines that made room for others.",
                         Kind::kCounter,
                         [&half_open] { return static_cast<double>(half_open.evicted()); });
}

void add_stun_metrics(telemetry::Metrics& metrics, const stun::Counters& counters) {
  const auto add = [&](const char* outcome, const char* family,
                       const std::atomic<uint64_t>& value) {
    metrics.read_on_demand(
        "edgescale_stun_requests_total", "Datagrams on the STUN port.", Kind::kCounter,
        [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); },
        {{"outcome", outcome}, {"family", family}});
  };
  add("answered", "ipv4", counters.answered_v4);
  add("answered", "ipv6", counters.answered_v6);
  add("ignored", "any", counters.ignored);
  add("rate_limited", "any", counters.rate_limited);
  add("send_failed", "any", counters.send_failed);
}

}  // namespace es::cli

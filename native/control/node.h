// One node of the tailnet as the control core holds it.
//
// Immutable: a change makes a new Node with a higher version, so that what was read or rendered
// once stays true for whoever holds it.
#pragma once

#include "common/base/time.h"
#include "native/store/records.h"
#include "native/tailcfg/hostinfo.h"
#include "native/tailcfg/keys.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace es::control {

// The owner of tagged nodes, as Headscale shows it.
inline constexpr uint64_t kTaggedDevicesId = 2147455555;

struct Node {
  store::Node row;
  // Parsed from the row.
  tailcfg::MachineKey machine_key;
  tailcfg::NodeKey node_key;
  tailcfg::DiscoKey disco_key;
  tailcfg::Hostinfo hostinfo;

  bool online = false;
  std::vector<std::string> primary_routes;  // approved, advertised, and served by this node now
  uint64_t version = 0;                     // grows with every change of any node

  bool tagged() const { return !row.tags.empty(); }
  bool expired(WallTime now) const { return row.expiry && *row.expiry <= now; }
  uint64_t owner() const { return row.user_id.value_or(kTaggedDevicesId); }
};
using NodePtr = std::shared_ptr<const Node>;

// nullopt when the row's keys are unreadable.
std::optional<Node> node_of_row(store::Node row);

bool is_exit_route(std::string_view prefix);
// Advertised by the host and approved by an operator.
std::vector<std::string> usable_routes(const Node& node);

}  // namespace es::control

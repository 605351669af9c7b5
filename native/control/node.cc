#include "native/control/node.h"

#include <algorithm>
#include <utility>

namespace es::control {

std::optional<Node> node_of_row(store::Node row) {
  Node node;
  const auto machine = tailcfg::MachineKey::parse(row.machine_key);
  const auto key = tailcfg::NodeKey::parse(row.node_key);
  if (!machine || !key) return std::nullopt;
  node.machine_key = *machine;
  node.node_key = *key;
  if (const auto disco = tailcfg::DiscoKey::parse(row.disco_key)) node.disco_key = *disco;
  node.hostinfo = tailcfg::hostinfo_of_text(row.hostinfo);
  node.row = std::move(row);
  return node;
}

bool is_exit_route(std::string_view prefix) { return prefix == "0.0.0.0/0" || prefix == "::/0"; }

std::vector<std::string> usable_routes(const Node& node) {
  std::vector<std::string> out;
  const auto& approved = node.row.approved_routes;
  for (const std::string& route : node.hostinfo.routable_ips) {
    if (std::find(approved.begin(), approved.end(), route) != approved.end()) out.push_back(route);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace es::control

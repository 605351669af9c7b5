// A client's idea of its network map, built from the messages it gets: the delta rules of
// Tailscale's map session, without their optimisations.
#pragma once

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <string>

namespace es::control {

class MapClient {
 public:
  using json = nlohmann::json;

  void apply(const json& map) {
    if (map.contains("Node")) self = map.at("Node");
    REQUIRE_FALSE(self.is_null());
    // An empty list says nothing.
    if (map.contains("Peers") && !map.at("Peers").empty()) {
      peers.clear();
      for (const json& node : map.at("Peers")) peers[id_of(node)] = node;
    } else {
      apply_peer_deltas(map);
    }
    if (map.contains("PacketFilters")) {
      for (const auto& [name, rules] : map.at("PacketFilters").items()) {
        if (rules.is_null()) {
          // What is deleted was there.
          CHECK(filters.erase(name) == 1);
        } else {
          filters[name] = rules;
        }
      }
    }
    if (map.contains("SSHPolicy")) ssh = map.at("SSHPolicy");
    if (map.contains("UserProfiles")) {
      for (const json& p : map.at("UserProfiles")) profiles[p.at("ID").get<uint64_t>()] = p;
    }
    for (const auto& [id, peer] : peers) {
      INFO("peer " << id);
      CHECK(profiles.contains(peer.at("User").get<uint64_t>()));
    }
  }

  // The rules of all named filters, which is what counts.
  std::multiset<std::string> rules() const {
    std::multiset<std::string> out;
    for (const auto& [name, list] : filters) {
      for (const json& rule : list) out.insert(rule.dump());
    }
    return out;
  }

  std::set<uint64_t> peer_ids() const {
    std::set<uint64_t> out;
    for (const auto& [id, peer] : peers) out.insert(id);
    return out;
  }

  json self;
  std::map<uint64_t, json> peers;
  std::map<std::string, json> filters;
  json ssh;
  std::map<uint64_t, json> profiles;

 private:
  static uint64_t id_of(const json& node) { return node.at("ID").get<uint64_t>(); }

  void apply_peer_deltas(const json& map) {
    for (const json& id : map.value("PeersRemoved", json::array())) {
      peers.erase(id.get<uint64_t>());
    }
    for (const json& node : map.value("PeersChanged", json::array())) peers[id_of(node)] = node;
    for (const json& patch : map.value("PeersChangedPatch", json::array())) {
      const auto it = peers.find(patch.at("NodeID").get<uint64_t>());
      if (it == peers.end()) continue;
      json& peer = it->second;
      for (const char* same : {"Cap", "Endpoints", "Key", "DiscoKey", "LastSeen", "KeyExpiry"}) {
        if (patch.contains(same)) peer[same] = patch.at(same);
      }
      if (patch.contains("DERPRegion")) peer["HomeDERP"] = patch.at("DERPRegion");
      if (!patch.contains("Online")) continue;
      peer["Online"] = patch.at("Online");
      if (patch.at("Online") == true) peer.erase("LastSeen");
    }
  }
};

}  // namespace es::control

#include "native/cli/policy_command.h"

#include "common/base/json_text.h"
#include "native/cli/app.h"
#include "native/cli/file_text.h"
#include "native/policy/index.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace es::cli {
namespace {

using nlohmann::json;

struct TopologyNode {
  std::string name;
  policy::Node node;
  std::vector<policy::Prefix> announced;
};

struct Tailnet {
  std::string name;
  std::vector<policy::User> users;
  std::map<policy::NodeId, TopologyNode> nodes;

  std::vector<policy::Node> all() const {
    std::vector<policy::Node> out;
    for (const auto& [id, node] : nodes) out.push_back(node.node);
    return out;
  }
};

std::optional<std::string> read_file(const std::string& path, std::string& err) {
  auto file = read_policy_text(path);
  if (file.ok()) return std::move(file->text);
  err += file.error() + "\n";
  return std::nullopt;
}

std::vector<std::string> texts(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return {};
  return it->get<std::vector<std::string>>();
}

std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? std::string() : it->get<std::string>();
}

// Users without a role: the one after whom the tailnet is called owns it; the others are admins, as
// everybody is in Headscale.
policy::User read_user(const json& object, const std::string& tailnet) {
  policy::User user;
  user.id = object.value("id", policy::UserId{0});
  user.name = text(object, "name");
  user.email = text(object, "email");
  user.provider_id = text(object, "provider_id");
  user.role =
      !user.email.empty() && user.email == tailnet ? policy::Role::kOwner : policy::Role::kAdmin;
  if (const auto role = policy::parse_role(text(object, "role"))) user.role = *role;
  return user;
}

std::vector<policy::Prefix> prefixes(const json& object, const char* key) {
  std::vector<policy::Prefix> out;
  for (const std::string& route : texts(object, key)) {
    if (const auto prefix = policy::Prefix::parse(route)) out.push_back(*prefix);
  }
  return out;
}

bool contains(const std::vector<policy::Prefix>& list, const policy::Prefix& prefix) {
  return std::find(list.begin(), list.end(), prefix) != list.end();
}

TopologyNode read_node(const std::string& name, const json& object,
                       const std::vector<policy::User>& users) {
  TopologyNode out{name, {}, prefixes(object, "routable_ips")};
  policy::Node& node = out.node;
  node.tags = texts(object, "tags");
  for (const char* key : {"ipv4", "ipv6"}) {
    if (const auto a = policy::Address::parse(text(object, key))) node.addresses.push_back(*a);
  }
  for (const policy::Prefix& route : prefixes(object, "approved_routes")) {
    if (contains(out.announced, route)) node.routes.push_back(route);
  }
  const std::string user = text(object, "user");
  for (const policy::User& u : users) {
    if (!user.empty() && (u.name == user || u.email == user)) node.user = u.id;
  }
  if (const auto it = object.find("attributes"); it != object.end() && it->is_object()) {
    for (const auto& [key, value] : it->items()) {
      node.attributes[key] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  }
  return out;
}

// Of several routers of one prefix the one with the smallest id, the oldest, is the primary. Where
// a topology has no ids nobody can know the oldest: names are then put into an arbitrary but fixed
// order (Bernstein's hash; it happens to agree with the captures in ../shared/conformance).
uint32_t name_order(const std::string& name) {
  uint32_t h = 5381;
  for (const char c : name) h = h * 33 + static_cast<uint8_t>(c);
  return h;
}

std::optional<Tailnet> read_tailnet(const std::string& path, std::string& err) {
  Tailnet tailnet;
  if (path.empty()) return tailnet;
  const auto content = read_file(path, err);
  if (!content) return std::nullopt;
  try {
    const json root = json::parse(*content);
    tailnet.name = text(root, "tailnet");
    for (const json& user : root.value("users", json::array())) {
      tailnet.users.push_back(read_user(user, tailnet.name));
    }
    std::vector<std::pair<uint32_t, std::string>> order;
    const json nodes = root.value("nodes", json::object());
    for (const auto& [name, object] : nodes.items()) order.emplace_back(name_order(name), name);
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < order.size(); ++i) {
      const json& object = nodes.at(order[i].second);
      TopologyNode node = read_node(order[i].second, object, tailnet.users);
      node.node.id = object.value("id", policy::NodeId{i + 1});
      tailnet.nodes[node.node.id] = std::move(node);
    }
  } catch (const json::exception& e) {
    err += path + ": " + e.what() + "\n";
    return std::nullopt;
  }
  return tailnet;
}

policy::ReadOptions read_options(const PolicyFiles& files, const Tailnet& tailnet) {
  policy::ReadOptions options;
  const size_t dot = files.policy.rfind('.');
  const std::string suffix = dot == std::string::npos ? "" : files.policy.substr(dot);
  if (suffix == ".yaml" || suffix == ".yml") options.format = policy::Format::kYaml;
  // A tailnet is called by its domain, or by its owner's mail address.
  const size_t sign = tailnet.name.rfind('@');
  options.tailnet_domain = sign == std::string::npos ? tailnet.name : tailnet.name.substr(sign + 1);
  return options;
}

void append_addresses(std::string& out, const std::vector<policy::Address>& addresses) {
  for (const policy::Address& a : addresses) {
    if (out.back() != '[') out += ',';
    append_json_string(out, policy::Prefix::of(a).text());
  }
}

void append_prefix(std::string& out, const policy::Prefix& prefix) {
  if (out.back() != '[') out += ',';
  append_json_string(out, prefix.text());
}

void append_peers(std::string& out, const policy::PolicyIndex& index, const Tailnet& tailnet,
                  policy::NodeId id) {
  const auto routes = index.routes_seen_by(id);
  out += '{';
  for (const policy::NodeId peer : index.peers_of(id)) {
    if (out.back() != '{') out += ',';
    append_json_string(out, tailnet.nodes.at(peer).name);
    out += ":{\"allowed_ips\":[";
    append_addresses(out, index.addresses_seen_by(id, peer));
    std::string primary = "[";
    for (const policy::SeenRoute& route : routes) {
      if (route.peer != peer) continue;
      append_prefix(out, route.prefix);
      if (route.primary()) append_prefix(primary, route.prefix);
    }
    out += "],\"primary_routes\":" + primary + "]}";
  }
  out += '}';
}

void append_node(std::string& out, const policy::PolicyIndex& index, const Tailnet& tailnet,
                 const TopologyNode& entry) {
  const policy::NodeId id = entry.node.id;
  append_json_string(out, entry.name);
  out += ":{\"packet_filter\":";
  tailcfg::append_json(out, index.filter_for(id));
  out += ",\"ssh_rules\":";
  tailcfg::append_json(out, index.ssh_rules_for(id));
  out += ",\"self_caps\":";
  tailcfg::append_json(out, index.attributes_of(id));
  out += ",\"self_allowed_ips\":[";
  append_addresses(out, index.addresses_seen_by(id, id));
  for (const policy::Prefix& route : entry.node.routes) append_prefix(out, route);
  out += "],\"peers\":";
  append_peers(out, index, tailnet, id);
  out += '}';
}

// The policy itself approves routes that are announced; what was approved by hand stays.
void approve_routes(policy::PolicyIndex& index, Tailnet& tailnet) {
  for (auto& [id, entry] : tailnet.nodes) {
    const size_t before = entry.node.routes.size();
    for (const policy::Prefix& route : entry.announced) {
      if (!contains(entry.node.routes, route) && index.approves_route(id, route)) {
        entry.node.routes.push_back(route);
      }
    }
    if (entry.node.routes.size() != before) index.put_node(entry.node);
  }
}

// Null, and the problems, if the policy is refused. Tests run when all routes are in place.
std::unique_ptr<policy::PolicyIndex> load(const PolicyFiles& files, const std::string& document,
                                          Tailnet& tailnet, policy::Problems& problems) {
  auto policy = policy::read_policy(document, read_options(files, tailnet), problems);
  if (policy == nullptr) return nullptr;
  auto index =
      std::make_unique<policy::PolicyIndex>(std::move(policy), tailnet.users, tailnet.all());
  approve_routes(*index, tailnet);
  index->run_tests(problems);
  if (!problems.empty()) return nullptr;
  return index;
}

}  // namespace

int policy_compile(const PolicyFiles& files, std::string& out, std::string& err) {
  auto tailnet = read_tailnet(files.topology, err);
  const auto document = read_file(files.policy, err);
  if (!tailnet || !document) return kExitError;
  policy::Problems problems;
  const auto index = load(files, *document, *tailnet, problems);
  if (index == nullptr) {
    out += "{\"accepted\":false,\"error\":";
    append_json_string(out, problems.text());
    out += "}\n";
    return kExitError;
  }
  std::string nodes = "{";
  for (const auto& [id, node] : tailnet->nodes) {
    if (nodes.back() != '{') nodes += ',';
    append_node(nodes, *index, *tailnet, node);
  }
  out += "{\"accepted\":true,\"nodes\":" + nodes + "}}\n";
  return kExitOk;
}

int policy_check(const PolicyFiles& files, std::string& out, std::string& err) {
  auto tailnet = read_tailnet(files.topology, err);
  const auto document = read_file(files.policy, err);
  if (!tailnet || !document) return kExitError;
  policy::Problems problems;
  if (files.topology.empty()) {
    (void)policy::read_policy(*document, read_options(files, *tailnet), problems);
  } else {
    (void)load(files, *document, *tailnet, problems);
  }
  if (!problems.empty()) {
    err += problems.text() + "\n";
    return kExitError;
  }
  out += files.topology.empty()
             ? "the policy is good; its tests were not run, since they need --topology\n"
             : "the policy is good\n";
  return kExitOk;
}

}  // namespace es::cli

// Any bytes are either refused with a problem or give a policy that compiles, in bounded time, to
// an index whose answers agree with each other. The first byte chooses the format.
#include "native/policy/index.h"
#include "native/policy/value.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace es::policy;

namespace {

Node node(NodeId id, std::optional<UserId> user, std::vector<std::string> tags,
          std::vector<std::string> routes) {
  Node n;
  n.id = id;
  n.user = user;
  n.tags = std::move(tags);
  n.addresses = {Address::v4(0x64400000 + static_cast<uint32_t>(id)),
                 {true, 0xfd7a115ca1e00000, id}};
  for (const std::string& route : routes) n.routes.push_back(*Prefix::parse(route));
  n.attributes = {{"node:os", "linux"}, {"node:tsVersion", "1.82.0"}};
  return n;
}

void check(const PolicyIndex& index, const std::vector<Node>& nodes) {
  std::string text;
  for (const Node& a : nodes) {
    es::tailcfg::append_json(text, index.filter_for(a.id));
    es::tailcfg::append_json(text, index.ssh_rules_for(a.id));
    es::tailcfg::append_json(text, index.attributes_of(a.id));
    (void)index.routes_seen_by(a.id);
    const auto peers = index.peers_of(a.id);
    for (const Node& b : nodes) {
      const bool listed = std::binary_search(peers.begin(), peers.end(), b.id);
      if (listed != index.visible(a.id, b.id)) std::abort();
      if (index.visible(a.id, b.id) != index.visible(b.id, a.id)) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const std::vector<User> kUsers{{1, "alice", "alice@example.com", "", Role::kOwner},
                                        {2, "bob", "bob@example.com", "", Role::kMember}};
  static const std::vector<Node> kNodes{
      node(1, 1, {}, {}), node(2, 2, {}, {}), node(3, {}, {"tag:a"}, {"10.0.0.0/8"}),
      node(4, {}, {"tag:a", "tag:b"}, {"10.0.0.0/8", "0.0.0.0/0", "::/0"}), node(5, {}, {}, {})};
  ReadOptions options;
  options.format = data[0] == 'y' ? Format::kYaml : Format::kHuJson;
  options.limits.document.max_bytes = 1 << 16;
  options.limits.document.max_values = 10000;
  options.limits.max_rules = 200;
  options.limits.max_port_entries = 2000;
  options.limits.max_tests = 20;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  Problems problems;
  auto policy = read_policy(text, options, problems);
  if ((policy == nullptr) == problems.empty()) std::abort();
  if (policy == nullptr) return 0;
  PolicyIndex index(std::move(policy), kUsers, kNodes);
  index.run_tests(problems);
  check(index, kNodes);
  index.remove_node(4);
  index.put_node(kNodes[3]);
  check(index, kNodes);
  return 0;
}

// What a change says it changed, against what is seen to have changed.
#include "native/policy/index.h"
#include "tests/unit/native/policy/random_policy.h"

#include <map>
#include <utility>

using namespace es::policy;
using namespace es::policy::test;

namespace {

constexpr uint64_t kSeed = 77;

struct Answers {
  std::string filter;
  std::string ssh;
  std::vector<SeenRoute> routes;
};

std::map<NodeId, Answers> ask(const PolicyIndex& index, const std::vector<Node>& nodes) {
  std::map<NodeId, Answers> out;
  for (const Node& n : nodes) {
    Answers& a = out[n.id];
    es::tailcfg::append_json(a.filter, index.filter_for(n.id));
    es::tailcfg::append_json(a.ssh, index.ssh_rules_for(n.id));
    a.routes = index.routes_seen_by(n.id);
  }
  return out;
}

// Every answer that differs is in the impact. `slots` leads from ids to slots.
void covers(const Impact& impact, const std::map<NodeId, Answers>& before,
            const std::map<NodeId, Answers>& after, const std::map<NodeId, Slot>& slots) {
  for (const auto& [id, now] : after) {
    const auto was = before.find(id);
    if (was == before.end()) continue;
    const Slot slot = slots.at(id);
    INFO("node " << id);
    if (now.filter != was->second.filter) {
      INFO(was->second.filter << " became " << now.filter);
      CHECK(impact.filters.test(slot));
    }
    if (now.ssh != was->second.ssh) {
      INFO(was->second.ssh << " became " << now.ssh);
      CHECK(impact.ssh.test(slot));
    }
    if (impact.nodes.test(slot)) continue;
    std::vector<SeenRoute> differ;
    std::set_symmetric_difference(now.routes.begin(), now.routes.end(), was->second.routes.begin(),
                                  was->second.routes.end(), std::back_inserter(differ));
    for (const SeenRoute& r : differ) {
      INFO(r.peer << " " << r.prefix.text());
      // What is gone with its node needs no word.
      if (slots.contains(r.peer)) CHECK(impact.routers.test(slots.at(r.peer)));
    }
  }
}

}  // namespace

TEST_CASE("whoever gets another answer after a change is in its impact") {
  for (uint64_t round = 0; round < 20; ++round) {
    Generator generate(kSeed + round);
    World w = generate.world(generate.sections());
    INFO("seed " << kSeed + round << ": " << generate.text());
    std::map<NodeId, Slot> slots;
    for (Node& n : w.nodes) {
      n.slot = static_cast<Slot>(n.id % 32);
      slots[n.id] = n.slot;
    }
    PolicyIndex index(w.policy, w.users, w.nodes);
    auto before = ask(index, w.nodes);
    for (int step = 0; step < 12; ++step) {
      const size_t at = generate.below(w.nodes.size());
      Impact impact;
      if (generate.below(6) == 0) {
        slots.erase(w.nodes[at].id);
        impact = index.remove_node(w.nodes[at].id);
        w.nodes.erase(w.nodes.begin() + static_cast<std::ptrdiff_t>(at));
      } else if (generate.below(6) == 0) {
        w.users[generate.below(3)].email = "u" + std::to_string(generate.below(5)) + "@x.com";
        impact = index.set_users(w.users);
      } else {
        const bool fresh = generate.below(3) == 0;
        Node n = generate.node(fresh ? 10 + static_cast<NodeId>(step) : w.nodes[at].id);
        n.slot = static_cast<Slot>(n.id % 32);
        slots[n.id] = n.slot;
        impact = index.put_node(n);
        if (fresh) {
          w.nodes.push_back(n);
        } else {
          w.nodes[at] = n;
        }
      }
      const auto after = ask(index, w.nodes);
      covers(impact, before, after, slots);
      // And it is what compiling everything again gives.
      const PolicyIndex again(w.policy, w.users, w.nodes);
      const auto expected = ask(again, w.nodes);
      for (const auto& [id, answers] : after) {
        INFO("step " << step << ", node " << id);
        CHECK(answers.filter == expected.at(id).filter);
        CHECK(answers.routes == expected.at(id).routes);
        CHECK(answers.ssh == expected.at(id).ssh);
        CHECK(index.peers_of(id) == again.peers_of(id));
      }
      before = after;
    }
  }
}

TEST_CASE("a node that changes nothing for others disturbs nobody") {
  Generator generate(kSeed);
  World w = generate.world();
  const PolicyIndex reference(w.policy, w.users, w.nodes);
  PolicyIndex index(w.policy, w.users, w.nodes);
  for (const Node& n : w.nodes) {
    const Impact impact = index.put_node(n);
    CHECK(impact.filters.none());
    CHECK(impact.ssh.none());
    CHECK(impact.routers.none());
    CHECK(impact.nodes.none());
  }
}

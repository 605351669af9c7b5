// A policy compiled for a tailnet: answers for one node without touching the others.
//
// Each list of aliases that stands in the policy becomes a set of nodes (a bit for each) and of
// address ranges, kept up to date as nodes come, change and go; rules refer to sets. A question
// about one node is a walk over the rules with a few bits tested, a change of one node sets its
// bits in the sets that its tags, user and addresses lead to. autogroup:self looks at the nodes of
// one user, via at the routers of one prefix.
//
// Sizes: bits are (sets x nodes / 8) bytes, 5 MB for 4,000 sets and 10,000 nodes. Threads: none;
// even const members fill caches of rendered text. Unknown ids give empty answers.
#pragma once

#include "native/policy/bits.h"
#include "native/policy/policy.h"
#include "native/policy/problem.h"
#include "native/policy/tailnet.h"
#include "native/tailcfg/packet_filter.h"
#include "native/tailcfg/ssh_policy.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::policy {

struct IndexState;

struct IndexOptions {
  // Before "/machine/ssh/action/..." where a client asks about a check; it ignores the host.
  std::string ssh_check_base = "https://unused";
};

// A route of a peer that a viewer gets in the peer's AllowedIPs.
struct SeenRoute {
  NodeId peer = 0;
  Prefix prefix;

  // Exit routes are in AllowedIPs, but not in PrimaryRoutes.
  bool primary() const { return !prefix.is_default(); }
  friend auto operator<=>(const SeenRoute&, const SeenRoute&) = default;
};

// The rule that decides for a connection, for `policy explain`.
struct Verdict {
  bool allowed = false;
  Position rule;  // of the rule that allows it; {} if none does or there are no rules at all
};

// For whom a change of nodes changed an answer, by slot. May name a few too many, never too few.
// The nodes that changed are in all of it as far as they are still there.
struct Impact {
  Bits filters;  // filter_for
  Bits ssh;      // ssh_rules_for
  Bits routers;  // nodes that viewers may find in routes_seen_by otherwise than before
  Bits nodes;    // that changed: attributes_of, routes_seen_by and peers_of of theirs

  void add(const Impact& other);
};

class PolicyIndex {
 public:
  PolicyIndex(std::shared_ptr<const Policy> policy, std::vector<User> users,
              const std::vector<Node>& nodes, IndexOptions options = {});
  ~PolicyIndex();
  PolicyIndex(PolicyIndex&&) noexcept;
  PolicyIndex& operator=(PolicyIndex&&) noexcept;

  // Adds a node, or replaces what was known about it.
  Impact put_node(Node node);
  Impact remove_node(NodeId id);
  // Replaces all users. Only the nodes of those whom names mean otherwise now are compiled again.
  Impact set_users(std::vector<User> users);
  // Of several routers that could serve the prefix this one does, until the prefix is gone.
  void prefer_router(const Prefix& prefix, NodeId id);

  // The packet filter, reduced to the node: what may come in to it and to what it routes.
  std::vector<tailcfg::FilterRule> filter_for(NodeId id) const;

  // Who must be in each other's network map, by ascending id. Symmetric.
  std::vector<NodeId> peers_of(NodeId id) const;
  bool visible(NodeId a, NodeId b) const;
  Bits peer_slots(NodeId id) const;

  // Routes in the AllowedIPs of peers, as this viewer sees them, sorted. One holder for a subnet
  // route; every exit node that the viewer may use. Peers that it cannot see do not count.
  std::vector<SeenRoute> routes_seen_by(NodeId viewer) const;

  // The peer's own addresses as the viewer gets them; of a node itself if both are the same. The
  // attribute disable-ipv4 takes a node's IPv4 address from everybody, and everybody's from it.
  std::vector<Address> addresses_seen_by(NodeId viewer, NodeId peer) const;
  bool ipv4_disabled(NodeId id) const;

  std::vector<tailcfg::SshRule> ssh_rules_for(NodeId id) const;

  // How long a login under a check rule lasts for this source, destination and login name; none if
  // no check rule applies.
  std::optional<std::chrono::seconds> ssh_check_period(NodeId src, NodeId dst,
                                                       std::string_view user) const;

  // Attributes that nodeAttrs and randomizeClientPort give to the node, sorted by name.
  tailcfg::CapMap attributes_of(NodeId id) const;

  // Whether autoApprovers approve the route that the node announces.
  bool approves_route(NodeId id, const Prefix& route) const;

  bool tag_exists(std::string_view tag) const;
  bool user_may_tag(UserId user, std::string_view tag) const;

  // Whether traffic between two addresses is allowed; protocol 0 is any of the default set.
  Verdict check(const Address& src, const Address& dst, int protocol, uint16_t port) const;

  // Runs "tests" and "sshTests"; every failure is a problem.
  void run_tests(Problems& problems) const;

  size_t num_nodes() const;
  size_t memory_bytes() const;  // of sets, nodes and cached text; not of the policy's document

 private:
  std::unique_ptr<IndexState> state_;
};

// Reads, checks, compiles and tests a policy in one go: how a policy comes into service. Null, and
// every problem, if it is refused.
std::unique_ptr<PolicyIndex> load_policy(std::string_view text, const ReadOptions& read,
                                         std::vector<User> users, const std::vector<Node>& nodes,
                                         Problems& problems, IndexOptions options = {});

}  // namespace es::policy

// What a PolicyIndex is made of. Internal to the room.
#pragma once

#include "native/policy/bits.h"
#include "native/policy/index.h"
#include "native/policy/range_index.h"
#include "native/policy/slot_table.h"

#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

namespace es::policy {

using Texts = std::vector<std::string>;

inline uint64_t hash_of(NodeId id) { return (id ^ (id >> 32)) * 0xff51afd7ed558ccd; }
inline uint64_t hash_of(const Address& a) {
  uint64_t h = (a.hi ^ (a.v6 ? 0x9e3779b97f4a7c15 : 0)) * 0xff51afd7ed558ccd;
  h = (h ^ (h >> 32) ^ a.lo) * 0xc4ceb9fe1a85ec53;
  return h ^ (h >> 29);
}

// One alias: who is in it. Either nodes by identity (a tag, a user) or addresses.
struct Selector {
  Alias alias;
  bool identity = false;
  AddressSet addresses;        // of an address selector
  Bits own;                    // nodes that are in it, by identity or by an address of theirs
  std::vector<uint32_t> sets;  // that contain this selector
};

// A list of aliases as it stands in a rule, each list once.
struct SelectorSet {
  std::vector<uint32_t> selectors;
  std::vector<const Posture*> postures;  // if any: members must satisfy one of them
  bool any = false;                      // has *
  bool everything = false;               // has autogroup:danger-all
  bool lists = false;                    // its source text lists nodes that are members
  bool internet = false;                 // reaches the internet: *, autogroup:internet, a /0
  bool public_range = false;             // has public addresses: exit nodes get the rule
  Bits own;                              // nodes that are members
  Bits routed;                           // nodes that route to a range of it
  Bits routes;                           // numbers of the subnet routes that overlap a range of it

  // The wire form as a source, rendered when first asked for.
  mutable std::shared_ptr<const Texts> text;
  mutable uint64_t text_hash = 0;
  mutable uint64_t text_routes = 0;  // IndexState::routes_version when it was rendered

  bool all_routes() const { return (any || everything) && postures.empty(); }
  bool covers_route(uint32_t route) const { return all_routes() || routes.test(route); }
};

struct Rule {
  const Grant* grant = nullptr;
  uint32_t src = 0;      // sets
  uint32_t dst = 0;      // destinations but autogroup:self
  uint32_t via = 0;      // tags; only if steered
  bool self = false;     // has autogroup:self among its destinations
  bool steered = false;  // has via
};

struct SshEntry {
  const SshPolicyRule* rule = nullptr;
  uint32_t src = 0;
  uint32_t dst = 0;
  bool self = false;
  std::vector<std::pair<std::string, std::string>> users;  // as SshRule::ssh_users
  std::vector<std::string> localpart_domains;              // lower case
};

struct NodeEntry {
  Node node;
  bool used = false;
  bool tagged = false;
  bool exit = false;
  std::vector<uint32_t> selectors;  // that it is in, each once
  std::vector<uint32_t> routes;     // numbers of its subnet routes
};

// A subnet route that one or more nodes serve.
struct Route {
  Prefix prefix;
  std::vector<Slot> routers;   // by ascending node id
  Slot preferred = kAnySlot;   // serves as long as it can
  std::vector<uint32_t> sets;  // that overlap it, each once; not those with all_routes()
};

struct UserEntry {
  User user;
  std::string localpart;            // of the mail address; empty if it has none
  std::string domain;               // lower case
  std::vector<uint32_t> selectors;  // that untagged devices of this user are in
  std::vector<Slot> nodes;          // untagged devices
};

struct UserTable {
  std::vector<UserEntry> users;
  std::unordered_map<UserId, size_t> at;
};

// Up to so many nodes a list names each address, which is what the hosted service does; beyond it,
// neighbouring addresses become ranges, or a list of 10,000 nodes would fill every filter.
inline constexpr size_t kMaxListedNodes = 64;

// What others read of a node: two of them tell what a change changed.
struct Footprint {
  bool there = false;
  Slot slot = 0;
  Node node;
  std::vector<uint32_t> sets;  // that it is a member of, ascending
  // Of these, those whose source text has its addresses: twice the set, and one more if it has all
  // of them, by identity, rather than those in a range.
  std::vector<uint32_t> listed;
  std::vector<uint32_t> full;  // of these, those too large to list every address
  std::vector<Slot> devices;   // of its user
  std::string login;           // what localpart: rules make of its user
  std::vector<Slot> routers;   // it, and those that share a route with it
};

struct IndexState {
  IndexState(std::shared_ptr<const Policy> p, std::vector<User> u, IndexOptions o);

  // Building (index.cc).
  uint32_t intern(const std::vector<Alias>& aliases, const std::vector<std::string>& postures);
  uint32_t intern_selector(const Alias& alias);
  uint32_t intern_tags(const std::vector<std::string>& tags);
  void compile_rules();
  void compile_users();
  void add_users(std::vector<User> list);
  void swap_users(UserTable& other);
  std::vector<Slot> nodes_of_changed_users(UserTable& fresh) const;
  bool user_matches(const UserEntry& user, const Alias& alias) const;
  const UserEntry* find_user(std::string_view name) const;

  // What a change of one node changes for others (index_change.cc).
  Footprint footprint(Slot slot) const;
  Impact impact_of(const Footprint& before, const Footprint& after) const;
  void add_filter_readers(const std::vector<uint32_t>& changed_sets, Bits& out) const;
  void add_ssh_readers(const Footprint& node, const std::vector<uint32_t>& of_sets,
                       Bits& out) const;

  // Nodes (index_nodes.cc).
  void add(Node node);
  void remove(Slot slot);
  void join_selector(Slot slot, uint32_t selector);
  void join_set(Slot slot, uint32_t set);
  void fill_sets();
  void join_routes(Slot slot);
  void leave_routes(Slot slot);
  uint32_t route_number(const Prefix& prefix);
  bool posture_holds(const SelectorSet& set, const Node& node) const;
  const NodeEntry* find(NodeId id, Slot& slot) const;
  Slot owner_of(const Address& a) const;  // kAnySlot: no node
  const NodeEntry& at(Slot slot) const { return nodes[slot]; }
  const std::vector<Slot>& own_devices(const NodeEntry& node) const;

  // Who gets a rule in its filter, and from whom (visibility.cc).
  bool receives(const Rule& rule, Slot slot) const;
  void add_receivers(const Rule& rule, Bits& out) const;
  bool sends(const Rule& rule, Slot slot) const {
    return sets[rule.src].own.test(slot) || sets[rule.src].routed.test(slot);
  }

  // The wire form of sources (source_text.cc).
  const std::shared_ptr<const Texts>& source_text(const SelectorSet& set) const;
  Texts texts_of(const SelectorSet& set) const;
  bool routes_overlap(const NodeEntry& node, const Range& range) const;

  // SSH: the sources to which the entry opens the node (ssh.cc).
  Bits ssh_own_sources(const SshEntry& entry, Slot slot) const;
  Bits ssh_sources(const SshEntry& entry, Slot slot) const;
  bool ssh_user_allowed(const SshEntry& entry, Slot source, std::string_view login) const;
  const std::string* localpart_of(const SshEntry& entry, const NodeEntry& source) const;

  // One connection (connection.cc), protocols and ports aside.
  bool named(const SelectorSet& set, const Address& a, bool as_source) const;
  bool leads_to(const Rule& rule, const Address& dst) const;
  bool same_owner(const Address& a, const Address& b) const;

  std::shared_ptr<const Policy> policy;
  IndexOptions options;
  Grant allow_all;  // stands in where the policy has no rules
  std::vector<Selector> selectors;
  std::vector<SelectorSet> sets;
  std::vector<Rule> rules;
  std::vector<SshEntry> ssh;
  std::vector<std::pair<const NodeAttr*, uint32_t>> attributes;
  std::vector<uint32_t> ipv4_disabled;  // sets of nodes
  std::vector<std::pair<Prefix, uint32_t>> route_approvers;
  uint32_t exit_approvers = 0;

  std::unordered_map<std::string, uint32_t> selector_ids;  // by text
  std::unordered_map<std::string, uint32_t> set_ids;
  std::unordered_map<std::string, uint32_t> tag_selectors;
  std::vector<uint32_t> any_selectors;  // that every node is in
  std::vector<uint32_t> tagged_selectors;
  std::vector<uint32_t> member_selectors;
  std::vector<uint32_t> internet_sets;
  RangeIndex ranges;  // of address selectors

  std::vector<UserEntry> users;
  std::unordered_map<UserId, size_t> user_at;

  std::deque<NodeEntry> nodes;  // by slot; growing moves none
  std::vector<Slot> free_slots;
  SlotTable slots_by_id;
  SlotTable slots_by_address;
  bool filling = false;  // nodes join selectors only; fill_sets() does the rest
  Bits exits;
  std::vector<Route> routes;
  std::vector<uint32_t> free_routes;
  std::map<Prefix, uint32_t> route_ids;
  uint64_t routes_version = 1;
};

uint64_t hash_texts(const Texts& texts);
Texts address_texts(const std::vector<Address>& addresses);
bool protocol_matches(const ProtocolPorts& ip, int protocol);  // 0: any of the default set
bool port_matches(const ProtocolPorts& ip, uint16_t port);

}  // namespace es::policy

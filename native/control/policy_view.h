// What a policy says to each node, in the form in which clients get it.
//
// A packet filter goes out as one named filter for each of its rules, the name being a hash of the
// rule: a change sends the rules that changed, and a list of sources that stands in the filters of
// many nodes is rendered and compressed once for all of them.
// Threads: none; the tailnet's lock.
#pragma once

#include "native/control/map_payload.h"
#include "native/control/node.h"
#include "native/policy/index.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace es::control {

using SeenRoutes = std::shared_ptr<const std::vector<policy::SeenRoute>>;

struct NamedRule {
  uint64_t name = 0;
  tailcfg::FilterRule rule;
};
// By ascending name, each once.
using NamedFilter = std::vector<NamedRule>;

// A document that was read, compiled for a tailnet as it was at `version`, and tested.
struct CompiledPolicy {
  std::shared_ptr<const policy::Policy> policy;
  std::unique_ptr<policy::PolicyIndex> index;
  uint64_t version = 0;
  uint64_t users_version = 0;
  std::vector<uint64_t> nodes;
};

// What one client has of the policy, and what it has yet to get.
struct PolicyState {
  std::vector<uint64_t> rules;  // names of its filter's rules
  uint64_t ssh = 0;             // hashes
  uint64_t attributes = 0;
  SeenRoutes routes;
  bool ipv4_disabled = false;
  std::shared_ptr<const NamedFilter> next_filter;  // null: no other than it has
  std::shared_ptr<const std::string> next_ssh;
};

// A check rule, and the nodes that it holds for.
struct SshCheck {
  std::chrono::seconds period{};  // how long an approval lasts; zero: for one log-in
  uint64_t policy_epoch = 0;      // of the policy that has it
  NodePtr source;
  NodePtr destination;
  std::string source_owner;  // a log-in name, or that of tagged devices
};

class PolicyView {
 public:
  explicit PolicyView(std::unique_ptr<policy::PolicyIndex> index) : index_(std::move(index)) {}

  policy::PolicyIndex& index() { return *index_; }
  const policy::PolicyIndex& index() const { return *index_; }

  NamedFilter filter_of(uint64_t id);
  std::string ssh_of(uint64_t id) const;         // tailcfg.SSHPolicy
  std::string attributes_of(uint64_t id) const;  // members of a CapMap, each with a comma first
  SeenRoutes routes_of(uint64_t id);             // equal ones are one object

  // Appends "PacketFilters" with what leads from the filter of these names to `filter`.
  void write_filter(const std::vector<uint64_t>& from, const NamedFilter& filter, MapPayload& out);
  // The same to the filter of a tailnet without a policy.
  static void write_open_filter(const std::vector<uint64_t>& from, MapPayload& out);

 private:
  struct Source {
    std::shared_ptr<const std::vector<std::string>> list;  // keeps the address from being reused
    uint64_t hash = 0;
    std::shared_ptr<const MapPiece> piece;  // null until it is written
  };
  Source& source(const std::shared_ptr<const std::vector<std::string>>& list);
  uint64_t name_of(const tailcfg::FilterRule& rule);
  void write_shared(const tailcfg::FilterRule& rule, std::string& text, MapPayload& out);

  std::unique_ptr<policy::PolicyIndex> index_;
  std::unordered_map<const void*, Source> sources_;
  size_t kept_sources_ = 256;
  std::unordered_map<uint64_t, std::weak_ptr<const std::vector<policy::SeenRoute>>> routes_;
  size_t kept_routes_ = 256;
};

// The filter without a policy, under its own name.
inline constexpr uint64_t kOpenRule = 0;
// Stands in a filter without rules: clients need one to be told that nothing is allowed.
inline constexpr uint64_t kNoRule = 1;

uint64_t hash_text(std::string_view text);

}  // namespace es::control

// The parts of Tailnet that its source files share. Internal to the room.
#pragma once

#include "native/control/map_session.h"
#include "native/control/tailnet.h"

#include <array>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace es::control {

struct Tailnet::Entry {
  NodePtr node;
  uint32_t slot = 0;                         // in Tailnet::slots_, and of the policy's bits
  policy::Bits peers;                        // who sees it, by slot; only with a policy
  uint64_t policy_epoch = 0;                 // of the policy that these are by
  bool ipv4_disabled = false;                // by the policy
  MapSession* session = nullptr;             // the newest one
  std::optional<WallTime> offline_at;        // its session ended; peers learn it then
  WallTime last_contact{};                   // for ephemeral nodes: the timer's start
  bool responsive = true;                    // false: a router that did not answer a probe
  bool expiry_announced = false;             // peers know that the key has expired
  bool info_stored = true;                   // SetNodeInfo has nothing to add
  std::shared_ptr<const MapPiece> rendered;  // as a peer: "," and the node's JSON
  uint64_t rendered_version = 0;
  // As viewers get it who do not see what most see of it, by what they see.
  std::map<std::string, std::shared_ptr<const MapPiece>> variants;
};

// Peers that most viewers see in the same way leave in one frame, which compresses several times
// better than frames of their own and is made once for all viewers.
struct Tailnet::PeerBlock {
  static constexpr size_t kSlots = 32;

  bool stale = true;
  policy::Bits members;                   // slots
  std::shared_ptr<const MapPiece> first;  // begins the list of peers
  std::shared_ptr<const MapPiece> later;  // null: viewers see different things of a member
};

// What one change of one node makes for all who need to hear nothing else.
struct Tailnet::SharedDelta {
  uint64_t id = 0;
  uint64_t version = 0;
  uint8_t marks = 0;
  Compression compression = Compression::kNone;
  WallTime at{};
  MapMessage message;

  bool same_but_time(const SharedDelta& other) const {
    return id == other.id && version == other.version && marks == other.marks &&
           compression == other.compression;
  }
};

struct Tailnet::Registration {
  tailcfg::MachineKey machine;
  tailcfg::RegisterRequest request;
  WallTime created{};
  std::vector<Waiter> waiters;
  bool deciding = false;  // an approval is on its way to the database
  std::optional<limit::ClientKey> network{};

  size_t bytes() const { return request.hostinfo.full_json.size(); }
  // Nobody would miss it.
  bool idle() const { return !deciding && waiters.empty(); }
};

struct Tailnet::Registering {
  const tailcfg::MachineKey& machine;
  const tailcfg::RegisterRequest& request;
  WallTime now;
  Ticket ticket;
  RegisterAnswer answer;
  const std::optional<limit::ClientKey>& network;

  // Answers after the lock is released.
  void reply(tailcfg::RegisterResponse response, Calls& calls) {
    calls.push_back(
        [answer = std::move(answer), response = std::move(response)] { answer(response); });
  }
  void refuse(std::string text, Calls& calls) {
    tailcfg::RegisterResponse response;
    response.error = std::move(text);
    reply(std::move(response), calls);
  }
};

struct Tailnet::Grant {
  std::optional<uint64_t> user_id;  // none: owned by the tags
  std::vector<std::string> tags;
  std::optional<uint64_t> vouched_by;  // who owns the tags that the client asked for
  std::optional<uint64_t> pre_auth_key_id;
  bool use_key = false;  // it may be used once: take it in the same transaction
  bool ephemeral = false;
  std::string method;  // store::Node::register_method
};

// Something has changed that a policy looks at.
bool differs_for_policy(const Node& a, const Node& b);

template <class F>
void Tailnet::for_viewers(const Entry& entry, F&& f) {
  if (policy_ == nullptr) {
    for (Entry* const viewer : slots_) {
      if (viewer != nullptr && viewer != &entry && viewer->session != nullptr) f(*viewer);
    }
    return;
  }
  entry.peers.for_each([&](uint32_t slot) {
    Entry* const viewer = slot < slots_.size() ? slots_[slot] : nullptr;
    if (viewer != nullptr && viewer->session != nullptr) f(*viewer);
  });
}

inline void run(const std::vector<std::function<void()>>& calls) {
  for (const auto& call : calls) call();
}

inline std::string address_text(const IpAddress& address) {
  std::array<uint8_t, kMaxIpAddressText> text{};
  ByteWriter out(text);
  write_ip_address(address, out);
  return std::string(as_text(out.written()));
}

template <class F>
void Tailnet::change(Entry& entry, uint8_t marks, Calls& calls, F&& edit) {
  auto next = std::make_shared<Node>(*entry.node);
  edit(*next);
  next->version = ++version_;
  quiet_until_ = {};
  const NodePtr before = std::exchange(entry.node, std::move(next));
  spoil_block(entry);
  if (policy_ != nullptr && differs_for_policy(*before, *entry.node)) follow(entry, calls);
  if (marks != 0) mark(entry, marks, calls);
}

}  // namespace es::control

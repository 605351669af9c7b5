// The tailnet: its nodes, their registrations, and who must learn what about whom.
//
// A change costs what it changes: it makes one new Node, marks it in the sessions that see it, and
// wakes them. Nothing is rendered until a session asks (MapSession::take), and what is rendered is
// rendered once for all viewers. A session that is slow only finds its marks merged: its queue is
// bounded by the number of nodes, never by the number of changes.
//
// Durable changes (registration, names, tags, expiry, routes) are applied when their commit is on
// disk and answered after that. What a node says of itself is applied at once and stored behind.
//
// Threads: every method from any thread. Answers and wake callbacks may come on the caller's or the
// store's thread and must not block or call back into the tailnet.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "common/limit/client_key.h"
#include "native/control/address_pool.h"
#include "native/control/directory.h"
#include "native/control/map_payload.h"
#include "native/control/node.h"
#include "native/control/node_name.h"
#include "native/control/policy_view.h"
#include "native/control/registration.h"
#include "native/control/tailnet_options.h"
#include "native/tailcfg/map_request.h"
#include "native/tailcfg/node.h"
#include "native/tailcfg/register.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace es::control {

// Clients before 1.80 are told to update.
inline constexpr uint32_t kMinCapabilityVersion = 113;

class MapSession;

class Tailnet {
 public:
  using RegisterAnswer = std::function<void(tailcfg::RegisterResponse)>;
  using Ticket = uint64_t;

  // `directory` must outlive the tailnet and feed its commits to apply(). Refuses stored nodes that
  // cannot be read and options that cannot serve.
  static Result<std::unique_ptr<Tailnet>, Refusal> create(Directory& directory,
                                                          std::vector<store::Node> nodes,
                                                          TailnetOptions options, WallTime now);
  ~Tailnet();
  Tailnet(const Tailnet&) = delete;
  Tailnet& operator=(const Tailnet&) = delete;

  // Commits of the store, in order.
  void apply(std::span<const store::Transaction> commits);
  // Offline and ephemeral nodes, expired keys and registrations. Call about once a second.
  void tick(WallTime now);

  // POST /machine/register. The answer may wait for an approval; abandon() forgets it. `network` is
  // whom the client counts against as a stranger; nothing: nobody.
  Ticket register_node(const tailcfg::MachineKey& machine, const tailcfg::RegisterRequest& request,
                       WallTime now, RegisterAnswer answer,
                       const std::optional<limit::ClientKey>& network = {});
  void abandon(Ticket ticket);

  // POST /machine/map. Both refuse a node key that is unknown or belongs to another machine.
  Status update(const tailcfg::MachineKey& machine, const tailcfg::MapRequest& request,
                WallTime now);
  // A new session of a node ends the one before. `wake` is called when take() may have something.
  Result<std::shared_ptr<MapSession>> open_session(const tailcfg::MachineKey& machine,
                                                   const tailcfg::MapRequest& request, WallTime now,
                                                   std::function<void()> wake);

  // What every node is told besides its peers. A change is sent to every session as that one field;
  // the same text again is no change.
  void set_dns_config(std::string json);
  void set_derp_map(std::string json);

  // Puts a tailcfg.PingRequest (its JSON) into the node's next message; false: it has no session,
  // or too many wait there.
  bool send_ping(uint64_t id, std::string ping_request_json);
  // Connected nodes that serve, or could serve, a route which several nodes offer: ascending ids.
  std::vector<uint64_t> contested_routers() const;
  // A router that did not answer what it was asked then loses its routes to one that does, unless
  // it was heard of since. A new session clears it.
  void set_responsive(uint64_t id, bool responsive, WallTime asked);

  // For the API and for DERP admission.
  std::vector<NodePtr> nodes() const;  // ascending by id
  NodePtr node(uint64_t id) const;     // null: there is none
  bool knows(const tailcfg::NodeKey& key) const;
  bool knows(const tailcfg::MachineKey& key) const;  // it has a node here, which may have expired
  // What waits under this id; nullopt: nothing does.
  std::optional<PendingRegistration> registration(std::string_view auth_id) const;
  // The node with this key, if it is this machine's.
  NodePtr node_of(const tailcfg::MachineKey& machine, const tailcfg::NodeKey& key) const;
  // Approves a registration that waits under this id, for this user.
  void approve(std::string_view auth_id, uint64_t user_id, WallTime now, Answer<NodePtr> answer);
  void reject(std::string_view auth_id, Answer<void> answer);
  void rename(uint64_t id, std::string_view label, Answer<NodePtr> answer);
  void set_tags(uint64_t id, std::vector<std::string> tags, Answer<NodePtr> answer);
  // Nothing: the key never expires.
  void set_expiry(uint64_t id, std::optional<WallTime> expiry, Answer<NodePtr> answer);
  void approve_routes(uint64_t id, std::vector<std::string> routes, Answer<NodePtr> answer);
  void remove(uint64_t id, Answer<void> answer);
  // Gives and takes addresses until every node fits the prefixes; says what it changed.
  void backfill_addresses(Answer<std::vector<std::string>> answer);

  // For debugging: the whole map (JSON) that the node would get now; nullopt: there is no such
  // node. And a registration under a chosen id that no client asked for.
  std::optional<std::string> full_map(uint64_t id, WallTime now);
  Result<PendingRegistration, Refusal> add_registration(std::string_view auth_id,
                                                        std::string_view hostname,
                                                        const std::vector<std::string>& routes,
                                                        WallTime now);

  // The policy (tailnet_policy.cc). Without one everybody may talk to everybody and sees everybody.
  // Reads a document, compiles it for the nodes as they are and runs its tests: null, and every
  // problem, if it is refused. Does not hold the tailnet up.
  std::unique_ptr<CompiledPolicy> compile_policy(std::string_view text,
                                                 policy::Problems& problems) const;
  // Puts it into service; connected nodes are told what it changes for them, the others nothing.
  // Takes as long as looking at every connected node, mostly without holding the tailnet up.
  void install_policy(std::unique_ptr<CompiledPolicy> compiled);
  bool has_policy() const;
  // Which rule decides; nothing without a policy.
  std::optional<policy::Verdict> explain(const policy::Address& src, const policy::Address& dst,
                                         int protocol, uint16_t port) const;
  // What the policy says of a log-in by SSH that needs a check; nullopt: it has no check rule for
  // it, or there is no such node.
  std::optional<SshCheck> ssh_check(uint64_t source, uint64_t destination,
                                    std::string_view login) const;

  TailnetStats stats() const;

 private:
  friend class MapSession;

  // What a session has to say about a node.
  enum Mark : uint8_t {
    kWhole = 1,
    kRemoved = 2,
    kOnline = 4,
    kEndpoints = 8,
    kHomeDerp = 16,
    kDisco = 32,
    kKey = 64,
    kCapability = 128,
  };
  // What the policy makes for a session's own node, and may have to be made again.
  enum View : uint8_t { kFilter = 1, kSsh = 2, kRoutes = 4, kAttributes = 8, kAllViews = 15 };
  struct Entry;         // a node and what hangs on it
  struct PeerBlock;     // neighbours in slots_, rendered together
  struct SharedDelta;   // a message that many sessions are to get
  struct Registration;  // waits for an approval
  struct Waiter {
    Ticket ticket = 0;
    RegisterAnswer answer;
  };
  enum Shared : uint8_t { kDnsConfig = 1, kDerpMap = 2 };
  // Calls to make once the lock is released.
  using Calls = std::vector<std::function<void()>>;

  Tailnet(Directory& directory, TailnetOptions options, AddressPool pool);

  // All below: under the lock.
  Entry* find(uint64_t id);
  Entry* find(const tailcfg::NodeKey& key);
  Entry* entry_of(const tailcfg::MachineKey& machine, const tailcfg::NodeKey& key);
  Entry& insert(Node node);
  void erase(uint64_t id, Calls& calls);
  // Replaces the node with what `change` makes of a copy, and marks it.
  template <class F>
  void change(Entry& entry, uint8_t marks, Calls& calls, F&& edit);
  void mark(Entry& entry, uint8_t marks, Calls& calls);
  void mark_one(MapSession* viewer, uint64_t id, uint8_t marks, Calls& calls);
  // Calls f(Entry&) for every node that sees this one and has a session.
  template <class F>
  void for_viewers(const Entry& entry, F&& f);
  void mark_self(Entry& entry, Calls& calls);
  static void end_session(Entry& entry, Calls& calls);
  void look_at_nodes(WallTime now, Calls& calls);
  [[nodiscard]] bool set_expired(Entry& entry, bool expired, Calls& calls);
  void choose_primaries(Calls& calls);
  void mark_shared(uint8_t shared, Calls& calls);
  void wake(MapSession& session, Calls& calls);
  void set_online(Entry& entry, bool online, WallTime now, Calls& calls);
  void apply_change(const store::Change& change, Calls& calls);
  void apply_routes(uint64_t id, const std::vector<std::string>& approved, Calls& calls);
  // The store may answer inside the call, so it is asked once the lock is released.
  void submit(store::Transaction transaction, store::Store::Done done, Calls& calls);
  void store_info(Entry& entry, Calls& calls);

  // The policy's part.
  policy::Node policy_node(const Entry& entry) const;
  void follow(Entry& entry, Calls& calls);
  void follow_attributes(Entry& entry, Calls& calls);
  void follow_users(Calls& calls);
  void show_profile_again(uint64_t user, Calls& calls);
  void catch_up(const CompiledPolicy& compiled);
  void spread(const policy::Impact& impact, Calls& calls);
  void mark_views(MapSession* session, uint8_t views, Calls& calls);
  void mark_router(const Entry& router, Calls& calls);
  void sync_peers(Entry& entry, Calls& calls);
  void refresh(MapSession& session, Calls& calls);
  void refresh_routes(MapSession& session, const Entry& self);
  void approve_by_policy(Entry& entry, Calls& calls);
  // The first that a policy does not know; empty without one.
  std::string unknown_tag(const std::vector<std::string>& tags) const;
  bool sees(const Entry& viewer, const Entry& peer) const;

  struct Registering;  // one register request on its way
  tailcfg::RegisterResponse state_of(const Entry& entry, WallTime now) const;
  tailcfg::Profile profile_of(const Node& node) const;
  bool register_known(Registering& r, Entry& entry, Calls& calls);
  void register_with_key(Registering& r, Calls& calls);
  void register_followup(Registering& r, Calls& calls);
  void register_interactive(Registering& r, Calls& calls);
  void log_out(Registering& r, Entry& entry, Calls& calls);
  void store_and_answer(Registering& r, uint64_t id, store::Change change, Calls& calls);
  struct Grant;  // under what terms a machine may be a node
  void admit(const tailcfg::MachineKey& machine, const tailcfg::RegisterRequest& request,
             const Grant& grant, WallTime now, Answer<NodePtr> answer, Calls& calls);
  bool may_keep_tags(const Node& node, const Grant& grant, WallTime now) const;
  Entry* node_to_renew(const tailcfg::MachineKey& machine, const tailcfg::RegisterRequest& request,
                       const Grant& grant, WallTime now);
  // Gives the node to the tags that the client asks for, if the user may give them; what is wrong
  // if not.
  std::string take_requested_tags(const tailcfg::RegisterRequest& request, uint64_t user_id,
                                  Grant& grant) const;
  bool retag_known(Registering& r, const Entry& entry, Calls& calls);
  void finish_waiters(const std::string& auth_id, const tailcfg::RegisterResponse& response,
                      Calls& calls);
  bool make_room_for(const tailcfg::MachineKey& machine, const tailcfg::RegisterRequest& request,
                     const std::optional<limit::ClientKey>& network, Calls& calls);
  Result<std::optional<std::string>> fit_address(IpAddress::Family family, std::string& address,
                                                 NodeAddresses& taken);
  void write_node(uint64_t id, store::Change change, Answer<NodePtr> answer);

  // Rendering.
  bool same_for_all(const Entry& entry) const;
  static void forget_old_pieces(Entry& entry);
  std::shared_ptr<const MapPiece> common_piece(Entry& entry);
  std::shared_ptr<const MapPiece> peer_piece(Entry& entry, const MapSession& viewer);
  std::shared_ptr<const MapPiece> render_peer(const Entry& entry, tailcfg::Node wire) const;
  tailcfg::Node wire_node(const Node& node) const;
  std::string self_json(const Entry& entry) const;
  // Tells the client of a deleted node to log in: left alone it would ask for its map for ever.
  std::string farewell_json(const Entry& entry) const;
  void write_full(MapSession& session, WallTime now, MapPayload& out);
  void write_limited(MapSession& session, const Entry& self, std::string head, MapPayload& out);
  static void append_ping(MapSession& session, std::string& out);
  void write_delta(MapSession& session, WallTime now, MapPayload& out);
  void write_profiles(MapSession& session, const std::vector<const Entry*>& of, MapPayload& out);
  void write_peers(const MapSession& session, const Entry& self, MapPayload& out);
  const PeerBlock& peer_block(size_t number);
  void spoil_block(const Entry& entry);
  std::optional<SharedDelta> delta_to_share(const MapSession& session) const;
  void start_policy(MapSession& session);
  void write_policy(MapSession& session, MapPayload& out);
  void close(MapSession& session, WallTime now);

  Directory& directory_;
  const TailnetOptions options_;

  mutable std::mutex mutex_;
  std::string dns_config_json_;
  std::string derp_map_json_;
  AddressPool pool_;
  NodeNames names_;
  std::map<uint64_t, Entry> nodes_;
  std::vector<Entry*> slots_;  // null: free
  std::vector<uint32_t> free_slots_;
  std::vector<PeerBlock> blocks_;  // of slots_
  std::unique_ptr<SharedDelta> last_delta_;
  std::unique_ptr<PolicyView> policy_;  // null: everything is allowed
  uint64_t policy_epoch_ = 0;           // grows with every policy
  std::unordered_map<tailcfg::NodeKey, uint64_t> by_key_;
  std::map<tailcfg::MachineKey, std::set<uint64_t>> by_machine_;
  std::map<std::string, Registration> registrations_;  // by auth id
  std::map<std::string, uint64_t> primaries_;          // by prefix
  uint64_t version_ = 0;
  WallTime ticked_at_{};    // what has expired by then is announced
  WallTime quiet_until_{};  // until then time alone changes no node; any change resets it
  Ticket next_ticket_ = 1;
  TailnetStats stats_;
};

}  // namespace es::control

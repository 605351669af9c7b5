// From a document to a Policy: names, shapes and references are checked, and everything that is
// wrong is reported with its place. Internal to the room; read_policy() is the way in.
#pragma once

#include "native/policy/policy.h"

#include <initializer_list>

namespace es::policy {

// Where an alias stands; what is allowed there differs.
enum class Side : uint8_t {
  kSource,  // of acls and grants
  kDestination,
  kSshSource,
  kSshDestination,
  kTarget,   // of nodeAttrs
  kOwner,    // of a tag
  kApprover  // of a route
};

class Reader {
 public:
  Reader(const ReadOptions& options, Problems& problems) : options_(options), problems_(problems) {}

  // The policy as far as it could be read; use it only if there are no problems.
  Policy read(const Value& root);

 private:
  struct Text {
    std::string text;
    Position at;
  };

  // The members of an object by their expected names, in the order asked for; null where absent.
  // Names match without regard to case, as they do in Headscale; those beginning with # are notes.
  std::vector<const Value*> fields(const Value& object, std::string_view what,
                                   std::initializer_list<std::string_view> names);
  bool expect(const Value& value, Value::Kind kind, std::string_view what);
  // Strings of an array; a null or absent value is empty.
  std::vector<Text> strings(const Value* value, std::string_view what);
  std::string string(const Value* value, std::string_view what);
  void problem(Position at, std::string text) { problems_.add(at, std::move(text)); }

  // Sections that only define names (read_names.cc).
  void groups(const Value& value);
  void hosts(const Value& value);
  void ipsets(const Value& value);
  void tag_owners(const Value& value);
  void postures(const Value& value);
  void default_posture(const Value& value);
  void expand_ipset(const std::string& name, size_t depth, AddressSet& out, Position at);
  bool posture_exists(const Text& name);

  // Rules (read_rules.cc).
  void acls(const Value& value);
  void acl(const Value& value);
  void grants(const Value& value);
  void grant(const Value& value);
  void grant_ip(const Value* value, Grant& grant);
  void check_self(const std::vector<Alias>& sources, const Alias& destination, bool from_acl);
  std::shared_ptr<const tailcfg::CapMap> app(const Value* value);
  std::vector<std::string> src_postures(const Value* value);
  void add_grant(Grant grant);
  void count_rule(Position at);

  // SSH and what else refers to names (read_ssh.cc, read_policy.cc).
  void ssh(const Value& value);
  void ssh_rule(const Value& value);
  void ssh_users(const Value* value, Position at, SshPolicyRule& rule);
  void ssh_combination(const SshPolicyRule& rule);
  void ssh_period(const Value* value, SshPolicyRule& rule, Position at);
  bool domain_allowed(std::string_view domain) const;
  void node_attrs(const Value& value);
  void node_attr(const Value& value);
  void ip_pool(const Value* value, NodeAttr& attr);
  void auto_approvers(const Value& value);
  void tests(const Value& value);
  void ssh_tests(const Value& value);
  void randomize_client_port(const Value& value);
  void disable_ipv4(const Value& value);

  // An alias that is allowed on this side and whose name is defined; reports it if it is not.
  std::optional<Alias> alias(const Text& text, Side side);
  std::vector<Alias> aliases(const Value* value, Side side, std::string_view what);
  bool allowed(const Alias& alias, Side side);
  bool defined(const Alias& alias, Side side);

  const ReadOptions& options_;
  Problems& problems_;
  Policy policy_;
  std::map<std::string, const Value*> raw_ipsets_;
  std::vector<std::string> default_posture_;
  size_t rules_ = 0;
  size_t port_entries_ = 0;
  size_t ipset_work_ = 0;
};

// Go's duration syntax ("1h30m", "45s"), and what Go says of what is none: the hosted service's own
// words. Whole seconds matter here, fractions are cut off.
Parsed<std::chrono::nanoseconds> parse_duration(std::string_view text);
// As Go prints it: 168h0m1s.
std::string duration_text(std::chrono::nanoseconds duration);

}  // namespace es::policy

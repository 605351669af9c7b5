// The policy's own "tests" and "sshTests".
//
// A test asks for one connection: from every address of its source to one destination and port. All
// sources must get through for it to be allowed. Work is bounded: tests that would need more than
// kMaxSteps comparisons are refused, not run.
#include "native/policy/index_state.h"

#include <algorithm>

namespace es::policy {

namespace {

using Kind = Alias::Kind;

constexpr size_t kMaxSteps = 20000000;

// Both kinds of failure begin so; the hosted service says no more than this.
constexpr std::string_view kFailed = "test(s) failed: ";

class TestRunner {
 public:
  TestRunner(const IndexState& state, Problems& problems) : s_(state), problems_(problems) {}

  void run() {
    const Policy& policy = *s_.policy;
    for (size_t i = 0; i < policy.tests.size() && !exhausted_; ++i) {
      where_ = "tests[" + std::to_string(i) + "]: ";
      at_ = policy.tests[i].at;
      test(policy.tests[i]);
    }
    for (size_t i = 0; i < policy.ssh_tests.size() && !exhausted_; ++i) {
      where_ = "sshTests[" + std::to_string(i) + "]: ";
      at_ = policy.ssh_tests[i].at;
      ssh_test(policy.ssh_tests[i]);
    }
  }

 private:
  void fail(const std::string& text) { problems_.add(at_, std::string(kFailed) + where_ + text); }

  bool work(size_t steps) {
    steps_ += steps;
    if (steps_ <= kMaxSteps) return true;
    if (!exhausted_) problems_.add(at_, std::string(kFailed) + "the tests need too much work");
    exhausted_ = true;
    return false;
  }

  // The nodes and ranges that an alias of a test stands for.
  struct Target {
    Bits nodes;  // all of their addresses
    AddressSet ranges;
    bool empty() const { return nodes.none() && ranges.empty(); }
  };

  bool resolve(std::string_view text, Alias& alias, std::string& why) const {
    auto parsed = parse_alias(text, at_);
    if (const Reason* reason = std::get_if<Reason>(&parsed)) {
      why = quoted(text) + ": " + reason->text;
      return false;
    }
    alias = std::move(std::get<Alias>(parsed));
    const Policy& p = *s_.policy;
    const bool missing = (alias.is(Kind::kTag) && !p.tag_owners.contains(alias.text)) ||
                         (alias.is(Kind::kGroup) && !p.groups.contains(alias.name)) ||
                         (alias.is(Kind::kHost) && !p.hosts.contains(alias.name)) ||
                         (alias.is(Kind::kIpSet) && !p.ipsets.contains(alias.name));
    if (missing) why = quoted(alias.text) + " is not defined";
    return !missing;
  }

  Target target(const Alias& alias) const {
    Target out;
    if (alias.is(Kind::kHost)) out.ranges.add(s_.policy->hosts.find(alias.name)->second);
    if (alias.is(Kind::kIpSet)) out.ranges.add(s_.policy->ipsets.find(alias.name)->second);
    if (alias.is(Kind::kRange)) out.ranges.add(alias.range);
    if (alias.is(Kind::kInternet)) out.ranges.add(internet_addresses());
    if (!out.ranges.empty()) return out;
    std::vector<const UserEntry*> members;
    if (alias.is(Kind::kUser)) members.push_back(s_.find_user(alias.text));
    if (alias.is(Kind::kGroup)) {
      for (const auto& m : s_.policy->groups.find(alias.name)->second) {
        members.push_back(s_.find_user(m));
      }
    }
    for (Slot slot = 0; slot < s_.nodes.size(); ++slot) {
      if (s_.at(slot).used && node_is(s_.at(slot), alias, members)) out.nodes.set(slot);
    }
    return out;
  }

  bool node_is(const NodeEntry& node, const Alias& alias,
               const std::vector<const UserEntry*>& members) const {
    if (alias.is(Kind::kAny) || alias.is(Kind::kDangerAll)) return true;
    if (alias.is(Kind::kTagged)) return node.tagged;
    if (alias.is(Kind::kTag)) {
      const auto& tags = node.node.tags;
      return std::find(tags.begin(), tags.end(), alias.text) != tags.end();
    }
    if (node.tagged) return false;
    if (alias.is(Kind::kMember)) return true;
    const auto it = node.node.user ? s_.user_at.find(*node.node.user) : s_.user_at.end();
    if (it == s_.user_at.end()) return false;
    const UserEntry& user = s_.users[it->second];
    return std::find(members.begin(), members.end(), &user) != members.end() ||
           s_.user_matches(user, alias);
  }

  // The ends of each range and every address of each node: what a test tries.
  std::vector<Address> samples(const Target& target) const {
    std::vector<Address> out;
    target.nodes.for_each([&](Slot slot) {
      for (const Address& a : s_.at(slot).node.addresses) out.push_back(a);
    });
    for (const Range& range : target.ranges.ranges()) {
      out.push_back(range.first);
      if (range.last != range.first) out.push_back(range.last);
    }
    return out;
  }

  void test(const Test& test) {
    Alias src;
    std::string why;
    if (test.accept.empty() && test.deny.empty()) {
      return fail("a test must have at least one of \"accept\" or \"deny\"");
    }
    if (trim(test.src).empty()) return fail("src is missing");
    if (!resolve(trim(test.src), src, why)) return fail("src " + why);
    auto protocols = parse_protocol(test.proto);
    const auto* numbers = std::get_if<std::vector<int>>(&protocols);
    if (numbers == nullptr || !has_ports(*numbers)) {
      return fail("proto must be tcp, udp, sctp or nothing, not " + quoted(test.proto));
    }
    const auto sources = samples(target(src));
    if (sources.empty() || src.is(Kind::kSelf)) {
      return fail("src " + quoted(test.src) + " stands for no address");
    }
    const int protocol = numbers->empty() ? 0 : numbers->front();
    for (const std::string& dst : test.accept) assertion(test, sources, dst, protocol, true);
    for (const std::string& dst : test.deny) assertion(test, sources, dst, protocol, false);
  }

  void assertion(const Test& test, const std::vector<Address>& sources, const std::string& dst,
                 int protocol, bool want) {
    std::string why;
    Alias alias;
    const auto split = split_host_ports(trim(dst));
    if (const Reason* r = std::get_if<Reason>(&split)) return fail(quoted(dst) + ": " + r->text);
    const auto& [host, port_text] = std::get<HostAndPorts>(split);
    const auto parsed = parse_ports(port_text);
    if (const Reason* r = std::get_if<Reason>(&parsed)) {
      return fail(quoted(dst) + ": port range " + quoted(port_text) + ": " + r->text);
    }
    const auto& ports = std::get<std::vector<tailcfg::PortRange>>(parsed);
    if (ports.size() != 1 || ports[0].first != ports[0].last) {
      return fail(quoted(dst) + ": a test's destination has exactly one port");
    }
    if (!resolve(host, alias, why)) return fail("dst " + why);
    const Target t = target(alias);
    const auto& ranges = t.ranges.ranges();
    if (alias.is(Kind::kInternet) || alias.is(Kind::kSelf) || host.find('/') != std::string::npos ||
        std::any_of(ranges.begin(), ranges.end(),
                    [](const Range& r) { return r.first != r.last; })) {
      return fail(quoted(dst) + ": a test's destination is a host, not a set of addresses");
    }
    const auto destinations = samples(t);
    if (destinations.empty()) return fail("dst " + quoted(dst) + " stands for no address");
    if (reaches(test, sources, destinations, protocol, ports[0].first) != want && !exhausted_) {
      fail(test.src + " -> " + dst + (test.proto.empty() ? "" : " (" + test.proto + ")") +
           (want ? ": expected ALLOWED, got DENIED" : ": expected DENIED, got ALLOWED"));
    }
  }

  // Whether every source gets to one of the destinations.
  bool reaches(const Test& test, const std::vector<Address>& sources,
               const std::vector<Address>& destinations, int protocol, uint16_t port) {
    std::vector<const Rule*> leading;  // to one of the destinations, or perhaps by autogroup:self
    for (const Rule& rule : s_.rules) {
      const auto& ip = rule.grant->ip;
      const bool fits = std::any_of(ip.begin(), ip.end(), [&](const ProtocolPorts& p) {
        return protocol_matches(p, protocol) && port_matches(p, port);
      });
      if (!fits || !posture_fits(test, rule) || !work(destinations.size())) continue;
      const bool leads =
          rule.self || std::any_of(destinations.begin(), destinations.end(),
                                   [&](const Address& dst) { return s_.leads_to(rule, dst); });
      if (leads) leading.push_back(&rule);
    }
    return std::all_of(sources.begin(), sources.end(), [&](const Address& src) {
      return std::any_of(leading.begin(), leading.end(), [&](const Rule* rule) {
        if (!work(1) || !s_.named(s_.sets[rule->src], src, true)) return false;
        return std::any_of(destinations.begin(), destinations.end(), [&](const Address& dst) {
          return s_.leads_to(*rule, dst) || (rule->self && s_.same_owner(src, dst));
        });
      });
    });
  }

  // "srcPostureAttrs" says what the source reports; without it, nodes are taken as they are.
  bool posture_fits(const Test& test, const Rule& rule) const {
    const auto& postures = s_.sets[rule.src].postures;
    if (postures.empty() || test.attributes.empty()) return true;
    return std::any_of(postures.begin(), postures.end(),
                       [&](const Posture* p) { return p->holds(test.attributes); });
  }

  void ssh_test(const SshTest& test) {
    std::string why;
    Alias src;
    if (test.src.empty()) return fail("src is missing");
    if (test.dst.empty()) return fail("dst is missing");
    Bits destinations;
    bool sound = resolve(test.src, src, why);
    if (!sound) fail("src " + why);
    for (const std::string& dst : test.dst) sound &= ssh_destination(dst, src, sound, destinations);
    if (!sound) return;
    if (test.accept.empty() && test.deny.empty() && test.check.empty()) {
      return fail("an SSH test must have at least one of \"accept\", \"deny\" or \"check\"");
    }
    Target from = target(src);
    for (const Address& a : samples(from)) {
      if (const Slot owner = s_.owner_of(a); owner != kAnySlot) from.nodes.set(owner);
    }
    if (from.nodes.none()) return fail("src " + quoted(test.src) + " stands for no node");
    for (const auto& user : test.accept) ssh_assertion(test, from.nodes, destinations, user, 'a');
    for (const auto& user : test.deny) ssh_assertion(test, from.nodes, destinations, user, 'd');
    for (const auto& user : test.check) ssh_assertion(test, from.nodes, destinations, user, 'c');
  }

  bool ssh_destination(const std::string& dst, const Alias& src, bool src_known, Bits& out) {
    const auto parsed = parse_alias(dst, at_);
    const Alias* alias = std::get_if<Alias>(&parsed);
    const auto refuse = [&](std::string_view what) {
      problems_.add(at_, "SSH tests dst contains " + std::string(what) + " " + quoted(dst));
      return false;
    };
    if (alias == nullptr) return refuse("disallowed element");
    if (alias->is(Kind::kTag) && !s_.policy->tag_owners.contains(alias->text)) {
      return refuse("unknown tag");
    }
    std::string why;
    Alias known;
    if (!resolve(dst, known, why)) {
      fail("dst " + why);
      return false;
    }
    const Target t = target(known);
    const auto& ranges = t.ranges.ranges();
    if (known.is(Kind::kInternet) || known.is(Kind::kDangerAll) || known.is(Kind::kAny) ||
        std::any_of(ranges.begin(), ranges.end(),
                    [](const Range& r) { return r.first != r.last; })) {
      return refuse("disallowed element");
    }
    // Its colons make it look like host:port, which an SSH test does not have.
    if (known.is(Kind::kRange) && known.range.first.v6) {
      fail("dst " + quoted(dst) + ": name the host by a tag or by its IPv4 address");
      return false;
    }
    Bits nodes = t.nodes;
    for (const Range& r : ranges) {
      if (const Slot owner = s_.owner_of(r.first); owner != kAnySlot) nodes.set(owner);
    }
    if (known.is(Kind::kSelf) && src_known) {
      target(src).nodes.for_each([&](Slot slot) {
        for (const Slot own : s_.own_devices(s_.at(slot))) nodes.set(own);
      });
    }
    if (nodes.none()) {
      fail("dst " + quoted(dst) + " stands for no node");
      return false;
    }
    out.add(nodes);
    return true;
  }

  // `kind` is what is asserted of every source and destination: 'a'ccept, 'd'eny, 'c'heck.
  void ssh_assertion(const SshTest& test, const Bits& sources, const Bits& destinations,
                     const std::string& user, char kind) {
    destinations.for_each([&](Slot dst) {
      bool all = true;
      bool none = true;
      sources.for_each([&](Slot src) {
        if (!work(s_.ssh.size())) return;
        const bool hit = ssh_hit(src, dst, user, kind == 'c');
        all &= hit;
        none &= !hit;
      });
      if (exhausted_ || (kind == 'd' ? none : all)) return;
      const auto& addresses = s_.at(dst).node.addresses;
      fail(test.src + "/" + quoted(user) + " -> " +
           (addresses.empty() ? std::string("?") : addresses[0].text()) +
           (kind == 'a'   ? ": expected ALLOWED, got DENIED"
            : kind == 'd' ? ": expected DENIED, got ALLOWED"
                          : ": expected ALLOWED via check"));
    });
  }

  bool ssh_hit(Slot src, Slot dst, const std::string& user, bool check_only) const {
    const auto& devices = s_.own_devices(s_.at(dst));
    const bool own = std::find(devices.begin(), devices.end(), src) != devices.end();
    return std::any_of(s_.ssh.begin(), s_.ssh.end(), [&](const SshEntry& entry) {
      if ((check_only && !entry.rule->check) || !s_.sets[entry.src].own.test(src)) return false;
      const bool reached = s_.sets[entry.dst].own.test(dst) || (entry.self && own);
      return reached && s_.ssh_user_allowed(entry, src, user);
    });
  }

  const IndexState& s_;
  Problems& problems_;
  std::string where_;
  Position at_;
  size_t steps_ = 0;
  bool exhausted_ = false;
};

}  // namespace

void PolicyIndex::run_tests(Problems& problems) const { TestRunner(*state_, problems).run(); }

}  // namespace es::policy

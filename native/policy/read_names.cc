// The sections of a policy that define names: groups, hosts, ipsets, tagOwners, postures.
#include "native/policy/reader.h"

namespace es::policy {
namespace {

// What stands behind `prefix`, if `text` begins with it.
std::optional<std::string> after(std::string_view text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return std::nullopt;
  return std::string(text.substr(prefix.size()));
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

void Reader::groups(const Value& value) {
  if (!expect(value, Value::Kind::kObject, "groups")) return;
  for (const Member& member : value.members) {
    const auto name = after(member.name, "group:");
    if (!name || name->empty()) {
      problem(member.at, "group must start with 'group:', got: " + quoted(member.name));
    }
    std::vector<std::string> users;
    for (const Text& text : strings(&member.value, "a group")) {
      const std::string user(trim(text.text));
      if (after(user, "group:")) {
        problem(text.at, "groups[" + quoted(member.name) + "]: " + quoted(user) +
                             ": group members cannot be recursive");
      } else if (user.find('@') == std::string::npos) {
        problem(text.at,
                "username must contain @, got: " + quoted(user) + "; members of a group are users");
      } else {
        users.push_back(user);
      }
    }
    if (name) policy_.groups[*name] = std::move(users);
  }
}

void Reader::hosts(const Value& value) {
  if (!expect(value, Value::Kind::kObject, "hosts")) return;
  for (const Member& member : value.members) {
    if (member.name.empty() || member.name.find_first_of("@:/*") != std::string::npos) {
      problem(member.at,
              "invalid hostname: " + quoted(member.name) + "; a name of hosts has none of @ : / *");
      continue;
    }
    if (!expect(member.value, Value::Kind::kString, "an address of hosts")) continue;
    const auto range = parse_range(trim(member.value.text));
    if (!range) {
      problem(member.value.at,
              "hostname " + quoted(member.name) + ": " + quoted(member.value.text) +
                  ": invalid address; expected an address, a prefix or first-last");
      continue;
    }
    policy_.hosts[member.name] = *range;
  }
}

void Reader::ipsets(const Value& value) {
  if (!expect(value, Value::Kind::kObject, "ipsets")) return;
  for (const Member& member : value.members) {
    const auto name = after(member.name, "ipset:");
    if (!name || name->empty()) {
      problem(member.at, "an ipset's name must start with 'ipset:', got: " + quoted(member.name));
    } else {
      raw_ipsets_[*name] = &member.value;
    }
  }
  for (const auto& [name, raw] : raw_ipsets_) {
    AddressSet set;
    expand_ipset(name, 0, set, raw->at);
    policy_.ipsets[name] = std::move(set);
  }
}

// Items are taken in order: addresses, prefixes, ranges, host:name and ipset:name, each with an
// optional `add` or `remove` before it.
void Reader::expand_ipset(const std::string& name, size_t depth, AddressSet& out, Position at) {
  constexpr size_t kMaxDepth = 8;
  constexpr size_t kMaxWork = 2000000;  // ranges touched, over all ipsets: a fraction of a second
  constexpr size_t kItemWork = 20;      // for an item, whatever it is
  if (depth > kMaxDepth) {
    return problem(at, "ipset:" + name + " is nested deeper than 8 levels, or in a circle");
  }
  for (const Text& text : strings(raw_ipsets_.at(name), "an ipset")) {
    if (ipset_work_ > kMaxWork) return;
    std::string_view item = trim(text.text);
    const auto removed = after(item, "remove ");
    const auto added = after(item, "add ");
    if (removed) item = trim(*removed);
    if (added) item = trim(*added);
    AddressSet part;
    if (const auto other = after(item, "ipset:")) {
      if (!raw_ipsets_.contains(*other)) {
        problem(text.at, "ipset not found: " + quoted(item));
        continue;
      }
      const size_t before = problems_.size();
      expand_ipset(*other, depth + 1, part, text.at);
      if (problems_.size() != before) return;
    } else if (const auto range = parse_range(item)) {
      part.add(*range);
    } else {
      const auto host = policy_.hosts.find(after(item, "host:").value_or(std::string(item)));
      if (host == policy_.hosts.end()) {
        problem(text.at, quoted(item) + ": invalid address, and no name of hosts");
        continue;
      }
      part.add(host->second);
    }
    ipset_work_ += kItemWork + part.ranges().size();
    if (removed) ipset_work_ += part.ranges().size() * out.ranges().size();
    if (ipset_work_ > kMaxWork) return problem(text.at, "the ipsets are too large together");
    if (removed) {
      for (const Range& range : part.ranges()) out.remove(range);
    } else {
      out.add(part);
    }
  }
}

void Reader::tag_owners(const Value& value) {
  if (!expect(value, Value::Kind::kObject, "tagOwners")) return;
  for (const Member& member : value.members) {
    const auto name = after(member.name, "tag:");
    if (!name) {
      problem(member.at, "tag must start with 'tag:', got: " + quoted(member.name));
    } else if (name->empty() || !is_letter((*name)[0])) {
      problem(member.at, "tagOwners[" + quoted(member.name) +
                             "]: tag names must start with a letter, after 'tag:'");
    }
    policy_.tag_owners[member.name];  // tags may own tags that stand later
  }
  for (const Member& member : value.members) {
    policy_.tag_owners[member.name] = aliases(&member.value, Side::kOwner, "the owners of a tag");
  }
}

void Reader::postures(const Value& value) {
  if (!expect(value, Value::Kind::kObject, "postures")) return;
  for (const Member& member : value.members) {
    if (!after(member.name, "posture:")) {
      problem(member.at,
              "a posture's name must start with 'posture:', got: " + quoted(member.name));
    }
    Posture posture{member.name, {}};
    for (const Text& text : strings(&member.value, "a posture")) {
      auto condition = parse_condition(text.text);
      if (const Reason* why = std::get_if<Reason>(&condition)) {
        problem(text.at, quoted(text.text) + ": " + why->text);
      } else {
        posture.conditions.push_back(std::move(std::get<Condition>(condition)));
      }
    }
    policy_.postures[member.name] = std::move(posture);
  }
}

void Reader::default_posture(const Value& value) {
  for (const Text& text : strings(&value, "defaultSrcPosture")) {
    if (posture_exists(text)) default_posture_.push_back(text.text);
  }
}

bool Reader::posture_exists(const Text& name) {
  if (policy_.postures.contains(name.text)) return true;
  problem(name.at, "posture not found: " + quoted(name.text));
  return false;
}

}  // namespace es::policy

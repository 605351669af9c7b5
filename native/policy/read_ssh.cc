// The section "ssh".
#include "native/policy/reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace es::policy {

using std::chrono::nanoseconds;

Parsed<nanoseconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 7> kUnits = {{{"h", 3600e9},
                                                                          {"ms", 1e6},
                                                                          {"m", 60e9},
                                                                          {"us", 1e3},
                                                                          {"\xc2\xb5s", 1e3},
                                                                          {"ns", 1},
                                                                          {"s", 1e9}}};
  constexpr double kMax = 9.2e18;  // what an int64 of nanoseconds holds, about 292 years
  const std::string whole = quoted(text);
  const Reason invalid{"time: invalid duration " + whole};
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return nanoseconds{0};
  if (text.empty()) return invalid;
  double total = 0;
  while (!text.empty()) {
    size_t n = 0;
    while (n < text.size() && ((text[n] >= '0' && text[n] <= '9') || text[n] == '.')) ++n;
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + n, number);
    if (n == 0 || error != std::errc{} || end != text.data() + n) return invalid;
    text.remove_prefix(n);
    if (text.empty()) return Reason{"time: missing unit in duration " + whole};
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& u) {
      return text.substr(0, u.first.size()) == u.first;
    });
    if (unit == kUnits.end()) {
      const auto name = text.substr(0, text.find_first_of("0123456789."));
      return Reason{"time: unknown unit " + quoted(name) + " in duration " + whole};
    }
    text.remove_prefix(unit->first.size());
    total += number * unit->second;
    if (!(total < kMax)) return invalid;
  }
  const auto count = static_cast<int64_t>(total);
  return nanoseconds{negative ? -count : count};
}

std::string duration_text(nanoseconds duration) {
  std::string out = duration.count() < 0 ? "-" : "";
  const auto total =
      static_cast<uint64_t>(duration.count() < 0 ? -duration.count() : duration.count());
  const uint64_t seconds = total / 1000000000;
  const uint64_t hours = seconds / 3600;
  const uint64_t minutes = seconds / 60 % 60;
  if (hours != 0) out += std::to_string(hours) + "h";
  if (hours != 0 || minutes != 0) out += std::to_string(minutes) + "m";
  out += std::to_string(seconds % 60);
  if (uint64_t fraction = total % 1000000000; fraction != 0) {
    std::string digits = std::to_string(1000000000 + fraction).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out + "s";
}

void Reader::ssh(const Value& value) {
  if (!expect(value, Value::Kind::kArray, "ssh")) return;
  for (const Value& item : value.items) {
    if (rules_ > options_.limits.max_rules) return;
    ssh_rule(item);
  }
}

void Reader::ssh_rule(const Value& value) {
  count_rule(value.at);
  const auto f =
      fields(value, "an ssh rule", {"action", "src", "dst", "users", "checkPeriod", "acceptEnv"});
  if (!value.is(Value::Kind::kObject)) return;
  SshPolicyRule rule;
  rule.at = value.at;
  const std::string given = string(f[0], "action");
  const std::string_view action = trim(given);
  if (action.empty()) {
    problem(value.at, "action must be specified: \"accept\" or \"check\"");
  } else if (action != "accept" && action != "check") {
    problem(f[0]->at,
            quoted(action) + " is not a valid action; there are \"accept\" and \"check\"");
  }
  rule.check = action == "check";
  rule.sources = aliases(f[1], Side::kSshSource, "src");
  rule.destinations = aliases(f[2], Side::kSshDestination, "dst");
  ssh_users(f[3], value.at, rule);
  ssh_period(f[4], rule, value.at);
  for (const Text& text : strings(f[5], "acceptEnv")) {
    if (text.text.empty()) problem(text.at, "acceptEnv values cannot be empty");
    rule.accept_env.push_back(text.text);
  }
  ssh_combination(rule);
  policy_.ssh.push_back(std::move(rule));
}

void Reader::ssh_users(const Value* value, Position at, SshPolicyRule& rule) {
  constexpr std::string_view kLocalpart = "localpart:*@";
  const auto users = strings(value, "users");
  if (users.empty()) problem(at, "users must be specified");
  for (const Text& text : users) {
    const std::string user(trim(text.text));
    if (user.empty() || user == "*") {
      problem(text.at, "user " + quoted(user) +
                           " is not valid; for every user but root there is autogroup:nonroot");
      continue;
    }
    // With nothing behind the @ it is no pattern but a login name like any other.
    if (user.size() > kLocalpart.size() && user.substr(0, kLocalpart.size()) == kLocalpart &&
        !domain_allowed(std::string_view(user).substr(kLocalpart.size()))) {
      problem(text.at, "[ssh] " + user.substr(kLocalpart.size()) +
                           " is not associated with this Tailnet and cannot be used in "
                           "user:*@<domain> expressions");
      continue;
    }
    rule.users.push_back(user);
  }
}

void Reader::ssh_period(const Value* value, SshPolicyRule& rule, Position at) {
  constexpr auto kMax = std::chrono::hours(168);
  if (value == nullptr) return;
  const std::string text = string(value, "checkPeriod");
  if (!rule.check) problem(at, "checkPeriod is only valid with action \"check\"");
  if (text == "always") {
    rule.check_period = std::chrono::seconds(0);
    return;
  }
  const auto parsed = parse_duration(text);
  if (const Reason* why = std::get_if<Reason>(&parsed)) {
    problem(value->at, "checkPeriod: " + why->text +
                           "; expected something like \"20h\", \"30m\" or \"always\"");
    return;
  }
  const auto* period = &std::get<nanoseconds>(parsed);
  if (*period < nanoseconds{0}) {
    problem(value->at, "checkPeriod " + duration_text(*period) + " must be a positive duration");
  } else if (*period > kMax) {
    problem(value->at, "checkPeriod " + duration_text(*period) + " is above the max (168h)");
  }
  rule.check_period = std::chrono::duration_cast<std::chrono::seconds>(*period);
}

// Tagged devices must not get into people's devices, and nobody into another person's.
void Reader::ssh_combination(const SshPolicyRule& rule) {
  using Kind = Alias::Kind;
  const auto any_of = [&](auto&& predicate) {
    return std::any_of(rule.sources.begin(), rule.sources.end(), predicate);
  };
  const bool tagged =
      any_of([](const Alias& a) { return a.is(Kind::kTag) || a.is(Kind::kTagged); });
  const bool one_user = !rule.sources.empty() && !any_of([&](const Alias& a) {
    return !a.is(Kind::kUser) || a.text != rule.sources.front().text;
  });
  for (const Alias& dst : rule.destinations) {
    if (dst.is(Kind::kUser)) {
      const bool others = !one_user || rule.sources.front().text != dst.text;
      if (tagged) {
        problem(dst.at, "tags in SSH source cannot access user-owned devices (" + dst.text + ")");
      } else if (others) {
        problem(dst.at, "user destination requires source to contain only that same user " +
                            quoted(dst.text) + "; autogroup:self is for one's own devices");
      }
    }
    if (tagged && dst.is(Kind::kSelf)) {
      problem(
          dst.at,
          "autogroup:self destination requires source to contain only users or groups, not tags "
          "or autogroup:tagged");
    }
    if (tagged && (dst.is(Kind::kMember) || dst.is(Kind::kRole))) {
      problem(dst.at, "tags in SSH source cannot access " + dst.text + " (user-owned devices)");
    }
  }
}

}  // namespace es::policy

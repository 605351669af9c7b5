// The list of configuration keys: the one place that ties a key to its field, its rule and what
// this version does with it. The loader, the environment, the dump and the tests all walk it.
#pragma once

#include "native/cli/config.h"

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace es::cli {

// What a text (or each text of a list) must be.
enum class Rule : uint8_t {
  kFree,
  kListen,         // HOST:PORT
  kListenOrEmpty,  // empty: off
  kHttpUrlOrEmpty,
  kPrefixV4,  // a CIDR without host bits, or empty
  kPrefixV6,
  kCidr,
  kTrustedCidr,  // a CIDR that is not everybody (/0)
  kIpV4OrEmpty,
  kIpV6OrEmpty,
  kNameserver,  // an address, or a DoH URL
  kHttpsUrl,
  kPath,  // made absolute
  kPathOrNone,
  kChoice,
  kDnsNameOrEmpty,
  kSecret,    // never printed
  kTokenKey,  // as kSecret; 64 hexadecimal digits, see common/token/edge_keys.h
};

// What this version does with a key that is set.
enum class Effect : uint8_t {
  kUsed,
  kLater,  // checked and kept for a part that is not there yet
  kNone,   // accepted so that the file keeps working; there is nothing here that it would turn
};

using Target = std::variant<std::string*, bool*, uint32_t*, Millis*, FileMode*, TextList*,
                            std::map<std::string, TextList>*, std::map<std::string, std::string>*,
                            std::vector<DnsRecord>*>;

struct Key {
  std::string_view name;  // dotted
  Target target;
  Rule rule = Rule::kFree;
  Effect effect = Effect::kUsed;
  int64_t low = 0;  // numbers; durations in milliseconds
  int64_t high = std::numeric_limits<int64_t>::max();
  std::string_view choices = {};  // kChoice: "a|b"
};

constexpr bool is_secret(Rule rule) { return rule == Rule::kSecret || rule == Rule::kTokenKey; }

// All keys, bound to the fields of `config`, grouped by section.
std::vector<Key> config_keys(Config& config);

// A key that was once Headscale's: what became of it. `name` stands for everything under it too.
struct Retired {
  std::string_view name;
  std::string_view reason;
};
std::span<const Retired> retired_keys();

// An old name that still works.
struct Renamed {
  std::string_view old_name;
  std::string_view name;
};
std::span<const Renamed> renamed_keys();

// Keys that are accepted, checked for nothing and without effect.
std::span<const std::string_view> unused_keys();

}  // namespace es::cli

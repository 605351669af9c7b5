// The DNS names of nodes: made from what hosts call themselves, and unique in the tailnet.
#pragma once

#include "common/base/result.h"

#include <string>
#include <string_view>
#include <unordered_set>

namespace es::control {

inline constexpr size_t kMaxLabelLen = 63;  // RFC 1035

// A valid label from any host name: lower case, what is no letter, digit or '-' becomes '-', runs
// and ends of '-' are cut; "node" when nothing is left.
std::string label_of(std::string_view hostname);

// A label that a person chose: it must be valid as it is.
Status check_label(std::string_view label);

// The names in use.
class NodeNames {
 public:
  // `wanted`, or the first free of wanted-1, wanted-2, ...; taken from now on.
  std::string claim(std::string_view wanted);
  // False when it is taken.
  bool take(std::string_view label);
  void release(std::string_view label);

 private:
  std::unordered_set<std::string> taken_;
};

}  // namespace es::control

// Accepted means: the canonical text parses to the same key, and equals the input but for case.
#include "native/tailcfg/keys.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

template <class K>
void check(std::string_view text) {
  const auto key = K::parse(text);
  if (!key) return;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (key->text() != lower || K::parse(lower)->raw() != key->raw()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check<es::tailcfg::MachineKey>(text);
  check<es::tailcfg::NodeKey>(text);
  check<es::tailcfg::DiscoKey>(text);
  check<es::tailcfg::ChallengeKey>(text);
  check<es::tailcfg::LockKey>(text);
  check<es::tailcfg::PrivateKey>(text);
  return 0;
}

// The config loader over arbitrary text: it must end, complain or not, and a configuration that it
// accepts must survive being dumped and read again.
#include "native/cli/config_keys.h"
#include "native/cli/config_load.h"
#include "native/cli/config_values.h"

#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace es::cli;
  const Surroundings root{true, {}};
  LoadedConfig loaded =
      parse_config({reinterpret_cast<const char*>(data), size}, "/etc/edgescale/c.yaml", root);
  if (!loaded.ok()) return 0;
  LoadedConfig again =
      parse_config(dump_config(loaded.config, Secrets::kShown), "/etc/edgescale/c.yaml", root);
  if (!again.ok()) std::abort();
  const auto left = config_keys(loaded.config);
  const auto right = config_keys(again.config);
  for (size_t i = 0; i < left.size(); ++i) {
    if (!same_value(left[i], right[i])) std::abort();
  }
  return 0;
}

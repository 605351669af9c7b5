#include "native/cli/config_reload.h"

#include "native/cli/config_keys.h"
#include "native/cli/config_values.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace es::cli {
namespace {

// Whole keys, or sections of them.
bool is_in(std::string_view name, std::initializer_list<std::string_view> keys) {
  return std::any_of(keys.begin(), keys.end(), [&](std::string_view key) {
    return name == key || (name.starts_with(key) && name[key.size()] == '.');
  });
}

// edge.* and policy.mode are here because the parts that use them refuse the whole reload.
bool follows(std::string_view name, bool has_tls) {
  if (is_in(name, {"tls_cert_path", "tls_key_path"})) return has_tls;
  // Control connections are told the timeouts once for all.
  if (is_in(name, {"dns.base_domain", "limits.half_open", "limits.waiting",
                   "limits.stranger_timeout", "limits.body_timeout", "limits.write_timeout"})) {
    return false;
  }
  return is_in(name, {"trusted_proxies", "log.level", "limits", "edge", "policy", "derp.urls",
                      "derp.paths", "derp.auto_update_enabled", "derp.update_frequency", "dns"});
}

}  // namespace

ReloadedConfig take_over(const Config& running, const Config& fresh) {
  ReloadedConfig out{fresh, {}};
  Config before = running;
  const std::vector<Key> old_keys = config_keys(before);
  const std::vector<Key> keys = config_keys(out.config);
  // Listeners are made with it or without it.
  const bool has_tls = !running.tls.cert_path.empty() && !fresh.tls.cert_path.empty();
  for (size_t i = 0; i < keys.size(); ++i) {
    const Key& key = keys[i];
    // cli.* is for the other commands, which read it themselves.
    const bool server = key.effect == Effect::kUsed && !key.name.starts_with("cli.");
    if (!server || follows(key.name, has_tls) || same_value(key, old_keys[i])) continue;
    copy_value(old_keys[i], key);
    out.waiting.emplace_back(key.name);
  }
  return out;
}

}  // namespace es::cli

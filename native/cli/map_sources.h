// What every client's map gets from files and from outside: DERP maps (derp.paths, derp.urls),
// extra DNS records (dns.extra_records_path), and the addresses that /bootstrap-dns tells.
//
// Files are read at the start, where a mistake is an error, and again when they change, where it is
// a log line and the last good content stays. URLs are fetched in the background, so that one which
// does not answer delays nothing: a warning, the last good map stays, and it is tried again, ever
// more rarely up to derp.update_frequency. Of equal regions the last named URL wins, then the last
// file, then the embedded relay.
//
// Limits: a URL's answer 1 MiB, 10 s, certificate checked; files as in client_maps.h; 64 names.
// Threads: methods from any thread. Two threads of its own between start() and stop(). A name
// look-up that the system does not end in time is left behind by stop(); it touches nothing after.
#pragma once

#include "common/base/result.h"
#include "common/base/time.h"
#include "native/cli/config.h"
#include "native/telemetry/log.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::cli {

class MapSources {
 public:
  struct Fetched {
    std::string body;
  };
  // The world, so that tests can be another one.
  struct Outside {
    std::function<Result<Fetched, std::string>(const std::string& url)> fetch;
    std::function<std::vector<std::string>(const std::string& name)> lookup;  // addresses
    Millis look_at_files{300};
    Millis first_retry{30'000};
    Millis look_up_again{10 * 60'000};
  };
  static Outside real_world();

  // Called with what has changed; quick, and may come on any thread.
  struct Publish {
    std::function<void(std::string json)> dns_config;
    std::function<void(std::string json)> derp_map;
  };

  // The log must outlive it. The error is for a person.
  static Result<std::unique_ptr<MapSources>, std::string> open(const Config& config,
                                                               telemetry::Log& log,
                                                               Outside outside = real_world());
  ~MapSources();
  MapSources(const MapSources&) = delete;
  MapSources& operator=(const MapSources&) = delete;

  std::string dns_config_json() const;
  std::string derp_map_json() const;
  // {"name":["address",...]} of all names, or of `name` alone if it is one of them.
  std::string bootstrap_dns_json(std::string_view name) const;

  void start(Publish publish);
  // Reads the files, fetches the URLs again and publishes. On an error nothing changes.
  Result<void, std::string> reload(const Config& config);
  // May be repeated. Nothing is published after it.
  void stop();

 private:
  struct State;
  explicit MapSources(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

}  // namespace es::cli

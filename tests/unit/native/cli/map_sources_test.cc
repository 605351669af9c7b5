// Maps from files and from outside, with another world behind them.
#include "native/cli/map_sources.h"

#include "native/cli/client_maps.h"
#include "native/cli/system.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <unistd.h>

namespace es::cli {
namespace {

using nlohmann::json;

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "es_maps_XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    // Beside and renamed, as careful programs write.
    std::ofstream(path + "/new") << text;
    std::filesystem::rename(path + "/new", path + "/" + name);
    return path + "/" + name;
  }
  std::string path;
};

std::string region(int id, const std::string& host) {
  return json{{"Regions",
               {{std::to_string(id),
                 {{"RegionID", id}, {"Nodes", {{{"Name", "a"}, {"HostName", host}}}}}}}}}
      .dump();
}

// What was published last, and waiting for it.
struct World {
  MapSources::Outside outside() {
    MapSources::Outside out;
    out.fetch = [this](const std::string& url) -> Result<MapSources::Fetched, std::string> {
      const std::lock_guard lock(mutex);
      ++fetched[url];
      const auto it = answers.find(url);
      if (it == answers.end()) return "no route to " + url;
      return MapSources::Fetched{it->second};
    };
    out.lookup = [this](const std::string& name) -> std::vector<std::string> {
      const std::lock_guard lock(mutex);
      const auto it = names.find(name);
      return it == names.end() ? std::vector<std::string>{} : std::vector<std::string>{it->second};
    };
    out.look_at_files = Millis{5};
    out.first_retry = Millis{5};
    return out;
  }
  MapSources::Publish publish() {
    return {[this](std::string text) { set(dns, std::move(text)); },
            [this](std::string text) { set(derp, std::move(text)); }};
  }
  void set(json& what, std::string text) {
    const std::lock_guard lock(mutex);
    what = json::parse(text);
    ++published;
    changed.notify_all();
  }
  // True when `is_so` holds within ten seconds.
  template <class F>
  bool eventually(F is_so) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), is_so);
  }
  std::string log_text() {
    log.flush();
    const std::lock_guard lock(log_mutex);
    return lines;
  }

  std::mutex log_mutex;
  std::string lines;
  telemetry::Log log{wall_now,
                     [this](std::string_view text) {
                       const std::lock_guard lock(log_mutex);
                       lines += text;
                     },
                     telemetry::Level::kInfo, telemetry::Format::kText};
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::string> answers;
  std::map<std::string, std::string> names;
  std::map<std::string, int> fetched;
  json dns;
  json derp;
  int published = 0;
};

Config config_of() {
  Config config;
  config.server_url = "https://vpn.example.com:8443";
  config.derp.urls.clear();
  config.derp.server.enabled = true;
  config.derp.server.ipv4 = "192.0.2.1";
  config.dns.base_domain = "tail.example";
  return config;
}

template <class T>
T must(Result<T, std::string> result) {
  if (!result.ok()) FAIL(result.error());
  return std::move(result).value();
}

}  // namespace

TEST_CASE("the DERP map is what URLs say, then files, then the embedded relay") {
  Folder folder;
  World world;
  Config config = config_of();
  config.derp.urls = {"https://a.example/map", "https://b.example/map"};
  config.derp.paths = {folder.write("map.yaml",
                                    "regions:\n  2:\n    regionid: 2\n    nodes:\n"
                                    "      - {name: 2a, regionid: 2, hostname: file.example}\n"
                                    "  3: null\n")};
  world.answers = {{"https://a.example/map", region(1, "a.example")},
                   {"https://b.example/map", region(3, "b.example")}};
  const auto sources = must(MapSources::open(config, world.log, world.outside()));
  // Nothing waits for the network.
  json map = json::parse(sources->derp_map_json());
  CHECK(map.at("Regions").size() == 2);
  const json& own = map.at("Regions").at("999").at("Nodes")[0];
  CHECK(own == json{{"Name", "999a"},
                    {"RegionID", 999},
                    {"HostName", "vpn.example.com"},
                    {"DERPPort", 8443},
                    {"IPv4", "192.0.2.1"},
                    {"STUNPort", 3478}});
  sources->start(world.publish());
  CHECK(world.eventually(
      [&] { return !world.derp.is_null() && world.derp["Regions"].contains("1"); }));
  sources->stop();
  map = json::parse(sources->derp_map_json());
  CHECK(map.at("Regions").size() == 3);  // the file took region 3 out
  CHECK(map.at("Regions").at("2").at("Nodes")[0].at("HostName") == "file.example");
}

TEST_CASE("a URL that fails is tried again, and the last good map stays") {
  World world;
  Config config = config_of();
  config.derp.urls = {"https://a.example/map"};
  config.derp.update_frequency = Millis{5};
  const auto sources = must(MapSources::open(config, world.log, world.outside()));
  sources->start(world.publish());
  while (world.log_text().find("cannot be fetched") == std::string::npos) ::usleep(1000);
  CHECK(world.log_text().find("no route to https://a.example/map") != std::string::npos);
  {
    const std::lock_guard lock(world.mutex);
    world.answers["https://a.example/map"] = region(1, "first.example");
  }
  REQUIRE(world.eventually([&] { return world.derp.dump().find("first") != std::string::npos; }));
  const auto count = [&] {
    const std::lock_guard lock(world.mutex);
    return world.fetched["https://a.example/map"];
  };
  for (const char* bad : {"{\"Regions\":{\"1\":{}}}", "not JSON"}) {
    {
      const std::lock_guard lock(world.mutex);
      world.answers["https://a.example/map"] = bad;
    }
    const int before = count();
    while (count() < before + 3) ::usleep(1000);
    CHECK(sources->derp_map_json().find("first.example") != std::string::npos);
  }
  CHECK(world.log_text().find("the last one stays") != std::string::npos);
  {
    const std::lock_guard lock(world.mutex);
    world.answers["https://a.example/map"] = region(1, "second.example");
  }
  CHECK(world.eventually([&] { return world.derp.dump().find("second") != std::string::npos; }));
}

TEST_CASE("a file that cannot be read at the start is an error with its name") {
  Folder folder;
  World world;
  const auto problem = [&](const Config& config) {
    const auto sources = MapSources::open(config, world.log, world.outside());
    return sources.ok() ? std::string("opened") : sources.error();
  };
  Config config = config_of();
  config.derp.paths = {folder.path + "/absent.yaml"};
  CHECK(problem(config) == "derp.paths: " + folder.path + "/absent.yaml cannot be found");
  config.derp.paths = {folder.path};
  CHECK(problem(config) == "derp.paths: " + folder.path + " is a folder");
  config.derp.paths = {folder.write("bad.yaml", "regions: {1: {nodes: []}}")};
  CHECK(problem(config) ==
        "derp.paths: " + folder.path + "/bad.yaml: region 1: Nodes is missing or empty");
  config.derp.paths = {folder.write("broken.yaml", "regions: {1: \n}}")};
  CHECK(problem(config).starts_with("derp.paths: " + folder.path + "/broken.yaml:"));
  config.derp.paths.clear();
  config.dns.extra_records_path = folder.write("records.json", "{}");
  CHECK(problem(config) ==
        "dns.extra_records_path: " + folder.path + "/records.json is no JSON array of records");
}

TEST_CASE("changed files reach clients; a broken one leaves what was") {
  Folder folder;
  World world;
  Config config = config_of();
  config.dns.extra_records_path = folder.write(
      "records.json", R"([{"name":"a.tail.example","type":"A","value":"100.64.0.9"}])");
  config.derp.paths = {folder.write("map.json", region(5, "five.example"))};
  const auto sources = must(MapSources::open(config, world.log, world.outside()));
  CHECK(sources->dns_config_json().find("100.64.0.9") != std::string::npos);
  sources->start(world.publish());
  folder.write("records.json", R"([{"name":"b.other.example.","value":"fd7a::9"}])");
  REQUIRE(world.eventually([&] { return world.dns.dump().find("fd7a::9") != std::string::npos; }));
  CHECK(world.dns.at("ExtraRecords") ==
        json::array({{{"Name", "b.other.example"}, {"Type", "AAAA"}, {"Value", "fd7a::9"}}}));
  CHECK(world.dns.at("Routes").contains("b.other.example"));
  folder.write("map.json", region(6, "six.example"));
  REQUIRE(
      world.eventually([&] { return world.derp.dump().find("six.example") != std::string::npos; }));
  folder.write("records.json", "[{\"name\":");
  while (world.log_text().find("the last ones stay") == std::string::npos) ::usleep(1000);
  CHECK(sources->dns_config_json().find("fd7a::9") != std::string::npos);
  // A reload with a broken file changes nothing at all.
  config.dns.base_domain = "changed.example";
  CHECK_FALSE(sources->reload(config).ok());
  CHECK(sources->dns_config_json().find("changed") == std::string::npos);
  config.dns.extra_records_path.clear();
  CHECK(sources->reload(config).ok());
  CHECK(world.eventually([&] { return world.dns.dump().find("changed") != std::string::npos; }));
  sources->stop();
  const int published = world.published;
  CHECK(sources->reload(config).ok());
  CHECK(world.published == published);
}

TEST_CASE("clients without DNS get the addresses of this server and of the relays") {
  World world;
  world.names = {{"vpn.example.com", "192.0.2.7"}, {"one.example", "2001:db8::1"}};
  Config config = config_of();
  config.derp.urls = {"https://a.example/map"};
  world.answers = {{"https://a.example/map", region(1, "one.example")}};
  const auto sources = must(MapSources::open(config, world.log, world.outside()));
  CHECK(sources->bootstrap_dns_json("") == "{}");
  sources->start(world.publish());
  while (sources->bootstrap_dns_json("").find("2001:db8::1") == std::string::npos) ::usleep(1000);
  CHECK(json::parse(sources->bootstrap_dns_json("")) ==
        json{{"one.example", {"2001:db8::1"}}, {"vpn.example.com", {"192.0.2.7"}}});
  CHECK(json::parse(sources->bootstrap_dns_json("one.example")) ==
        json{{"one.example", {"2001:db8::1"}}});
  CHECK(json::parse(sources->bootstrap_dns_json("unknown.example")).size() == 2);
}

TEST_CASE("stopping does not wait for a look-up that hangs") {
  World world;
  struct Gate {
    std::mutex mutex;
    std::condition_variable wake;
    bool inside = false;
    bool open = false;
    bool left = false;
  };
  const auto gate = std::make_shared<Gate>();
  MapSources::Outside outside = world.outside();
  outside.lookup = [gate](const std::string&) -> std::vector<std::string> {
    std::unique_lock lock(gate->mutex);
    gate->inside = true;
    gate->wake.notify_all();
    gate->wake.wait(lock, [&] { return gate->open; });
    gate->left = true;
    gate->wake.notify_all();
    return {"192.0.2.1"};
  };
  {
    const auto sources = must(MapSources::open(config_of(), world.log, std::move(outside)));
    sources->start(world.publish());
    std::unique_lock lock(gate->mutex);
    gate->wake.wait(lock, [&] { return gate->inside; });
    lock.unlock();
    sources->stop();
  }
  std::unique_lock lock(gate->mutex);
  gate->open = true;
  gate->wake.notify_all();
  gate->wake.wait(lock, [&] { return gate->left; });
}

TEST_CASE("the DNS configuration says what dns.* says") {
  Config config = config_of();
  config.prefixes.v4 = "100.64.0.0/10";
  config.prefixes.v6 = "fd7a:115c:a1e0::/48";
  config.dns.search_domains = {"corp.example", "tail.example"};
  config.dns.nameservers_global = {"1.1.1.1"};
  config.dns.nameservers_split = {{"corp.example", {"10.0.0.53", "https://dns.example/q"}}};
  json dns = json::parse(dns_config_json(config, {}));
  CHECK(dns.at("Proxied") == true);
  CHECK(dns.at("Domains") == json({"tail.example", "corp.example"}));
  CHECK(dns.at("Resolvers") == json::array({{{"Addr", "1.1.1.1"}}}));
  CHECK_FALSE(dns.contains("FallbackResolvers"));
  const json& routes = dns.at("Routes");
  CHECK(routes.at("tail.example") == json::array());
  CHECK(routes.at("corp.example")[1].at("Addr") == "https://dns.example/q");
  CHECK(routes.contains("64.100.in-addr.arpa"));
  CHECK(routes.contains("127.100.in-addr.arpa"));
  CHECK_FALSE(routes.contains("128.100.in-addr.arpa"));
  CHECK(routes.contains("0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa"));
  CHECK(routes.size() == 2 + 64 + 1);

  config.dns.override_local_dns = false;
  dns = json::parse(dns_config_json(config, {}));
  CHECK(dns.contains("FallbackResolvers"));
  CHECK_FALSE(dns.contains("Resolvers"));

  config.dns.magic_dns = false;
  dns = json::parse(dns_config_json(config, {{"a.other.example", "A", "100.64.0.1"}}));
  CHECK_FALSE(dns.contains("Proxied"));
  CHECK(dns.at("Routes").size() == 1);  // split DNS only
  CHECK(dns.at("ExtraRecords").size() == 1);

  config.dns = {};
  config.dns.magic_dns = false;
  config.dns.base_domain.clear();
  CHECK(dns_config_json(config, {}) == "{}");
}

TEST_CASE("extra records are checked one by one") {
  const auto problem = [](const std::string& text) {
    const auto records = parse_extra_records(text);
    return records.ok() ? std::string("accepted") : records.error();
  };
  CHECK(problem("[]") == "accepted");
  CHECK(problem("[7]") == "record 1: expected {name, type, value}");
  CHECK(problem(R"([{"name":"a b","value":"1.2.3.4"}])") == "record 1: the name is not a DNS name");
  CHECK(problem(R"([{"name":"a","value":"x"}])") == "record 1: the value is not an address");
  CHECK(problem(R"([{"name":"a","type":"AAAA","value":"1.2.3.4"}])") ==
        "record 1: the type must be A for this address: clients ignore others");
  std::string many = "[";
  for (int i = 0; i < 10'000; ++i) many += R"({"name":"a","value":"1.2.3.4"},)";
  many.back() = ']';
  CHECK(problem(many) == "accepted");
  many.back() = ',';
  CHECK(problem(many + R"({"name":"a","value":"1.2.3.4"}])") == "has more than 10000 records");
}

}  // namespace es::cli

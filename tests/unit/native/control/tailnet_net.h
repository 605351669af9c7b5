// A tailnet on a database of its own, and what tests do to it.
#pragma once

#include "native/control/map_session.h"
#include "native/control/tailnet.h"
#include "tests/unit/native/control/control_fixture.h"

#include <nlohmann/json.hpp>
#include <zstd.h>

#include <future>
#include <map>
#include <set>

namespace es::control {

using nlohmann::json;
using store::TempDir;

inline tailcfg::MachineKey machine(uint8_t n) {
  tailcfg::RawKey raw{};
  raw.fill(n);
  return tailcfg::MachineKey(raw);
}
inline tailcfg::NodeKey node_key(uint8_t n) {
  tailcfg::RawKey raw{};
  raw.fill(n);
  raw[0] = 0xee;
  return tailcfg::NodeKey(raw);
}

// What a client understands of a payload: every frame decoded, one JSON object.
inline json decode(const std::string& payload) {
  std::string out;
  size_t at = 0;
  while (at < payload.size()) {
    const size_t frame = ZSTD_findFrameCompressedSize(payload.data() + at, payload.size() - at);
    REQUIRE(ZSTD_isError(frame) == 0);
    std::string text(ZSTD_getFrameContentSize(payload.data() + at, frame), '\0');
    REQUIRE(ZSTD_decompress(text.data(), text.size(), payload.data() + at, frame) == text.size());
    out += text;
    at += frame;
  }
  return json::parse(out);
}

inline json decode(const MapMessage& message) { return decode(message.joined()); }

inline std::vector<uint64_t> ids(const json& nodes) {
  std::vector<uint64_t> out;
  for (const json& node : nodes) out.push_back(node.at("ID").get<uint64_t>());
  return out;
}

struct NetLimits {
  size_t max_registrations = 1024;
  size_t max_registrations_of_network = 64;
  size_t max_registration_bytes = 16U << 20U;
};

// With the user "ann".
class Net {
 public:
  explicit Net(NetLimits limits = {}) : limits_(limits) { reopen(); }
  ~Net() { close(); }
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  void close() {
    if (directory_) directory_->listen({});
    if (directory_) directory_->close();
    tailnet_.reset();
    directory_.reset();
  }
  void reopen() {
    close();
    directory_ = open_directory(dir_.file());
    TailnetOptions options;
    options.server_url = "https://control.example";
    options.base_domain = "example.ts";
    options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
    options.addresses.v6 = *parse_ip_prefix("fd7a:115c:a1e0::/48");
    options.random = [this](MutableBytes out) {
      for (uint8_t& b : out) b = ++random_;
    };
    options.max_registrations = limits_.max_registrations;
    options.max_registrations_of_network = limits_.max_registrations_of_network;
    options.max_registration_bytes = limits_.max_registration_bytes;
    auto made = Tailnet::create(*directory_, directory_->take_nodes(), options, now);
    REQUIRE(made.ok());
    tailnet_ = std::move(made).value();
    directory_->listen([this](auto commits) { tailnet_->apply(commits); });
    if (directory_->users().rows.empty()) must(create_user(*directory_, "ann"));
  }

  std::string key(NewPreAuthKey request = {}) {
    if (!request.user_id && request.tags.empty()) request.user_id = 1;
    return must(wait<MintedPreAuthKey>(
                    [&](auto answer) { directory_->create_pre_auth_key(request, now, answer); }))
        .text;
  }
  std::string reusable_key() {
    NewPreAuthKey request;
    request.reusable = true;
    return key(request);
  }

  tailcfg::RegisterResponse enlist(uint8_t n, const tailcfg::RegisterRequest& request) {
    std::promise<tailcfg::RegisterResponse> promise;
    tailnet_->register_node(machine(n), request, now,
                            [&](tailcfg::RegisterResponse r) { promise.set_value(std::move(r)); });
    return promise.get_future().get();
  }
  static tailcfg::RegisterRequest request(uint8_t n, std::string auth_key) {
    tailcfg::RegisterRequest r;
    r.version = 113;
    r.node_key = node_key(n);
    r.auth_key = std::move(auth_key);
    r.hostinfo.hostname = "host" + std::to_string(n);
    return r;
  }
  // Registers machine n with the key and expects it to work.
  void join(uint8_t n, const std::string& auth_key) {
    const auto response = enlist(n, request(n, auth_key));
    CAPTURE(response.error);
    REQUIRE(response.error.empty());
    REQUIRE(response.machine_authorized);
  }

  static tailcfg::MapRequest poll(uint8_t n) {
    tailcfg::MapRequest r;
    r.version = 113;
    r.node_key = node_key(n);
    r.stream = true;
    r.zstd = true;
    return r;
  }
  std::shared_ptr<MapSession> listen(uint8_t n) {
    auto session = tailnet_->open_session(machine(n), poll(n), now, [this, n] { ++wakes[n]; });
    REQUIRE(session.ok());
    return *session;
  }
  json take(MapSession& session) {
    const auto payload = session.take(now);
    REQUIRE(payload.has_value());
    return decode(*payload);
  }

  Directory& directory() { return *directory_; }
  Tailnet& tailnet() { return *tailnet_; }

  WallTime now = kNow;
  std::map<int, int> wakes;

 private:
  const NetLimits limits_;
  TempDir dir_;
  uint8_t random_ = 0;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Tailnet> tailnet_;
};

}  // namespace es::control

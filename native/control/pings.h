// Questions to connected clients, and their answers: "are you there" (the client requests a URL),
// and c2n, an HTTP request that the client's own handler answers.
//
// Source: tailcfg.PingRequest, clients 1.80 to 1.102. Both are answered inside Noise at
// kPingAnswerPath with the question's id, which is random; only the machine that was asked can
// answer it. At most kMaxOpenPings wait.
// Threads: methods from any thread. Answers come on the caller's thread of answered() or tick(),
// once for each question that was sent, and must not block.
#pragma once

#include "common/base/bytes.h"
#include "common/base/time.h"
#include "native/control/tailnet.h"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace es::control {

inline constexpr std::string_view kPingAnswerPath = "/machine/ping-response";
inline constexpr size_t kMaxOpenPings = 4096;

class Pings {
 public:
  // The body of the answer (empty for "are you there"); nothing: no answer in time.
  using Answer = std::function<void(std::optional<std::string> body)>;

  // The tailnet must outlive it.
  Pings(Tailnet& tailnet, std::function<void(MutableBytes)> random);

  // False: the node has no session or too much waits; `answer` is not called then.
  bool is_there(uint64_t node, Millis timeout, WallTime now, Answer answer);
  // `http_request` is a whole HTTP/1.1 request; the answer is the response, head and all.
  bool c2n(uint64_t node, std::string_view http_request, Millis timeout, WallTime now,
           Answer answer);

  // A request to kPingAnswerPath. False: nobody asked this machine under this id.
  bool answered(std::string_view id, const tailcfg::MachineKey& machine, std::string body);
  // Gives up on those that are late. Call about once a second.
  void tick(WallTime now);

 private:
  struct Open {
    tailcfg::MachineKey machine;
    WallTime deadline{};
    Answer answer;
  };
  bool ask(uint64_t node, const std::string& more_members, Millis timeout, WallTime now,
           Answer answer);

  Tailnet& tailnet_;
  const std::function<void(MutableBytes)> random_;
  std::mutex mutex_;
  std::map<std::string, Open, std::less<>> open_;  // by id
};

// Watches subnet routers that share a route: one that holds its session but does not answer loses
// the route to one that does (Headscale's node.routes.ha).
// Threads: tick() from one.
class RouteProbes {
 public:
  struct Options {
    Millis interval{10'000};  // 0: off
    Millis timeout{5'000};
  };
  // Tailnet and pings must outlive it.
  RouteProbes(Tailnet& tailnet, Pings& pings, Options options)
      : tailnet_(tailnet), pings_(pings), options_(options) {}

  void tick(WallTime now);

 private:
  Tailnet& tailnet_;
  Pings& pings_;
  const Options options_;
  std::optional<WallTime> last_;
};

}  // namespace es::control

// Many clients on real sockets against many threads of a server: what the thread sanitizer is to
// look at (preset tsan; see CONTRIBUTING).
#pragma once

#include "tests/unit/native/ts2021/socket_client.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

namespace es::test {

inline constexpr unsigned kClients = 6;
inline constexpr Millis kTime{1200};

// Runs `work(number, random)` again and again in threads of its own, for kTime.
template <class F>
void in_threads(unsigned count, F work) {
  const Millis end = monotonic() + kTime;
  std::vector<std::thread> threads;
  for (unsigned n = 1; n <= count; ++n) {
    threads.emplace_back([&work, n, end] {
      std::mt19937_64 random(n);
      while (monotonic() < end) work(n, random);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

inline net::TestServer::Options four_threads() {
  auto options = net::TestServer::options();
  options.num_threads = 4;
  return options;
}

inline bool all_closed(net::TestServer& server) {
  for (int i = 0; i < 500 && server.server().num_connections() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return server.server().num_connections() == 0;
}

inline noise::Key key_of(unsigned n) {
  noise::Key key;
  key.fill(static_cast<uint8_t>(n));
  return key;
}

}  // namespace es::test

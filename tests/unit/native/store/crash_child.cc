// Writes pre-auth keys from several threads until it is killed, and prints the prefix of each one
// after its write was acknowledged, a line each, with one write(2).
#include "native/store/sqlite_store.h"

#include <cstdio>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

int main(int argc, char** argv) {
  using namespace es::store;
  if (argc != 3) return 2;
  SqliteOptions options;
  options.path = argv[1];
  auto opened = open_sqlite(options);
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", opened.error().text.c_str());
    return 1;
  }
  Store& store = **opened;
  if (!store.start([](Contents) {}, [](std::span<const Transaction>) {}).ok()) return 1;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0;; ++i) {
        const std::string prefix = argv[2] + std::to_string(t) + "-" + std::to_string(i);
        PreAuthKey key;
        key.prefix = prefix;
        key.hash = std::string(32, 'h');
        store.write({{InsertPreAuthKey{key}}},
                    [prefix](es::Result<const Transaction*, StoreError> result) {
                      const std::string line = prefix + "\n";
                      if (result.ok() && ::write(1, line.data(), line.size()) < 0) ::_exit(1);
                    });
        // Keeps a few dozen in flight without flooding the queue.
        if (i % 16 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

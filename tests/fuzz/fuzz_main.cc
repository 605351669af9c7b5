// An ordinary main for fuzz targets, so that ctest runs every one of them: first each file of the
// corpus folder given, then mutations of them. Usage: TARGET [CORPUS_DIR] [-runs=N] [-seed=N].
//
// It is no coverage-guided fuzzer (the `fuzz` preset links libFuzzer for that); it shows that the
// target builds, passes its corpus, and survives the obvious damage.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

Input mutate(const std::vector<Input>& corpus, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); };
  Input input = corpus.empty() ? Input{} : corpus[below(corpus.size())];
  for (size_t n = 1 + below(8); n > 0; --n) {
    switch (below(6)) {
      case 0:  // flip a bit
        if (!input.empty()) input[below(input.size())] ^= static_cast<uint8_t>(1U << below(8));
        break;
      case 1:  // set a byte to an edge value
        if (!input.empty()) {
          constexpr uint8_t kEdges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '"', '%', '/', '\n'};
          input[below(input.size())] = kEdges[below(std::size(kEdges))];
        }
        break;
      case 2:  // truncate
        input.resize(below(input.size() + 1));
        break;
      case 3:  // insert
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1)),
                     static_cast<uint8_t>(random()));
        break;
      case 4:  // repeat a piece
        if (!input.empty() && input.size() < 65536) {
          const size_t from = below(input.size());
          const Input piece(input.begin() + static_cast<std::ptrdiff_t>(from),
                            input.begin() + static_cast<std::ptrdiff_t>(
                                                from + 1 + below(input.size() - from)));
          input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1)),
                       piece.begin(), piece.end());
        }
        break;
      default:  // splice with another
        if (!corpus.empty()) {
          const Input& other = corpus[below(corpus.size())];
          input.resize(below(input.size() + 1));
          input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size())),
                       other.end());
        }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  size_t runs = 20000;
  uint64_t seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  std::vector<Input> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg.starts_with("-runs=")) {
      runs = std::strtoull(argv[i] + 6, nullptr, 10);
    } else if (arg.starts_with("-seed=")) {
      seed = std::strtoull(argv[i] + 6, nullptr, 10);
    } else if (std::filesystem::is_directory(arg)) {
      for (const auto& entry : std::filesystem::directory_iterator(arg)) {
        std::ifstream file(entry.path(), std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      }
    }
  }
  std::printf("%zu corpus files, %zu mutations, -seed=%llu\n", corpus.size(), runs,
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (const Input& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < runs; ++i) {
    const Input input = mutate(corpus, random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}

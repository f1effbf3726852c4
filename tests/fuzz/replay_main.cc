// Drives a fuzz target without libFuzzer: each file of the corpus folder that is named, mutations of them, and
// inputs of random bytes, all from one seed, so that every run of the tests feeds the same bytes.  A second argument
// says how many percent of them.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutationsPerInput = 2000;
constexpr int kRandomInputs = 20000;
constexpr std::size_t kRandomBytesMax = 600;

using Input = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

// A heap block of exactly that size, so that a sanitizer sees the first byte read past the end.
void feed(const Input& input) {
  const Input exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::size_t below(Random& random, std::size_t n) { return n == 0 ? 0 : random() % n; }

void mutate(Input& input, Random& random) {
  for (std::size_t changes = 1 + below(random, 4); changes > 0; --changes) {
    const std::size_t at = below(random, input.size());
    switch (random() % 5) {
      case 0:
        if (!input.empty()) input[at] ^= static_cast<std::uint8_t>(1u << (random() % 8));
        break;
      case 1:
        if (!input.empty()) input[at] = static_cast<std::uint8_t>(random());
        break;
      case 2: input.resize(at); break;
      case 3: input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random())); break;
      case 4:  // A length that lies.
        for (std::size_t i = at; i < input.size() && i < at + 4; ++i) input[i] = 0xff;
        break;
    }
  }
}

std::vector<Input> read_corpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  Random random(20'240'501);
  std::size_t fed = 0;
  const int percent = argc > 2 ? std::atoi(argv[2]) : 100;
  const std::vector<Input> corpus = argc > 1 ? read_corpus(argv[1]) : std::vector<Input>{};
  for (const Input& seed : corpus) {
    feed(seed);
    for (int i = 0; i < kMutationsPerInput * percent / 100; ++i, ++fed) {
      Input input = seed;
      mutate(input, random);
      feed(input);
    }
  }
  for (int i = 0; i < kRandomInputs * percent / 100; ++i, ++fed) {
    Input input(below(random, kRandomBytesMax));
    for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    feed(input);
  }
  std::printf("%zu inputs, %zu files of corpus\n", fed, corpus.size());
  return EXIT_SUCCESS;
}

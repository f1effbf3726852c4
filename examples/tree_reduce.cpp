// Adds many numbers by a tree of tasks: each level takes the Refs of the one below it as arguments, so nothing waits in
// the driver and no number passes through it.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <vector>

#include <mobula/mobula.h>

using Numbers = std::vector<std::int64_t>;

Numbers make_block(std::int64_t first, std::int64_t count) {
  Numbers out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}
std::int64_t sum_of(const Numbers& block) { return std::accumulate(block.begin(), block.end(), std::int64_t{0}); }
std::int64_t add(std::int64_t a, std::int64_t b) { return a + b; }

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::int64_t blocks = argc > 1 ? std::atoll(argv[1]) : 64;
  constexpr std::int64_t kPerBlock = 100'000;

  std::vector<mobula::Ref<std::int64_t>> level;
  for (std::int64_t i = 0; i < blocks; ++i) {
    level.push_back(mobula::remote<&sum_of>(mobula::remote<&make_block>(i * kPerBlock, kPerBlock)));
  }
  while (level.size() > 1) {
    std::vector<mobula::Ref<std::int64_t>> above;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
      above.push_back(mobula::remote<&add>(level[i], level[i + 1]));
    }
    if (level.size() % 2 == 1) above.push_back(level.back());
    level = std::move(above);
  }
  const std::int64_t n = blocks * kPerBlock;
  const std::int64_t total = level.at(0).get();
  std::cout << "the sum of 0 to " << n - 1 << " is " << total << "\n";
  return total == n * (n - 1) / 2 ? 0 : 1;
}

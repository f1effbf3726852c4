// Estimates pi by throwing darts in many tasks.  Prints the estimate and how far it is off; the same seeds give the
// same number every time.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <numbers>
#include <vector>

#include <mobula/mobula.h>

// Darts of `count` that fall into the quarter circle, from a generator seeded with `seed` (SplitMix64).
std::int64_t darts_inside(std::uint64_t seed, std::int64_t count) {
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u;
  auto uniform = [&state] {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  };
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = uniform(), y = uniform();
    if (x * x + y * y < 1) ++inside;
  }
  return inside;
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const int tasks = argc > 1 ? std::atoi(argv[1]) : 64;
  constexpr std::int64_t kDarts = 500'000;

  std::vector<mobula::Ref<std::int64_t>> counts;
  for (int i = 0; i < tasks; ++i) {
    counts.push_back(mobula::remote<&darts_inside>(static_cast<std::uint64_t>(i + 1), kDarts));
  }
  std::int64_t inside = 0;
  while (!counts.empty()) {  // In the order in which they end.
    auto [done, rest] = mobula::wait(counts, {.count = 1});
    inside += done[0].get();
    counts = std::move(rest);
  }
  const double pi = 4.0 * static_cast<double>(inside) / (static_cast<double>(kDarts) * tasks);
  std::cout << "pi is about " << pi << " (" << inside << " darts)\n";
  return std::abs(pi - std::numbers::pi) < 0.01 ? 0 : 1;
}

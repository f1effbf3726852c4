#include <gtest/gtest.h>

#include "tests/sim/lineage_world.h"

namespace mobula::sim {
namespace {

constexpr std::uint64_t kSeeds = 150;

TEST(LineageSim, EverySeedKeepsWhatTheOracleDemandsAndRepeatsItself) {
  std::uint64_t events = 0, deaths = 0, reruns = 0, errors = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LineageWorld world({.seed = seed});
    world.run();
    for (const std::string& v : world.violations()) {
      ADD_FAILURE() << "seed " << seed << " (./dev sim lineage --seed " << seed << " --trace): " << v;
    }
    LineageWorld again({.seed = seed});
    again.run();
    EXPECT_EQ(world.digest(), again.digest()) << "seed " << seed << " does not repeat itself";
    events += world.events();
    deaths += world.deaths();
    reruns += world.reruns();
    errors += world.errors();
  }
  // A world in which nothing is lost, or nothing found again, would show nothing.
  EXPECT_GT(reruns, kSeeds);
  EXPECT_GT(errors, kSeeds / 10);
  std::printf("%llu seeds twice, %llu events, %llu deaths, %llu tasks run again, %llu errors\n",
              static_cast<unsigned long long>(kSeeds), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(deaths), static_cast<unsigned long long>(reruns),
              static_cast<unsigned long long>(errors));
}

}  // namespace
}  // namespace mobula::sim

#include <gtest/gtest.h>

#include "tests/sim/own_world.h"

namespace mobula::sim {
namespace {

constexpr std::uint64_t kSeeds = 400;

TEST(OwnershipSim, EverySeedKeepsWhatTheOracleDemandsAndRepeatsItself) {
  std::uint64_t events = 0, lost = 0, objects = 0, deaths = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    OwnWorld world({.seed = seed});
    world.run();
    for (const std::string& v : world.violations()) {
      ADD_FAILURE() << "seed " << seed << " (./dev sim ownership --seed " << seed << " --trace): " << v;
    }
    OwnWorld again({.seed = seed});
    again.run();
    EXPECT_EQ(world.digest(), again.digest()) << "seed " << seed << " does not repeat itself";
    events += world.events();
    lost += world.lost();
    objects += world.objects();
    deaths += world.deaths();
  }
  std::printf("%llu seeds twice, %llu events, %llu objects, %llu deaths, %llu messages lost\n",
              static_cast<unsigned long long>(kSeeds), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(objects), static_cast<unsigned long long>(deaths),
              static_cast<unsigned long long>(lost));
}

}  // namespace
}  // namespace mobula::sim

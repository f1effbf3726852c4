#include <gtest/gtest.h>

#include "tests/sim/sched_world.h"

namespace mobula::sim {
namespace {

constexpr std::uint64_t kSeeds = 150;

TEST(SchedulingSim, EverySeedKeepsWhatTheOracleDemandsAndRepeatsItself) {
  std::uint64_t events = 0, lost = 0, tasks = 0, groups = 0, given_up = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world({seed, false});
    world.run();
    for (const std::string& v : world.oracle().violations()) ADD_FAILURE() << "seed " << seed << ": " << v;
    World again({seed, false});
    again.run();
    EXPECT_EQ(world.digest(), again.digest()) << "seed " << seed << " does not repeat itself";
    events += world.events();
    lost += world.lost();
    tasks += world.oracle().tasks();
    groups += world.oracle().groups_completed();
    given_up += world.given_up();
  }
  EXPECT_GT(groups, 0u);
  EXPECT_GT(given_up, 0u);
  std::printf("%llu seeds twice, %llu events, %llu tasks, %llu groups, %llu messages lost, %llu actors given up\n",
              static_cast<unsigned long long>(kSeeds), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(tasks), static_cast<unsigned long long>(groups),
              static_cast<unsigned long long>(lost), static_cast<unsigned long long>(given_up));
}

}  // namespace
}  // namespace mobula::sim

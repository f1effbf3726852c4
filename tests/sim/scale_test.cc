#include <gtest/gtest.h>

#include "tests/sim/scale_world.h"

namespace mobula::sim {
namespace {

TEST(Scale, EveryCpuOfTheClusterIsLeasedWithTheSameMessagesForEachNode) {
  const ScaleResult small = fill_with_leases({.nodes = 20});
  const ScaleResult large = fill_with_leases({.nodes = 200});
  EXPECT_EQ(small.done, 160u);
  EXPECT_EQ(large.done, 1'600u);
  EXPECT_LT(large.messages_per_node, 2 * small.messages_per_node);
  EXPECT_LT(large.took, std::chrono::seconds(1));
}

TEST(Scale, EveryActorAndGroupComesAlive) {
  EXPECT_EQ(create_actors({.nodes = 50}, 2'000).done, 2'000u);
  EXPECT_EQ(create_groups({.nodes = 50}, 50, 4).done, 50u);
}

}  // namespace
}  // namespace mobula::sim

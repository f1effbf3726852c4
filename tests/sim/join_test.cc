#include <gtest/gtest.h>

#include "tests/sim/join_world.h"

namespace mobula::sim {
namespace {

using std::chrono::milliseconds;

// Virtual time: the same on every machine.
TEST(JoinSim, TenThousandNodesAreUpWithinTwoSeconds) {
  const JoinFigures figures = simulate_join({.nodes = 10'000});
  EXPECT_GT(figures.all_up, milliseconds(0));
  EXPECT_LE(figures.all_up, milliseconds(2'000));
  EXPECT_LE(figures.all_known, milliseconds(2'500));
}

TEST(JoinSim, WhatANodeSendsAndGetsDoesNotGrowWithTheNumberOfNodes) {
  const JoinFigures few = simulate_join({.nodes = 100});
  const JoinFigures many = simulate_join({.nodes = 1'000});
  const JoinFigures all = simulate_join({.nodes = 10'000});
  EXPECT_GT(few.messages_per_node, 10);
  EXPECT_LE(many.messages_per_node, 2 * few.messages_per_node);
  EXPECT_LE(all.messages_per_node, 2 * few.messages_per_node);
  EXPECT_LE(all.messages_max, 60u);
}

TEST(JoinSim, OneNodeWaitsForNobody) {
  const JoinFigures figures = simulate_join({.nodes = 1});
  EXPECT_GT(figures.all_up, milliseconds(0));
  EXPECT_LE(figures.all_known, milliseconds(2));
}

}  // namespace
}  // namespace mobula::sim

#include "tests/sim/own_explore.h"

#include <gtest/gtest.h>

namespace mobula::sim {
namespace {

void expect_all_right(const OwnExplorer::Budget& budget) {
  OwnExplorer explorer(budget);
  std::string way;
  for (const std::string& line : explorer.run()) way += line + "\n";
  EXPECT_EQ(way, "");
  EXPECT_FALSE(explorer.gave_up());
  std::printf("%llu states, %llu of them quiet\n", static_cast<unsigned long long>(explorer.states()),
              static_cast<unsigned long long>(explorer.quiet_states()));
}

TEST(OwnershipInASmallWorld, OneObjectOneCallOneDeathOneCopyInAllOrders) {
  expect_all_right({.calls = 1, .puts = 0, .gets = 0, .deaths = 1, .copies = 1});
}

TEST(OwnershipInASmallWorld, TwoObjectsOneCallOneDeathInAllOrders) {
  expect_all_right({.calls = 1, .puts = 1, .gets = 1, .deaths = 1, .copies = 0});
}

TEST(OwnershipInASmallWorld, TwoObjectsOneCallOneCopyInAllOrders) {
  expect_all_right({.calls = 1, .puts = 1, .gets = 1, .deaths = 0, .copies = 1});
}

TEST(OwnershipInASmallWorld, APassedOnReferenceAndOneDeathInAllOrders) {
  expect_all_right({.calls = 2, .puts = 0, .gets = 0, .deaths = 1, .copies = 0});
}

}  // namespace
}  // namespace mobula::sim

#include "core/base/resources.h"

#include <limits>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

Resources of(std::initializer_list<std::pair<const char*, double>> amounts) {
  Resources out;
  for (const auto& [name, amount] : amounts) out.set(name, Amount::of(amount));
  return out;
}

TEST(Resources, AddUpExactly) {
  Resources total;
  for (int i = 0; i < 10; ++i) total.add(of({{"gpus", 0.1}}));
  EXPECT_EQ(total, of({{"gpus", 1}}));
  for (int i = 0; i < 10; ++i) total.subtract(of({{"gpus", 0.1}}));
  EXPECT_TRUE(total.empty());
}

TEST(Resources, CoverWhatIsThereAndNoMore) {
  const auto node = of({{"cpus", 4}, {"memory", 1e9}});
  EXPECT_TRUE(node.covers(of({{"cpus", 4}})));
  EXPECT_TRUE(node.covers({}));
  EXPECT_FALSE(node.covers(of({{"cpus", 4.0001}})));
  EXPECT_FALSE(node.covers(of({{"gpus", 0.0001}})));
}

TEST(Resources, TellWhenTheyFellBelowZero) {
  auto node = of({{"cpus", 1}});
  node.subtract(of({{"cpus", 1}}));
  EXPECT_FALSE(node.any_negative());
  node.subtract(of({{"cpus", 0.5}}));
  EXPECT_TRUE(node.any_negative());
}

TEST(Resources, AreSpelledForPeople) {
  EXPECT_EQ(Resources{}.to_string(), "nothing");
  EXPECT_EQ(of({{"gpus", 0.5}, {"cpus", 1}}).to_string(), "cpus=1 gpus=0.5");
  EXPECT_EQ(of({{"x", -0.0001}}).to_string(), "x=-0.0001");
  Resources large;
  large.set("memory", {std::numeric_limits<std::int64_t>::min()});
  EXPECT_EQ(large.to_string(), "memory=-922337203685477.5808");
}

}  // namespace
}  // namespace mobula::base

#include "scheduler/cluster_view.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

const auto kA = id<base::NodeId>(1), kB = id<base::NodeId>(2), kC = id<base::NodeId>(3);

NodeView node(const base::NodeId& n, std::uint64_t version, double cpus, double free, Labels labels = {}) {
  return {n, version, NodeState::kAlive, "", res({{"cpus", cpus}}), res({{"cpus", free}}), std::move(labels)};
}

TEST(ClusterView, OlderViewsAndViewsOfTheDeadAreIgnoredUntilANewLife) {
  ClusterView view({});
  EXPECT_TRUE(view.apply(node(kA, 5, 4, 4)));
  EXPECT_FALSE(view.apply(node(kA, 4, 4, 0)));
  NodeView dead = node(kA, 6, 4, 4);
  dead.state = NodeState::kDead;
  EXPECT_TRUE(view.apply(dead));
  EXPECT_TRUE(view.is_dead(kA));
  EXPECT_FALSE(view.apply(node(kA, 5, 4, 4)));
  EXPECT_EQ(view.find(kA), nullptr);
  EXPECT_TRUE(view.apply(node(kA, 7, 4, 4)));
  EXPECT_FALSE(view.is_dead(kA));
}

TEST(ClusterView, PackThenSpreadPrefersHomeThenHalfEmptyNodesThenTheLeastUsed) {
  ClusterView view({});
  view.apply(node(kA, 1, 4, 4));
  view.apply(node(kB, 1, 4, 1));
  view.apply(node(kC, 1, 4, 3));
  const base::Resources one = res({{"cpus", 1}});
  const Strategy strategy;
  EXPECT_EQ(view.pick(at(0), {one, strategy, kA, std::nullopt}), kA);
  EXPECT_EQ(view.pick(at(0), {one, strategy, kA, kA}), kC);
  view.assume(at(0), kC, res({{"cpus", 3}}));
  EXPECT_EQ(view.pick(at(0), {one, strategy, kA, kA}), kB);
  EXPECT_EQ(view.pick(at(100), {one, strategy, kA, kA}), kC);  // Nothing was heard: the guess has worn off.
}

TEST(ClusterView, SpreadTakesTheLeastUsed) {
  ClusterView view({});
  view.apply(node(kA, 1, 4, 2));
  view.apply(node(kB, 1, 8, 7));
  const base::Resources one = res({{"cpus", 1}});
  const Strategy spread{Spread{}, {}};
  EXPECT_EQ(view.pick(at(0), {one, spread, kA, std::nullopt}), kB);
}

TEST(ClusterView, ANodeThatRefusedIsLeftAloneForAMoment) {
  ClusterView view({});
  view.apply(node(kA, 1, 4, 4));
  const base::Resources one = res({{"cpus", 1}});
  const Strategy strategy;
  view.refused(at(0), kA);
  EXPECT_EQ(view.pick(at(1), {one, strategy, kB, std::nullopt}), std::nullopt);
  EXPECT_EQ(view.next_retry(at(1)), at(20));
  EXPECT_EQ(view.pick(at(20), {one, strategy, kB, std::nullopt}), kA);
}

TEST(ClusterView, HardAffinityKeepsToItsNodeAndSoftAffinityFallsBackWhenItIsGone) {
  ClusterView view({});
  view.apply(node(kA, 1, 4, 4));
  view.apply(node(kB, 1, 4, 0));
  const base::Resources one = res({{"cpus", 1}});
  const Strategy hard{NodeAffinity{kB, NodeAffinity::Force::kHard}, {}};
  const Strategy soft{NodeAffinity{kC, NodeAffinity::Force::kSoft}, {}};
  EXPECT_EQ(view.pick(at(0), {one, hard, kA, std::nullopt}), std::nullopt);
  EXPECT_FALSE(view.infeasible(one, hard));
  EXPECT_EQ(view.pick(at(0), {one, soft, kA, std::nullopt}), kA);
  const Strategy gone{NodeAffinity{kC, NodeAffinity::Force::kHard}, {}};
  EXPECT_TRUE(view.infeasible(one, gone));
}

TEST(ClusterView, LabelRulesSelectNodes) {
  const Labels labels{{"zone", "a"}, {"ssd", ""}};
  using Op = LabelRule::Op;
  EXPECT_TRUE((LabelRule{"zone", Op::kIn, {"a", "b"}}.holds(labels)));
  EXPECT_FALSE((LabelRule{"zone", Op::kNotIn, {"a"}}.holds(labels)));
  EXPECT_TRUE((LabelRule{"rack", Op::kNotIn, {"a"}}.holds(labels)));
  EXPECT_TRUE((LabelRule{"ssd", Op::kExists, {}}.holds(labels)));
  EXPECT_FALSE((LabelRule{"ssd", Op::kNotExists, {}}.holds(labels)));
}

TEST(ClusterView, WhatNobodyCouldServeNamesTheNearestNodeAndWhatItLacks) {
  ClusterView view({});
  view.apply(node(kA, 1, 2, 2));
  view.apply(node(kB, 1, 8, 0));
  const auto why = view.infeasible(res({{"cpus", 12}}), {});
  ASSERT_TRUE(why);
  EXPECT_EQ(why->nearest, kB);
  EXPECT_NE(why->missing.find("cpus=12 wanted"), std::string::npos) << why->missing;
  EXPECT_NE(why->missing.find("cpus=8 there"), std::string::npos) << why->missing;
  EXPECT_FALSE(view.infeasible(res({{"cpus", 8}}), {}));
}

}  // namespace
}  // namespace mobula::scheduler

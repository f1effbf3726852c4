#include "scheduler/cluster_view.h"

#include <map>
#include <tuple>

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

// The rule written out: home, then the next one that is less than half used, then the least used; spread: the least
// used.
std::optional<base::NodeId> by_rule(const std::map<base::NodeId, std::pair<int, int>>& nodes, const base::NodeId& home,
                                    int need, bool spread) {
  using Rank = std::tuple<bool, int, bool>;
  std::optional<std::pair<Rank, base::NodeId>> best;
  for (const auto& [node, all_and_free] : nodes) {
    const auto [all, free] = all_and_free;
    if (free < need) continue;
    const int used = (all - free) * 1000 / all;
    const Rank rank{!spread && node != home, !spread && used < 500 ? 0 : used, node <= home};
    if (!best || rank < best->first) best = {rank, node};
  }
  return best ? std::optional(best->second) : std::nullopt;
}

TEST(ClusterView, ChoosesAmongManyNodesAsTheRuleSays) {
  std::uint64_t seed = 1;
  const auto random = [&](std::uint64_t below) { return (seed = base::mix64(seed)) % below; };
  ClusterView view({});
  std::map<base::NodeId, std::pair<int, int>> nodes;
  std::uint64_t version = 0;
  for (int round = 0; round < 3'000; ++round) {
    const auto n = id<base::NodeId>(1 + random(40));
    const int all = 2 + static_cast<int>(random(3));
    const int free = static_cast<int>(random(static_cast<std::uint64_t>(all) + 1));
    nodes[n] = {all, free};
    view.apply(node(n, ++version, all, free));
    const auto home = id<base::NodeId>(1 + random(45));
    const int need = 1 + static_cast<int>(random(3));
    const base::Resources shape = res({{"cpus", need}});
    const bool spread = random(2) == 0;
    const Strategy strategy = spread ? Strategy{Spread{}, {}} : Strategy{};
    ASSERT_EQ(view.pick(at(round), {shape, strategy, home, std::nullopt}), by_rule(nodes, home, need, spread)) << round;
  }
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

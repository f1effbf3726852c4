#include "scheduler/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

using base::NodeId;
using base::PlacementGroupId;
using ::testing::HasSubstr;

const auto kA = id<NodeId>(1), kB = id<NodeId>(2), kC = id<NodeId>(3);
const auto kOwner = id<base::WorkerId>(50);
const auto kJob = id<base::JobId>(60);

class GroupTest : public ::testing::Test {
 protected:
  std::vector<GroupOutput> step(int ms, GroupInput input) {
    base::Outbox<GroupOutput> out;
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return {out.begin(), out.end()};
  }
  std::vector<GroupOutput> tick(int ms) {
    base::Outbox<GroupOutput> out;
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return {out.begin(), out.end()};
  }
  void node(const NodeId& n, NodeState state = NodeState::kAlive) {
    step(0, NodeView{n, ++version, state, "", res({{"cpus", 4}}), res({{"cpus", 4}}), {}});
  }
  std::vector<GroupOutput> create(int ms, std::uint64_t n, std::size_t bundles,
                                  GroupStrategy strategy = GroupStrategy::kStrictSpread, double cpus = 2) {
    CreateGroup event;
    event.request = n;
    event.group = id<PlacementGroupId>(n);
    event.owner = kOwner;
    event.job = kJob;
    event.wish.strategy = strategy;
    event.wish.bundles.assign(bundles, res({{"cpus", cpus}}));
    return step(ms, event);
  }
  // All nodes agree, to the end.
  std::vector<GroupOutput> agree(int ms, const std::vector<GroupOutput>& asked) {
    std::vector<GroupOutput> last;
    std::vector<CommitBundles> commits;
    for (const PrepareBundles& p : all<PrepareBundles>(asked)) {
      last = step(ms, BundlesPrepared{p.node, p.hold});
      for (const CommitBundles& c : all<CommitBundles>(last)) commits.push_back(c);
    }
    for (const CommitBundles& c : commits) last = step(ms, BundlesCommitted{c.node, c.hold});
    return last;
  }
  GroupState state(std::uint64_t n) { return machine.find(id<PlacementGroupId>(n))->state; }

  GroupMachine machine{7, GroupLimits{}};
  std::uint64_t version = 0;
};

TEST_F(GroupTest, EveryNodePreparesBeforeAnyCommits) {
  node(kA), node(kB);
  const auto prepares = all<PrepareBundles>(create(0, 1, 2));
  ASSERT_EQ(prepares.size(), 2u);
  EXPECT_TRUE(all<CommitBundles>(step(1, BundlesPrepared{kA, prepares[0].hold})).empty());
  EXPECT_EQ(state(1), GroupState::kPending);
  const auto commits = all<CommitBundles>(step(2, BundlesPrepared{kB, prepares[1].hold}));
  ASSERT_EQ(commits.size(), 2u);
  EXPECT_TRUE(all<GroupChanged>(step(3, BundlesCommitted{kA, prepares[0].hold})).empty());
  const auto changed = all<GroupChanged>(step(4, BundlesCommitted{kB, prepares[1].hold}));
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].view.state, GroupState::kCreated);
  EXPECT_EQ(changed[0].view.placed.size(), 2u);
}

TEST_F(GroupTest, ARefusalReleasesWhatOthersPreparedAndIsTriedAgain) {
  node(kA), node(kB);
  const auto prepares = all<PrepareBundles>(create(0, 1, 2));
  step(1, BundlesPrepared{kA, prepares[0].hold});
  const auto after = step(2, BundlesRefused{kB, prepares[1].hold, "full", res({{"cpus", 1}}), {}, {}});
  const auto releases = all<ReleaseBundles>(after);
  ASSERT_EQ(releases.size(), 1u);
  EXPECT_EQ(releases[0].hold, prepares[0].hold);
  EXPECT_TRUE(all<PrepareBundles>(after).empty());
  step(3, BundlesReleased{kA, prepares[0].hold});
  EXPECT_TRUE(all<PrepareBundles>(tick(50)).empty()) << "it waits a moment";
  node(kB);
  EXPECT_EQ(all<PrepareBundles>(tick(150)).size(), 2u);
}

TEST_F(GroupTest, AReleaseIsRepeatedUntilItIsAnswered) {
  node(kA);
  const auto prepares = all<PrepareBundles>(create(0, 1, 1));
  const auto removed = step(1, RemoveGroup{id<PlacementGroupId>(1)});
  ASSERT_EQ(all<ReleaseBundles>(removed).size(), 1u);
  EXPECT_EQ(all<ReleaseBundles>(removed)[0].request, prepares[0].request) << "it may overtake its request";
  EXPECT_EQ(all<ReleaseBundles>(tick(600)).size(), 1u);
  step(601, BundlesReleased{kA, prepares[0].hold});
  EXPECT_TRUE(all<ReleaseBundles>(tick(2000)).empty());
  EXPECT_TRUE(all<CommitBundles>(step(2001, BundlesPrepared{kA, prepares[0].hold})).empty()) << "too late";
}

TEST_F(GroupTest, ADeadNodesBundlesComeBackBeforeNewGroups) {
  node(kA), node(kB), node(kC);
  agree(0, create(0, 1, 2, GroupStrategy::kStrictSpread, 4));  // A and B.
  EXPECT_EQ(state(1), GroupState::kCreated);
  const auto view = *machine.find(id<PlacementGroupId>(1));
  create(1, 2, 2, GroupStrategy::kStrictSpread, 4);  // Finds only C.
  EXPECT_EQ(state(2), GroupState::kPending);
  const auto after =
      step(2, NodeView{view.placed[1].node, ++version, NodeState::kDead, "", res({{"cpus", 4}}), {}, {}});
  const auto prepares = all<PrepareBundles>(after);
  ASSERT_EQ(prepares.size(), 1u);
  EXPECT_EQ(prepares[0].group, id<PlacementGroupId>(1));
  EXPECT_EQ(prepares[0].node, kC);
  ASSERT_EQ(prepares[0].bundles.size(), 1u);
  EXPECT_EQ(prepares[0].bundles[0].index, 1u);
  EXPECT_EQ(state(1), GroupState::kRescheduling);
  EXPECT_EQ(machine.find(id<PlacementGroupId>(1))->placed.size(), 1u);
  agree(3, after);
  EXPECT_EQ(state(1), GroupState::kCreated);
}

TEST_F(GroupTest, ADeathBeforeTheDecisionGivesUpTheAttempt) {
  node(kA), node(kB), node(kC);
  const auto prepares = all<PrepareBundles>(create(0, 1, 2));
  step(1, BundlesPrepared{prepares[0].node, prepares[0].hold});
  const auto after = step(2, NodeView{prepares[1].node, ++version, NodeState::kDead, "", res({{"cpus", 4}}), {}, {}});
  EXPECT_EQ(all<ReleaseBundles>(after).size(), 1u);
  EXPECT_TRUE(all<CommitBundles>(after).empty());
  EXPECT_EQ(state(1), GroupState::kPending);
}

TEST_F(GroupTest, WhatCanNeverBeIsSaidAtOnceWithTheReason) {
  node(kA), node(kB);
  create(0, 1, 3);
  EXPECT_EQ(state(1), GroupState::kInfeasible);
  EXPECT_THAT(machine.find(id<PlacementGroupId>(1))->why, HasSubstr("3 bundles, 2 of these"));
  create(0, 2, 1, GroupStrategy::kPack, 9);
  EXPECT_THAT(machine.find(id<PlacementGroupId>(2))->why, HasSubstr("cpus=9 wanted, cpus=4 there"));
  EXPECT_TRUE(machine.find(id<PlacementGroupId>(2))->nearest);
}

TEST_F(GroupTest, ItWaitsForRoomAndAsksNodesThatOnlyLeasesFill) {
  node(kA);
  step(0, NodeView{kA, ++version, NodeState::kAlive, "", res({{"cpus", 4}}), res({{"cpus", 0}}), {}});
  EXPECT_TRUE(all<PrepareBundles>(create(0, 1, 1)).empty());
  EXPECT_TRUE(all<PrepareBundles>(tick(100)).empty());
  EXPECT_EQ(all<PrepareBundles>(tick(500)).size(), 1u) << "the request makes the node recall leases";
}

TEST_F(GroupTest, NamesAreAloneAndFreeAgainAfterTheEnd) {
  node(kA);
  CreateGroup event;
  event.request = 1;
  event.group = id<PlacementGroupId>(1);
  event.name = "gang";
  event.wish.bundles = {res({{"cpus", 1}})};
  step(0, event);
  event.group = id<PlacementGroupId>(2);
  EXPECT_EQ(all<GroupRefused>(step(0, event)).size(), 1u);
  step(0, RemoveGroup{id<PlacementGroupId>(1)});
  EXPECT_EQ(all<GroupRegistered>(step(0, event)).size(), 1u);
  EXPECT_EQ(machine.named("", "gang"), id<PlacementGroupId>(2));
}

TEST_F(GroupTest, EndsWithItsOwnerAndItsJobUnlessDetached) {
  node(kA);
  create(0, 1, 1, GroupStrategy::kPack, 1);
  step(1, GroupOwnerGone{kOwner});
  EXPECT_EQ(state(1), GroupState::kRemoved);
  EXPECT_EQ(all<GroupRefused>(create(2, 2, 1, GroupStrategy::kPack, 1)).size(), 1u) << "its owner is gone";
  CreateGroup event;
  event.group = id<PlacementGroupId>(3);
  event.owner = id<base::WorkerId>(51);
  event.job = kJob;
  event.name = "stays";
  event.lifetime = ActorLifetime::kDetached;
  event.wish.bundles = {res({{"cpus", 1}})};
  step(3, event);
  step(4, GroupJobEnded{kJob});
  step(5, GroupOwnerGone{event.owner});
  EXPECT_FALSE(machine.find(event.group)->is_over());
}

}  // namespace
}  // namespace mobula::scheduler

#include <gtest/gtest.h>

#include "scheduler/lease.h"
#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

const auto kSelf = id<base::NodeId>(100);
const auto kGroup = id<base::PlacementGroupId>(9);
const auto kHold = id<base::LeaseId>(70);
const auto kOwner = id<base::WorkerId>(1);
const auto kJob = id<base::JobId>(2);

class LeaseBundlesTest : public ::testing::Test {
 protected:
  std::vector<LeaseOutput> step(int ms, LeaseInput input) {
    base::Outbox<LeaseOutput> out;
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return {out.begin(), out.end()};
  }
  std::vector<LeaseOutput> prepare(int ms, double cpus, std::uint64_t request = 1) {
    Pieces none;
    return step(ms, PrepareBundles{kSelf, request, 1, kHold, kGroup, {{0, res({{"cpus", cpus}}), none}}});
  }
  // A worker that is ready, and a demand of the group.
  std::vector<LeaseOutput> demand(int ms, std::int32_t bundle, double cpus = 1) {
    Strategy inside;
    inside.bundle = {kGroup, bundle};
    return step(ms, DemandSet{kOwner, 0, kJob, res({{"cpus", cpus}}), inside, 1, ++seq});
  }
  GroupNews here() const { return {kGroup, 1, {{0, kSelf}}, false, {}}; }

  LeaseMachine machine{{kSelf, res({{"cpus", 4}, {"gpus", 2}}), {}}, LeaseLimits{}};
  std::uint64_t seq = 0;
};

TEST_F(LeaseBundlesTest, WhatIsPreparedNobodyElseGets) {
  EXPECT_EQ(all<BundlesPrepared>(prepare(0, 3)).size(), 1u);
  EXPECT_EQ(machine.available(), res({{"cpus", 1}, {"gpus", 2}}));
  EXPECT_EQ(all<BundlesPrepared>(prepare(1, 3)).size(), 1u) << "a copy is answered again";
  EXPECT_EQ(machine.available(), res({{"cpus", 1}, {"gpus", 2}}));
  const auto refused = step(2, PrepareBundles{kSelf,
                                              2,
                                              1,
                                              id<base::LeaseId>(71),
                                              id<base::PlacementGroupId>(10),
                                              {{0, res({{"cpus", 1}}), {}}, {1, res({{"cpus", 1}}), {}}}});
  ASSERT_EQ(all<BundlesRefused>(refused).size(), 1u) << "one of two is none";
  EXPECT_EQ(machine.available(), res({{"cpus", 1}, {"gpus", 2}}));
}

TEST_F(LeaseBundlesTest, OnlyACommittedBundleServes) {
  step(0, here());
  prepare(0, 2);
  step(0, WorkerReady{id<base::WorkerId>(11), kJob, "there"});
  EXPECT_TRUE(all<Grant>(demand(1, 0)).empty());
  EXPECT_EQ(all<BundlesCommitted>(step(2, CommitBundles{kSelf, kHold})).size(), 1u);
  base::Outbox<LeaseOutput> out;
  machine.tick(at(3), out);
  EXPECT_EQ(machine.counts().leases, 1u);
  EXPECT_EQ(machine.available(), res({{"cpus", 2}, {"gpus", 2}})) << "the seat takes from the bundle, not the node";
}

TEST_F(LeaseBundlesTest, ASeatLargerThanTheBundleWaitsThoughTheNodeHasRoom) {
  step(0, here());
  prepare(0, 1);
  step(0, CommitBundles{kSelf, kHold});
  demand(1, BundleRef::kAny, 2);
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseBundlesTest, AReleaseKillsWhoIsInsideAndGivesAllBackWhenTheyAreGone) {
  step(0, here());
  prepare(0, 2);
  step(0, CommitBundles{kSelf, kHold});
  step(0, WorkerReady{id<base::WorkerId>(11), kJob, "there"});
  ASSERT_EQ(all<Grant>(demand(1, 0)).size(), 1u);
  const auto released = step(2, ReleaseBundles{kSelf, 0, 1, kHold});
  EXPECT_EQ(all<BundlesReleased>(released).size(), 1u);
  ASSERT_EQ(all<StopWorker>(released).size(), 1u);
  EXPECT_EQ(machine.available(), res({{"cpus", 2}, {"gpus", 2}})) << "not before the process is gone";
  const auto gone = step(3, WorkerGone{id<base::WorkerId>(11), "signal 9"});
  EXPECT_EQ(all<LeaseLost>(gone).size(), 1u);
  EXPECT_EQ(machine.available(), res({{"cpus", 4}, {"gpus", 2}}));
}

TEST_F(LeaseBundlesTest, AReleaseThatOvertakesItsRequestWins) {
  EXPECT_EQ(all<BundlesReleased>(step(0, ReleaseBundles{kSelf, 1, 1, kHold})).size(), 1u);
  EXPECT_EQ(all<BundlesRefused>(prepare(1, 2)).size(), 1u);
  EXPECT_EQ(machine.available(), res({{"cpus", 4}, {"gpus", 2}}));
}

TEST_F(LeaseBundlesTest, DemandsOfAGroupThatIsOverAreRefused) {
  demand(0, 0);
  EXPECT_EQ(all<Unschedulable>(step(1, GroupNews{kGroup, 2, {}, true, "it was removed"})).size(), 1u);
}

}  // namespace
}  // namespace mobula::scheduler

#include "scheduler/lease.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
static_assert(base::Machine<LeaseMachine>);
namespace {

const auto kSelf = id<base::NodeId>(100), kPeer = id<base::NodeId>(200);
const auto kJob = id<base::JobId>(1);
const auto kOwner = id<base::WorkerId>(10), kOther = id<base::WorkerId>(11);

LeaseLimits limits(std::uint32_t cores = 2) {
  LeaseLimits l;
  l.pool.cores = cores;
  return l;
}

// A raylet of two cpus whose workers start when asked for.
struct LeaseTest : testing::Test {
  LeaseMachine machine{{kSelf, res({{"cpus", 2}, {"gpus", 1}}), {}}, limits()};
  std::vector<LeaseOutput> out;
  std::uint64_t workers = 1000;

  std::vector<LeaseOutput> step(int ms, LeaseInput input) {
    out.clear();
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<LeaseOutput> tick(int ms) {
    out.clear();
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<LeaseOutput> worker(int ms) { return step(ms, WorkerReady{id<base::WorkerId>(workers++), kJob, "addr"}); }
  DemandSet demand(const base::WorkerId& owner, std::uint32_t want, std::uint64_t seq, std::uint32_t key = 0,
                   base::Resources shape = res({{"cpus", 1}})) {
    return {owner, key, kJob, std::move(shape), {}, want, seq};
  }
  // The leases granted to `owner` for key 0 after two workers came.
  std::vector<Grant> two_grants(const base::WorkerId& owner) {
    step(0, demand(owner, 2, 1));
    auto grants = all<Grant>(worker(0));
    for (const Grant& g : all<Grant>(worker(0))) grants.push_back(g);
    EXPECT_EQ(grants.size(), 2u);
    for (const Grant& g : grants) step(0, GrantAcked{owner, g.lease});
    return grants;
  }
  void peer_joins(double cpus, std::uint64_t version = 1) {
    step(0, NodeView{kPeer, version, NodeState::kAlive, "", res({{"cpus", cpus}}), res({{"cpus", cpus}}), {}});
  }
};

TEST_F(LeaseTest, WorkersAreStartedForADemandAndGrantedWhenReady) {
  const auto asked = step(0, demand(kOwner, 5, 1));
  EXPECT_EQ(all<DemandAck>(asked).at(0).seq, 1u);
  EXPECT_EQ(all<StartWorkers>(asked).at(0).count, 2u);
  EXPECT_TRUE(machine.available().get("cpus").units == 0);
  EXPECT_EQ(all<Grant>(worker(1)).size(), 1u);
  EXPECT_EQ(all<Grant>(worker(2)).size(), 1u);
  EXPECT_TRUE(all<Grant>(worker(3)).empty());
}

TEST_F(LeaseTest, ADemandThatComesTwiceOrLateChangesNothing) {
  two_grants(kOwner);
  EXPECT_TRUE(all<Grant>(step(1, demand(kOwner, 2, 1))).empty());
  step(2, demand(kOwner, 0, 3));
  EXPECT_TRUE(all<DemandAck>(step(3, demand(kOwner, 9, 2))).empty());
  EXPECT_EQ(machine.counts().waiting_slots, 0u);
}

TEST_F(LeaseTest, AGrantIsRepeatedUntilItIsAcknowledged) {
  step(0, demand(kOwner, 1, 1));
  const auto grant = all<Grant>(worker(0)).at(0);
  EXPECT_EQ(all<Grant>(tick(500)).at(0).lease, grant.lease);
  step(501, GrantAcked{kOwner, grant.lease});
  EXPECT_TRUE(all<Grant>(tick(2000)).empty());
}

TEST_F(LeaseTest, AReturnedWorkerServesTheNextOwnerAtOnce) {
  const auto grants = two_grants(kOwner);
  step(1, demand(kOther, 1, 1));
  step(2, demand(kOwner, 1, 2));
  const auto reply = step(2, LeaseReturned{kOwner, grants[0].lease, WorkerFate::kReusable});
  EXPECT_EQ(all<ReturnAck>(reply).size(), 1u);
  ASSERT_EQ(all<Grant>(reply).size(), 1u);
  EXPECT_EQ(all<Grant>(reply)[0].owner, kOther);
  EXPECT_EQ(all<Grant>(reply)[0].worker, grants[0].worker);
  EXPECT_EQ(all<ReturnAck>(step(3, LeaseReturned{kOwner, grants[0].lease, WorkerFate::kReusable})).size(), 1u);
}

TEST_F(LeaseTest, OwnersTakeTurns) {
  step(0, demand(kOwner, 2, 1));
  step(0, demand(kOther, 2, 1));
  auto first = all<Grant>(worker(0));
  auto second = all<Grant>(worker(0));
  // Both slots were taken before the other came; as they come back, the other is first in line.
  EXPECT_EQ(first.at(0).owner, kOwner);
  const auto next = all<Grant>(step(1, LeaseReturned{kOwner, first[0].lease, WorkerFate::kReusable}));
  EXPECT_EQ(next.at(0).owner, kOther);
  const auto then = all<Grant>(step(2, LeaseReturned{kOwner, second.at(0).lease, WorkerFate::kReusable}));
  EXPECT_EQ(then.at(0).owner, kOwner);
}

TEST_F(LeaseTest, TheLeasesOfADeadOwnerEndAndTheirResourcesComeBackWithTheWorkersEnd) {
  const auto grants = two_grants(kOwner);
  const auto stops = all<StopWorker>(step(1, OwnerGone{kOwner}));
  EXPECT_EQ(stops.size(), 2u);
  EXPECT_EQ(machine.available().get("cpus").units, 0);
  for (const StopWorker& s : stops) step(2, WorkerGone{s.worker, "signal 9"});
  EXPECT_EQ(machine.available(), res({{"cpus", 2}, {"gpus", 1}}));
  EXPECT_TRUE(all<DemandAck>(step(3, demand(kOwner, 3, 7))).empty());
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseTest, ALostWorkerIsReportedUntilTheOwnerReturnsTheLease) {
  const auto grants = two_grants(kOwner);
  EXPECT_EQ(all<LeaseLost>(step(1, WorkerGone{grants[0].worker, "exit code 3"})).at(0).cause, "exit code 3");
  EXPECT_EQ(all<LeaseLost>(tick(600)).at(0).lease, grants[0].lease);
  step(601, LeaseReturned{kOwner, grants[0].lease, WorkerFate::kSpent});
  EXPECT_TRUE(all<LeaseLost>(tick(2000)).empty());
}

TEST_F(LeaseTest, ABlockedTaskLendsItsCpusButNotItsGpus) {
  step(0, demand(kOwner, 1, 1, 0, res({{"cpus", 2}, {"gpus", 1}})));
  const auto grant = all<Grant>(worker(0)).at(0);
  step(1, demand(kOther, 1, 1));
  const auto blocked = step(2, WorkerBlocked{grant.worker});
  EXPECT_EQ(all<StartWorkers>(blocked).size(), 1u);
  EXPECT_EQ(all<Grant>(worker(3)).at(0).owner, kOther);
  EXPECT_EQ(machine.available(), res({{"cpus", 1}}));
  step(4, WorkerUnblocked{grant.worker});
  EXPECT_EQ(machine.available(), res({{"cpus", -1}}));
  EXPECT_TRUE(all<StartWorkers>(step(5, demand(kOther, 2, 2))).empty());
}

TEST_F(LeaseTest, WhatNoNodeCouldEverServeIsAnsweredAtOnce) {
  peer_joins(4);
  const auto reply = step(1, demand(kOwner, 1, 1, 0, res({{"cpus", 5}})));
  ASSERT_EQ(all<Unschedulable>(reply).size(), 1u);
  EXPECT_EQ(all<Unschedulable>(reply)[0].why.nearest, kPeer);
  EXPECT_TRUE(all<DemandAck>(reply).empty());
  EXPECT_TRUE(all<DemandAck>(step(2, demand(kOwner, 1, 1, 1, res({{"cpus", 4}})))).size() == 1);
  const auto gone = step(3, NodeView{kPeer, 2, NodeState::kDead, "", {}, {}, {}});
  EXPECT_EQ(all<Unschedulable>(gone).size(), 1u);
}

TEST_F(LeaseTest, TheAnswerUnschedulableIsRepeatedUntilTheOwnersNextWordAndTakenBackWhenANodeComes) {
  peer_joins(4);
  step(1, demand(kOwner, 1, 1, 0, res({{"cpus", 4}})));
  EXPECT_EQ(all<Unschedulable>(step(2, NodeView{kPeer, 2, NodeState::kDead, "", {}, {}, {}})).size(), 1u);
  EXPECT_EQ(all<Unschedulable>(tick(502)).size(), 1u);
  const auto bigger = id<base::NodeId>(300);
  step(600, NodeView{bigger, 3, NodeState::kAlive, "", res({{"cpus", 4}}), res({{"cpus", 4}}), {}});
  EXPECT_EQ(all<PeerDemand>(tick(1002)).size(), 1u);
  step(1003, demand(kOther, 1, 1, 0, res({{"cpus", 9}})));
  step(1004, demand(kOther, 0, 2, 0, res({{"cpus", 9}})));
  EXPECT_TRUE(all<Unschedulable>(tick(3000)).empty());
}

DemandSet urgent(const base::WorkerId& owner, std::int32_t priority, std::uint32_t want = 1) {
  DemandSet demand{owner, 0, kJob, res({{"cpus", 1}}), {}, want, 1};
  demand.strategy.priority = priority;
  return demand;
}

TEST_F(LeaseTest, TheHigherPriorityIsServedFirstThoughItCameLast) {
  const auto grants = two_grants(kOwner);
  const auto low = id<base::WorkerId>(20), high = id<base::WorkerId>(21);
  step(1, urgent(low, 0));
  step(2, urgent(high, 5));
  const auto next = all<Grant>(step(3, LeaseReturned{kOwner, grants[0].lease}));
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].owner, high);
}

TEST_F(LeaseTest, AWaitGrowsThePriorityUntilItIsServed) {
  const auto grants = two_grants(kOwner);
  const auto low = id<base::WorkerId>(20), high = id<base::WorkerId>(21);
  step(1, urgent(low, 0));
  for (int ms = 1'000; ms < 31'000; ms += 1'000) tick(ms);
  step(31'002, urgent(high, 2));
  const auto next = all<Grant>(step(31'003, LeaseReturned{kOwner, grants[0].lease}));
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].owner, low);
}

TEST_F(LeaseTest, LeasesOfAHigherPriorityAreNotRecalledForALowerOneAndThoseOfALowerOneAre) {
  step(0, urgent(kOwner, 3, 2));
  std::vector<Grant> grants = all<Grant>(worker(0));
  for (const Grant& g : all<Grant>(worker(0))) grants.push_back(g);
  ASSERT_EQ(grants.size(), 2u);
  step(1, urgent(id<base::WorkerId>(20), 0));
  EXPECT_TRUE(all<Recall>(tick(500)).empty());
  step(501, urgent(id<base::WorkerId>(21), 4));
  EXPECT_EQ(all<Recall>(tick(600)).size(), 1u);
}

TEST_F(LeaseTest, AFullNodeAsksAPeerOncePerSlotAndPassesTheGrantOn) {
  two_grants(kOwner);
  peer_joins(1);
  const auto asks = all<PeerDemand>(step(1, demand(kOwner, 5, 2)));
  ASSERT_EQ(asks.size(), 1u);
  const auto grants = all<Grant>(step(2, PeerGrant{kPeer, asks[0].lease, id<base::WorkerId>(77), "there"}));
  ASSERT_EQ(grants.size(), 1u);
  EXPECT_EQ(grants[0].node, kPeer);
  step(3, GrantAcked{kOwner, grants[0].lease});
  step(3, demand(kOwner, 2, 3));
  const auto back = step(4, LeaseReturned{kOwner, grants[0].lease, WorkerFate::kReusable});
  EXPECT_EQ(all<PeerReturn>(back).size(), 1u);
  EXPECT_EQ(all<PeerReturn>(tick(600)).size(), 1u);
  step(601, PeerReturned{kPeer, grants[0].lease});
  EXPECT_TRUE(all<PeerReturn>(tick(2000)).empty());
  EXPECT_EQ(machine.counts().away, 0u);
}

TEST_F(LeaseTest, ARefusalSendsTheSlotBackToItsPlaceInLine) {
  two_grants(kOwner);
  peer_joins(4);
  const auto ask = all<PeerDemand>(step(1, demand(kOther, 1, 1))).at(0);
  EXPECT_TRUE(all<PeerDemand>(step(2, PeerReject{kPeer, ask.lease, {}})).empty());
  EXPECT_EQ(machine.counts().waiting_slots, 1u);
  EXPECT_EQ(machine.counts().away, 0u);
}

TEST_F(LeaseTest, APeersRequestIsGrantedOrRejectedAndItsCopiesChangeNothing) {
  const PeerDemand ask{kPeer, 1, 1, id<base::LeaseId>(5), kOther, 0, kJob, res({{"cpus", 2}})};
  EXPECT_EQ(all<StartWorkers>(step(0, ask)).size(), 1u);
  EXPECT_EQ(all<PeerGrant>(worker(1)).size(), 1u);
  EXPECT_EQ(all<PeerGrant>(step(2, ask)).size(), 1u);
  const PeerDemand more{kPeer, 2, 2, id<base::LeaseId>(6), kOther, 0, kJob, res({{"cpus", 1}})};
  EXPECT_EQ(all<PeerReject>(step(3, more)).size(), 1u);
  EXPECT_EQ(all<PeerReturned>(step(4, PeerReturn{kPeer, 1, 3, ask.lease, WorkerFate::kReusable})).size(), 1u);
  EXPECT_TRUE(step(5, ask).empty());
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseTest, AReturnThatOvertakesItsRequestLeavesNoLeaseBehind) {
  const PeerDemand ask{kPeer, 1, 1, id<base::LeaseId>(5), kOther, 0, kJob, res({{"cpus", 1}})};
  step(0, PeerReturn{kPeer, 1, 1, ask.lease, WorkerFate::kSpent});
  EXPECT_EQ(all<PeerReject>(step(1, ask)).size(), 1u);
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseTest, TheLeasesOfADeadHomeEnd) {
  step(0, PeerDemand{kPeer, 1, 1, id<base::LeaseId>(5), kOther, 0, kJob, res({{"cpus", 1}})});
  worker(1);
  const auto stops = all<StopWorker>(step(2, NodeView{kPeer, 9, NodeState::kDead, "", {}, {}, {}}));
  EXPECT_EQ(stops.size(), 1u);
}

TEST_F(LeaseTest, WhoWaitsMakesWhoHoldsMostGiveBack) {
  const auto grants = two_grants(kOwner);
  step(100, demand(kOther, 1, 1));
  EXPECT_TRUE(all<Recall>(tick(129)).empty());
  const auto recalls = all<Recall>(tick(130));
  ASSERT_EQ(recalls.size(), 1u);
  EXPECT_EQ(recalls[0].owner, kOwner);
  EXPECT_EQ(all<Grant>(step(131, LeaseReturned{kOwner, recalls[0].lease, WorkerFate::kReusable})).at(0).owner, kOther);
}

TEST_F(LeaseTest, APeersRefusedRequestMakesWhoHoldsLongestGiveBack) {
  two_grants(kOwner);
  const auto refused = step(200, PeerDemand{kPeer, 1, 1, id<base::LeaseId>(5), kOther, 0, kJob, res({{"cpus", 1}})});
  EXPECT_EQ(all<PeerReject>(refused).size(), 1u);
  EXPECT_EQ(all<Recall>(refused).size(), 1u);
}

TEST_F(LeaseTest, AFullPeerIsAskedAllTheSameWhenThisNodeCouldNeverServe) {
  step(0, NodeView{kPeer, 1, NodeState::kAlive, "", res({{"cpus", 4}}), {}, {}});
  EXPECT_TRUE(all<PeerDemand>(step(1, demand(kOwner, 1, 1, 0, res({{"cpus", 4}})))).empty());
  const auto ask = all<PeerDemand>(tick(31));
  ASSERT_EQ(ask.size(), 1u);
  EXPECT_TRUE(all<PeerDemand>(step(32, PeerReject{kPeer, ask[0].lease, {}})).empty());
  EXPECT_EQ(all<PeerDemand>(tick(52)).size(), 1u);
}

TEST_F(LeaseTest, AnOwnerThatAcknowledgesNothingGetsNoMoreThanItsWindowOverAllItsKeys) {
  LeaseLimits tight = limits(8);
  tight.owner_window = 3;
  LeaseMachine small({kSelf, res({{"cpus", 8}}), {}}, tight);
  small.step(at(0), demand(kOwner, 2, 1, 0), out);
  small.step(at(0), demand(kOwner, 4, 1, 1), out);
  small.step(at(0), demand(kOwner, 4, 1, 2, res({{"cpus", 0.5}})), out);
  out.clear();
  for (std::uint64_t n = 0; n < 8; ++n) small.step(at(1), WorkerReady{id<base::WorkerId>(n + 1), kJob, ""}, out);
  const auto grants = all<Grant>(out);
  ASSERT_EQ(grants.size(), 3u);
  out.clear();
  small.step(at(2), GrantAcked{kOwner, grants[0].lease}, out);
  EXPECT_EQ(all<Grant>(out).size(), 1u);
  EXPECT_TRUE(small.is_valid());
}

TEST_F(LeaseTest, ABigShapeIsNotStarvedBySmallOnes) {
  const auto grants = two_grants(kOwner);
  step(1, demand(kOther, 1, 1, 0, res({{"cpus", 2}})));
  step(2, demand(kOwner, 9, 2));
  tick(1500);
  EXPECT_TRUE(all<Grant>(step(1501, LeaseReturned{kOwner, grants[0].lease, WorkerFate::kReusable})).empty());
  const auto big = all<Grant>(step(1502, LeaseReturned{kOwner, grants[1].lease, WorkerFate::kReusable}));
  ASSERT_EQ(big.size(), 1u);
  EXPECT_EQ(big[0].owner, kOther);
}

TEST_F(LeaseTest, AnActorGetsAWorkerOfItsOwnAndRepeatsChangeNothing) {
  const auto actor = id<base::ActorId>(3);
  const ActorLease ask{kSelf, 1, 1, id<base::LeaseId>(9), actor, 0, kJob, res({{"cpus", 1}})};
  step(0, ask);
  const auto grant = all<ActorGrant>(worker(1)).at(0);
  EXPECT_EQ(all<ActorGrant>(step(2, ask)).at(0).worker, grant.worker);
  EXPECT_EQ(all<ActorLost>(step(3, WorkerGone{grant.worker, "signal 11"})).size(), 1u);
  EXPECT_EQ(all<ActorLost>(tick(600)).size(), 1u);
  EXPECT_EQ(all<ActorReleased>(step(601, ActorRelease{kSelf, 0, 2, ask.lease, actor, StopMode::kKill})).size(), 1u);
  EXPECT_TRUE(all<ActorLost>(tick(2000)).empty());
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseTest, WorkersAreStartedAheadForAJobAndIdleOnesBeyondTheCoresLeave) {
  EXPECT_EQ(all<StartWorkers>(step(0, JobStarted{kJob})).at(0).count, 2u);
  for (int i = 0; i < 4; ++i) worker(1);
  EXPECT_TRUE(all<StopWorker>(tick(1999)).empty());
  EXPECT_EQ(all<StopWorker>(tick(2001)).size(), 2u);
  EXPECT_EQ(machine.counts().idle_workers, 2u);
}

TEST_F(LeaseTest, AJobsEndStopsItsWorkersAndDemands) {
  two_grants(kOwner);
  worker(0);
  EXPECT_EQ(all<StopWorker>(step(1, JobEnded{kJob})).size(), 3u);
  EXPECT_EQ(machine.counts().demands, 0u);
  EXPECT_EQ(all<StopWorker>(worker(2)).size(), 1u);
}

TEST_F(LeaseTest, AFailedStartIsTriedAgainAfterABackoff) {
  step(0, demand(kOwner, 1, 1));
  EXPECT_TRUE(all<StartWorkers>(step(1, StartFailed{kJob, 1, "no memory"})).empty());
  EXPECT_EQ(machine.next_deadline(), at(101));
  EXPECT_EQ(all<StartWorkers>(tick(101)).size(), 1u);
}

TEST_F(LeaseTest, StartsThatFailTogetherBackOffOnce) {
  step(0, demand(kOwner, 1, 2));
  step(1, StartFailed{kJob, 1, "no memory"});
  step(2, StartFailed{kJob, 1, "no memory"});
  EXPECT_EQ(machine.next_deadline(), at(101));
}

TEST_F(LeaseTest, AWorkersEndIsAReasonToTryAgainAtOnce) {
  const auto grants = two_grants(kOwner);
  step(0, demand(kOther, 1, 1));
  EXPECT_TRUE(all<StartWorkers>(step(1, StartFailed{kJob, 1, "no memory"})).empty());
  EXPECT_EQ(all<StartWorkers>(step(2, WorkerGone{grants[0].worker, "exit code 0"})).size(), 1u);
}

TEST_F(LeaseTest, AnActorsFailedStartIsToldWithItsCause) {
  const ActorLease ask{kSelf, 1, 1, id<base::LeaseId>(9), id<base::ActorId>(3), 0, kJob, res({{"cpus", 1}})};
  step(0, ask);
  const auto told = all<ActorReject>(step(1, StartFailed{kJob, 1, "no memory"}));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, ActorReject::Reason::kStartFailed);
  EXPECT_EQ(told[0].cause, "no memory");
  EXPECT_EQ(machine.counts().leases, 0u);
}

TEST_F(LeaseTest, AvailabilityIsPublishedAtALimitedRate) {
  const auto first = all<AvailabilityChanged>(step(0, demand(kOwner, 1, 1)));
  EXPECT_EQ(first.size(), 1u);
  EXPECT_TRUE(all<AvailabilityChanged>(step(1, demand(kOwner, 2, 2))).empty());
  const auto later = all<AvailabilityChanged>(tick(10));
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].available, res({{"gpus", 1}}));
}

}  // namespace
}  // namespace mobula::scheduler

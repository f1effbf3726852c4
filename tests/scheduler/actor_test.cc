#include "scheduler/actor.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
static_assert(base::Machine<ActorMachine>);
namespace {

const auto kA = id<base::NodeId>(1), kB = id<base::NodeId>(2);
const auto kActor = id<base::ActorId>(1), kSecond = id<base::ActorId>(2);
const auto kOwner = id<base::WorkerId>(50);

struct ActorTest : testing::Test {
  ActorMachine machine{42, ActorLimits{}};
  std::vector<ActorOutput> out;
  std::uint64_t workers = 1000;

  ActorTest() { node(0, kA, 1, NodeState::kAlive); }
  std::vector<ActorOutput> step(int ms, ActorInput input) {
    out.clear();
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<ActorOutput> tick(int ms) {
    out.clear();
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<ActorOutput> node(int ms, const base::NodeId& n, std::uint64_t version, NodeState state) {
    return step(ms, NodeView{n, version, state, "", res({{"cpus", 2}}), res({{"cpus", 2}}), {}});
  }
  RegisterActor spec(const base::ActorId& actor, std::uint32_t restarts = 0) {
    RegisterActor r;
    r.actor = actor;
    r.owner = kOwner;
    r.owner_node = kA;
    r.shape = res({{"cpus", 1}});
    r.max_restarts = restarts;
    return r;
  }
  ActorLease lease_of(const std::vector<ActorOutput>& outputs) { return all<ActorLease>(outputs).at(0); }
  // Registers and brings it up; returns its lease.
  ActorLease alive(int ms, RegisterActor r) {
    const auto ask = lease_of(step(ms, std::move(r)));
    start(ms, ask);
    return ask;
  }
  void start(int ms, const ActorLease& ask) {
    step(ms, ActorGrant{ask.node, ask.lease, ask.actor, id<base::WorkerId>(workers++), "there"});
    step(ms, ActorStarted{ask.actor, ask.lease, ""});
    EXPECT_EQ(state(ask.actor), ActorState::kAlive);
  }
  ActorState state(const base::ActorId& a) { return machine.find(a)->state; }
};

TEST_F(ActorTest, AnActorIsRegisteredPlacedStartedAndThenAlive) {
  const auto first = step(0, spec(kActor));
  EXPECT_EQ(all<ActorRegistered>(first).size(), 1u);
  EXPECT_EQ(state(kActor), ActorState::kPending);
  const auto ask = lease_of(first);
  const auto begun = all<StartActor>(step(1, ActorGrant{kA, ask.lease, kActor, id<base::WorkerId>(9), "there"}));
  EXPECT_EQ(begun.at(0).incarnation, 0u);
  const auto up = all<ActorChanged>(step(2, ActorStarted{kActor, ask.lease, ""}));
  EXPECT_EQ(up.at(0).view.address, "there");
  EXPECT_EQ(state(kActor), ActorState::kAlive);
}

TEST_F(ActorTest, RequestsAndStartsAreRepeatedAndRegistrationIsIdempotent) {
  const auto ask = lease_of(step(0, spec(kActor)));
  EXPECT_TRUE(all<ActorLease>(step(1, spec(kActor))).empty());
  EXPECT_EQ(lease_of(tick(500)).lease, ask.lease);
  step(501, ActorGrant{kA, ask.lease, kActor, id<base::WorkerId>(9), "there"});
  EXPECT_TRUE(all<StartActor>(step(502, ActorGrant{kA, ask.lease, kActor, id<base::WorkerId>(9), "there"})).empty());
  EXPECT_EQ(all<StartActor>(tick(2600)).size(), 1u);
}

TEST_F(ActorTest, ANameBelongsToOneLivingActor) {
  auto first = spec(kActor);
  first.name = "counter";
  alive(0, first);
  auto second = spec(kSecond);
  second.name = "counter";
  EXPECT_EQ(all<ActorRefused>(step(1, second)).size(), 1u);
  second.existing = OnExistingName::kGet;
  EXPECT_EQ(all<ActorRegistered>(step(2, second)).at(0).actor, kActor);
  EXPECT_EQ(machine.named("", "counter"), kActor);
  step(3, KillActor{kActor});
  EXPECT_FALSE(machine.named("", "counter"));
  EXPECT_EQ(all<ActorRegistered>(step(4, second)).at(0).actor, kSecond);
}

TEST_F(ActorTest, AnActorRestartsWhileRestartsAreLeftThenIsDeadWithTheCause) {
  auto ask = alive(0, spec(kActor, 2));
  for (std::uint32_t life = 1; life <= 2; ++life) {
    const int ms = static_cast<int>(life) * 1000;
    auto next = step(ms, ActorLost{kA, ask.lease, kActor, "signal 11"});
    const auto released = all<ActorRelease>(next).back();
    EXPECT_EQ(released.lease, ask.lease);
    EXPECT_EQ(state(kActor), ActorState::kRestarting);
    step(ms, ActorReleased{kA, ask.lease});
    if (life == 2) next = node(ms + 100, kA, 9, NodeState::kAlive);
    const auto again = lease_of(next);
    EXPECT_NE(again.lease, ask.lease);
    EXPECT_EQ(again.incarnation, life);
    start(ms + 200, again);
    ask = again;
  }
  step(5000, ActorLost{kA, ask.lease, kActor, "signal 11"});
  EXPECT_EQ(state(kActor), ActorState::kDead);
  EXPECT_EQ(machine.find(kActor)->end, ActorEnd::kWorkerDied);
  EXPECT_EQ(machine.find(kActor)->cause, "signal 11");
}

TEST_F(ActorTest, AConstructorThatThrowsIsNotRetried) {
  const auto ask = lease_of(step(0, spec(kActor, 5)));
  step(1, ActorGrant{kA, ask.lease, kActor, id<base::WorkerId>(9), ""});
  EXPECT_EQ(all<ActorRelease>(step(2, ActorStartFailed{kActor, ask.lease, "boom"})).size(), 1u);
  EXPECT_EQ(machine.find(kActor)->end, ActorEnd::kConstructorThrew);
}

TEST_F(ActorTest, ItsOwnersEndEndsItUnlessItIsDetached) {
  alive(0, spec(kActor, 5));
  auto detached = spec(kSecond);
  detached.lifetime = ActorLifetime::kDetached;
  alive(1, detached);
  step(2, ActorOwnerGone{kOwner});
  EXPECT_EQ(machine.find(kActor)->end, ActorEnd::kOwnerDied);
  EXPECT_EQ(state(kSecond), ActorState::kAlive);
  EXPECT_EQ(all<ActorRefused>(step(3, spec(id<base::ActorId>(9)))).size(), 1u);
}

TEST_F(ActorTest, WhatADyingActorOwnedDiesWithIt) {
  const auto ask = alive(0, spec(kActor));
  auto child = spec(kSecond, 5);
  child.owner = machine.find(kActor)->worker;
  alive(1, child);
  step(2, ActorLost{kA, ask.lease, kActor, "signal 9"});
  EXPECT_EQ(machine.find(kSecond)->end, ActorEnd::kOwnerDied);
}

TEST_F(ActorTest, TheLastHandleLetsItDrainAndAKillDoesNot) {
  alive(0, spec(kActor));
  alive(0, spec(kSecond));
  EXPECT_EQ(all<ActorRelease>(step(1, ActorHandlesGone{kActor})).at(0).mode, StopMode::kDrain);
  const auto killed = all<ActorRelease>(step(1, KillActor{kSecond}));
  EXPECT_EQ(killed.at(0).mode, StopMode::kKill);
  EXPECT_EQ(all<ActorRelease>(tick(600)).size(), 2u);
  step(601, ActorReleased{kA, killed[0].lease});
  EXPECT_EQ(all<ActorRelease>(tick(1200)).size(), 1u);
}

TEST_F(ActorTest, ANodesDeathMovesItsActorsElsewhere) {
  alive(0, spec(kActor, 1));
  node(1, kB, 2, NodeState::kAlive);
  const auto moved = node(2, kA, 3, NodeState::kDead);
  EXPECT_EQ(lease_of(moved).node, kB);
  EXPECT_TRUE(all<ActorRelease>(moved).empty());
}

TEST_F(ActorTest, ARejectedRequestWaitsForRoom) {
  const auto ask = lease_of(step(0, spec(kActor)));
  EXPECT_TRUE(all<ActorLease>(step(1, ActorReject{kA, ask.lease, kActor})).empty());
  EXPECT_EQ(lease_of(node(2, kB, 2, NodeState::kAlive)).node, kB);
}

// Fails each start from `ms` on until no more is asked for or the time is over; returns the nodes asked, in order.
std::vector<base::NodeId> fail_starts(ActorTest& t, std::vector<ActorOutput> outputs, int ms, int until) {
  std::vector<base::NodeId> asked;
  for (; ms < until && t.state(kActor) != ActorState::kDead; ms += 100) {
    const auto asks = all<ActorLease>(outputs);
    outputs = t.tick(ms);
    for (const auto& ask : asks) {
      asked.push_back(ask.node);
      const auto more = t.step(
          ms, ActorReject{ask.node, ask.lease, ask.actor, ActorReject::Reason::kStartFailed, "no descriptors", {}});
      outputs.insert(outputs.end(), more.begin(), more.end());
    }
  }
  return asked;
}

TEST_F(ActorTest, AnActorThatStartsNowhereDiesWithTheEvidence) {
  const auto asked = fail_starts(*this, step(0, spec(kActor, 5)), 1, 20'000);
  EXPECT_GE(asked.size(), 3u);
  ASSERT_EQ(state(kActor), ActorState::kDead);
  const ActorView& view = *machine.find(kActor);
  EXPECT_EQ(view.end, ActorEnd::kStartFailed);
  EXPECT_EQ(view.cause, "no descriptors");
  EXPECT_EQ(view.evidence.find(std::to_string(asked.size()) + " starts failed in a row within 5"), 0u) << view.evidence;
  EXPECT_TRUE(all<ActorLease>(tick(60'000)).empty());
}

TEST_F(ActorTest, FailedStartsAreForgottenOnceItHasAWorker) {
  EXPECT_GE(fail_starts(*this, step(0, spec(kActor, 1)), 1, 4'000).size(), 3u);
  EXPECT_EQ(state(kActor), ActorState::kPending);
  const auto last = all<ActorLease>(tick(4'500));
  ASSERT_EQ(last.size(), 1u);
  start(4'600, last[0]);
  auto lost = step(4'700, ActorLost{kA, last[0].lease, kActor, "signal 9"});
  step(4'700, ActorReleased{kA, last[0].lease});
  EXPECT_GE(fail_starts(*this, std::move(lost), 4'800, 8'800).size(), 3u);
  EXPECT_EQ(state(kActor), ActorState::kRestarting);
}

TEST_F(ActorTest, ANodeThatCannotStartItIsPassedOverForOneThatMight) {
  node(0, kB, 1, NodeState::kAlive);
  const auto ask = lease_of(step(0, spec(kActor)));
  const auto next =
      step(1, ActorReject{ask.node, ask.lease, kActor, ActorReject::Reason::kStartFailed, "no descriptors", {}});
  const auto second = lease_of(next);
  EXPECT_NE(second.node, ask.node);
  start(2, second);
}

TEST_F(ActorTest, ItIsNotGivenUpWhileANodeIsLeftThatHasNotFailedIt) {
  // B looks full: it is asked once it has room, however often A has failed meanwhile.
  step(0, NodeView{kB, 1, NodeState::kAlive, "", res({{"cpus", 2}}), {}, {}});
  EXPECT_GE(fail_starts(*this, step(0, spec(kActor)), 1, 8'000).size(), 3u);
  EXPECT_EQ(state(kActor), ActorState::kPending);
  const auto asks =
      all<ActorLease>(step(8'100, NodeView{kB, 2, NodeState::kAlive, "", res({{"cpus", 2}}), res({{"cpus", 2}}), {}}));
  ASSERT_EQ(asks.size(), 1u);
  EXPECT_EQ(asks[0].node, kB);
}

TEST_F(ActorTest, AWorkerThatDiesBeforeItIsHeardOfIsAFailedStart) {
  auto outputs = step(0, spec(kActor));
  for (int ms = 1; ms < 20'000 && state(kActor) != ActorState::kDead; ms += 100) {
    const auto asks = all<ActorLease>(outputs);
    outputs = tick(ms);
    for (const auto& ask : asks) {
      const auto more = step(ms, ActorLost{ask.node, ask.lease, ask.actor, "signal 9"});
      outputs.insert(outputs.end(), more.begin(), more.end());
      step(ms, ActorReleased{ask.node, ask.lease});
    }
  }
  ASSERT_EQ(state(kActor), ActorState::kDead);
  EXPECT_EQ(machine.find(kActor)->end, ActorEnd::kStartFailed);
}

TEST_F(ActorTest, AGrantForAnOlderAttemptIsReleased) {
  const auto ask = lease_of(step(0, spec(kActor)));
  step(1, KillActor{kActor});
  EXPECT_TRUE(all<StartActor>(step(2, ActorGrant{kA, ask.lease, kActor, id<base::WorkerId>(9), ""})).empty());
  EXPECT_EQ(state(kActor), ActorState::kDead);
}

TEST_F(ActorTest, WhatNoNodeCouldServeIsDeadAtOnceAndSaysWhy) {
  auto big = spec(kActor);
  big.shape = res({{"gpus", 4}});
  step(0, big);
  EXPECT_EQ(machine.find(kActor)->end, ActorEnd::kUnschedulable);
  EXPECT_NE(machine.find(kActor)->cause.find("gpus=4 wanted"), std::string::npos);
}

TEST_F(ActorTest, ActorsThatWillNotLiveBesideTheirLikesAreSpreadAndTheNodesLabelsAreTold) {
  node(0, kB, 1, NodeState::kAlive);
  std::vector<base::NodeId> nodes;
  std::vector<NodeActors> told;
  for (std::uint64_t n = 10; n < 13; ++n) {
    auto r = spec(id<base::ActorId>(n));
    r.shape = {};
    r.labels = {{"role", "cache"}};
    r.strategy.beside = {*parse_label_rule("role", "!cache")};
    const auto outputs = step(1, r);
    for (const ActorLease& lease : all<ActorLease>(outputs)) nodes.push_back(lease.node);
    for (const NodeActors& labels : all<NodeActors>(outputs)) told.push_back(labels);
  }
  ASSERT_EQ(nodes.size(), 2u) << "the third waits";
  EXPECT_NE(nodes[0], nodes[1]);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[0].labels.contains({"role", "cache"}));
  EXPECT_NE(machine.wait_of(at(2), id<base::ActorId>(12))->what.find("role !in(cache)"), std::string::npos);
  // One of them goes: its label with it, and the third takes its place.
  const auto freed = step(300, KillActor{id<base::ActorId>(10)});
  ASSERT_EQ(all<NodeActors>(freed).size(), 2u) << "one leaves, the other comes";
  EXPECT_TRUE(all<NodeActors>(freed)[0].labels.empty());
  const auto third = all<ActorLease>(freed);
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(third[0].node, nodes[0]);
}

TEST_F(ActorTest, TheHigherPriorityIsPlacedFirst) {
  auto both = res({{"cpus", 2}});
  auto first = spec(id<base::ActorId>(10));
  first.shape = both;
  const auto holder = lease_of(step(0, first));
  step(0, ActorGrant{kA, holder.lease, first.actor, id<base::WorkerId>(9), ""});
  node(1, kA, 2, NodeState::kSuspect);  // Nobody is asked meanwhile.
  for (std::uint64_t n = 11; n < 13; ++n) {
    auto r = spec(id<base::ActorId>(n));
    r.shape = both;
    r.strategy.priority = n == 12 ? 1 : 0;
    EXPECT_TRUE(all<ActorLease>(step(2, r)).empty());
  }
  const auto asked = all<ActorLease>(node(3, kA, 3, NodeState::kAlive));
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked[0].actor, id<base::ActorId>(12));
}

TEST_F(ActorTest, ActorsWithoutCpusAreSharedOutByCount) {
  node(0, kB, 1, NodeState::kAlive);
  std::map<base::NodeId, int> count;
  for (std::uint64_t n = 10; n < 20; ++n) {
    auto r = spec(id<base::ActorId>(n));
    r.shape = {};
    ++count[lease_of(step(1, r)).node];
  }
  EXPECT_EQ(count[kA], 5);
  EXPECT_EQ(count[kB], 5);
}

TEST_F(ActorTest, OnlySoManyDeadActorsAreKept) {
  ActorLimits limits;
  limits.dead_max = 5;
  ActorMachine small(1, limits);
  for (std::uint64_t n = 1; n < 50; ++n) {
    small.step(at(0), spec(id<base::ActorId>(n)), out);
    small.step(at(0), KillActor{id<base::ActorId>(n)}, out);
    EXPECT_TRUE(small.is_valid());
  }
  EXPECT_EQ(small.changes_since(0).size(), 5u);
}

}  // namespace
}  // namespace mobula::scheduler

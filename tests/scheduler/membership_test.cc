#include "scheduler/membership.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
static_assert(base::Machine<MembershipMachine>);
namespace {

const auto kNode = id<base::NodeId>(1);

struct MembershipTest : testing::Test {
  MembershipMachine machine{MembershipLimits{}};
  std::vector<MembershipOutput> out;

  std::vector<MembershipOutput> step(int ms, MembershipInput input) {
    out.clear();
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<MembershipOutput> tick(int ms) {
    out.clear();
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  NodeRegistered hello(std::uint64_t incarnation) { return {kNode, incarnation, "addr", res({{"cpus", 2}}), {}}; }
  NodeState state() { return machine.find(kNode)->state; }
};

TEST_F(MembershipTest, ANodeIsSuspectAfterASecondOfSilenceAndDeadAfterFive) {
  step(0, hello(1));
  tick(999);
  EXPECT_EQ(state(), NodeState::kAlive);
  tick(1000);
  EXPECT_EQ(state(), NodeState::kSuspect);
  step(1400, NodeHeartbeat{kNode, 1, 1, res({{"cpus", 2}})});
  EXPECT_EQ(state(), NodeState::kAlive);
  for (int ms = 1800; ms < 6400; ms += 400) tick(ms);
  EXPECT_EQ(state(), NodeState::kSuspect);
  tick(6400);
  EXPECT_EQ(state(), NodeState::kDead);
}

TEST_F(MembershipTest, ADeadIncarnationIsFencedAndANewerOneJoins) {
  step(0, hello(1));
  step(1, NodeExited{kNode, 1, "signal 9"});
  EXPECT_EQ(state(), NodeState::kDead);
  EXPECT_EQ(all<NodeFenced>(step(2, NodeHeartbeat{kNode, 1, 9, {}})).size(), 1u);
  EXPECT_EQ(all<NodeFenced>(step(3, hello(1))).size(), 1u);
  const auto joined = step(4, hello(2));
  EXPECT_EQ(all<NodeAccepted>(joined).size(), 1u);
  EXPECT_EQ(all<NodeChanged>(joined).at(0).view.state, NodeState::kAlive);
}

TEST_F(MembershipTest, ANewerIncarnationEndsTheOlderFirst) {
  step(0, hello(1));
  const auto changes = all<NodeChanged>(step(1, hello(2)));
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].view.state, NodeState::kDead);
  EXPECT_EQ(changes[1].view.state, NodeState::kAlive);
  EXPECT_LT(changes[0].view.version, changes[1].view.version);
}

TEST_F(MembershipTest, AClosedConnectionIsDeathUnlessTheNodeComesBackWithinTheGrace) {
  step(0, hello(1));
  step(100, NodeConnectionClosed{kNode, 1});
  EXPECT_EQ(machine.next_deadline(), at(400));
  step(300, hello(1));
  tick(450);
  EXPECT_EQ(state(), NodeState::kAlive);
  step(500, NodeConnectionClosed{kNode, 1});
  tick(800);
  EXPECT_EQ(state(), NodeState::kDead);
}

TEST_F(MembershipTest, OurOwnBlackoutIsNobodysDeath) {
  step(0, hello(1));
  tick(20'000);
  EXPECT_EQ(state(), NodeState::kAlive);
  for (int ms = 20'100; ms <= 25'100; ms += 100) tick(ms);
  EXPECT_EQ(state(), NodeState::kDead);
}

TEST_F(MembershipTest, AvailabilityIsPublishedAtALimitedRateAndLateReadersCatchUp) {
  step(0, hello(1));
  const auto before = machine.version();
  EXPECT_TRUE(all<NodeChanged>(step(1, NodeHeartbeat{kNode, 1, 1, res({{"cpus", 1}})})).empty());
  EXPECT_TRUE(all<NodeChanged>(step(2, NodeHeartbeat{kNode, 1, 3, {}})).empty());
  EXPECT_TRUE(all<NodeChanged>(step(3, NodeHeartbeat{kNode, 1, 2, res({{"cpus", 2}})})).empty());
  EXPECT_EQ(all<NodeChanged>(tick(20)).size(), 1u);
  ASSERT_EQ(machine.changes_since(before).size(), 1u);
  EXPECT_TRUE(machine.changes_since(before)[0].view.available.empty());
  EXPECT_TRUE(machine.changes_since(machine.version()).empty());
}

TEST_F(MembershipTest, OnlySoManyDeadAreKept) {
  MembershipLimits limits;
  limits.dead_max = 10;
  MembershipMachine small(limits);
  for (std::uint64_t n = 1; n < 100; ++n) {
    small.step(at(0), NodeRegistered{id<base::NodeId>(n), 1, "", {}, {}}, out);
    small.step(at(0), NodeExited{id<base::NodeId>(n), 1, "left"}, out);
    EXPECT_TRUE(small.is_valid());
  }
  EXPECT_EQ(small.changes_since(0).size(), 10u);
}

}  // namespace
}  // namespace mobula::scheduler
